import { badOption } from "../http/option-checks.ts"
import { onAbort } from "../http/abort.ts"
import { failureOf } from "../http/failure.ts"
import { monotonicMs } from "../platform/clock.ts"
import { isOffset } from "../protocol/offset.ts"
import type { SessionEvent } from "./session-state.ts"
import type { RetryOpts, StreamErrorHandler } from "./stream-options.ts"

/** What an error is handled with. */
export interface ErrorContext {
  readonly onError: StreamErrorHandler | undefined
  /** From the last retry that the handler requested to this failure; Infinity if there was none. */
  readonly sinceLastMs: number
  /** Applies what the handler changes. What it throws ends the session. */
  readonly change: (changes: RetryOpts) => void
}

/**
 * Lets the error handler decide. Its decision does not replace `Retry-After`, which passes while the handler runs.
 *
 * @param context - what it is handled with
 * @param error - what a request failed with
 * @param signal - ends the wait for the handler; not aborted yet
 */
export async function handleError(
  { onError, sinceLastMs, change }: ErrorContext,
  error: unknown,
  signal: AbortSignal,
): Promise<SessionEvent> {
  const startedAtMs = monotonicMs()
  const askedMs = failureOf(error)?.retryAfterMs ?? 0
  const handled = (reason: unknown, changes?: RetryOpts): SessionEvent => ({
    kind: "error-handled",
    retry: changes !== undefined,
    error: reason,
    offset: changes?.offset,
    retryAfterMs: Math.max(0, askedMs - (monotonicMs() - startedAtMs)),
    sinceLastMs,
  })
  try {
    const changes = await callErrorHandler(onError, error, signal)
    if (changes === undefined) return handled(error)
    const { offset } = changes
    if (offset !== undefined && !isOffset(offset)) {
      throw badOption("onError.offset", 'a stored offset, "-1" or "now"', offset)
    }
    change(changes)
    return handled(error, changes)
  } catch (thrown) {
    return handled(thrown)
  }
}

/**
 * Calls the error handler.
 *
 * @param error - what a request failed with; a header function may have thrown anything
 * @param signal - ends the wait for the handler; not aborted yet
 * @returns what to change before the request is made again; undefined if the session is to end
 * @throws what the handler threw
 */
export async function callErrorHandler(
  onError: StreamErrorHandler | undefined,
  error: unknown,
  signal: AbortSignal,
): Promise<RetryOpts | undefined> {
  let unwatch: () => void = () => undefined
  // Watched before the handler is called, which may end the session itself and then never settle.
  const aborted = new Promise<undefined>((resolve) => {
    unwatch = onAbort(signal, () => {
      resolve(undefined)
    })
  })
  try {
    // Whatever a request throws is an Error.
    const decision: unknown = await Promise.race([onError?.(error as Error), aborted])
    // Nothing, or the null of a JavaScript caller, ends the session; an object is what the handler's type says.
    return typeof decision === "object" && decision !== null ? decision : undefined
  } finally {
    unwatch()
  }
}
