import { DurableStreamError } from "./durable-stream-error.ts"

/** The caller's signal was aborted, or the session cancelled. `cause` is the signal's reason. */
export class FetchBackoffAbortError extends DurableStreamError {
  override name = "FetchBackoffAbortError"
  override readonly code = "ABORTED"

  /** @param reason - the signal's reason */
  constructor(reason?: unknown) {
    super("The operation was aborted.", "ABORTED", undefined, undefined, { cause: reason })
  }
}
