import { DurableStreamError } from "../errors/durable-stream-error.ts"
import type { DurableStreamErrorCode } from "../errors/error-code.ts"

/** An outbox that cannot deliver, cannot take a message, or cannot reach its store. */
export class OutboxError extends DurableStreamError {
  override name = "OutboxError"
  /** Whether what failed may have happened: the sealed batch may be in the stream, or the message in the store. */
  indeterminate: boolean

  /**
   * @param message - what happened, to which outbox, and what to do
   * @param code - the same for programs; `STORE_FAILED` is an error of the store, in `cause`
   * @param options - `indeterminate` and `cause`
   */
  constructor(
    message: string,
    code: DurableStreamErrorCode,
    { indeterminate = false, cause }: { indeterminate?: boolean; cause?: unknown } = {},
  ) {
    super(message, code, undefined, undefined, cause === undefined ? undefined : { cause })
    this.indeterminate = indeterminate
  }
}
