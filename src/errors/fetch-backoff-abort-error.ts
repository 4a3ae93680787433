import { DurableStreamError, isDurableStreamError } from "./durable-stream-error.ts"

/**
 * The caller's signal was aborted, or the session cancelled. `name` is `AbortError`, as of the platform's own; `cause` is the
 * signal's reason.
 */
export class FetchBackoffAbortError extends DurableStreamError {
  override name = "AbortError"
  declare code: "ABORTED"

  /** @param reason - the signal's reason */
  constructor(reason?: unknown) {
    super("Stream request was aborted", "ABORTED", undefined, undefined, { cause: reason })
  }

  /** Whether a value is such an error, also one of another copy of this package. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    if (super[Symbol.hasInstance](value)) return true
    return (
      this === FetchBackoffAbortError && isDurableStreamError(value) && value.name === "AbortError"
    )
  }
}
