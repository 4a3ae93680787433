import { classifyFetchFailure, fetchFailureError } from "./fetch-failure.ts"
import { isIndeterminate, type FailedAttempt } from "./retry-loop.ts"

/**
 * What became of an attempt without an answer.
 *
 * @param cause - what `fetch` threw
 * @param url - the stream's
 * @param isWrite - whether it may have had an effect
 */
export function unanswered(cause: unknown, url: string, isWrite: boolean): FailedAttempt {
  const kind = classifyFetchFailure(cause)
  const indeterminate = isWrite && isIndeterminate(kind)
  return {
    kind: "failed",
    // Nothing is lost by telling a read's, and nothing is likely to be gained by another try.
    failure: kind === "faulty" && !isWrite ? "impossible" : kind,
    error: fetchFailureError(cause, kind, url, indeterminate),
    retryAfterMs: 0,
  }
}
