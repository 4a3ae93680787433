import { DurableStreamError } from "./durable-stream-error.ts"

/** The option `signal` is no AbortSignal. */
export class InvalidSignalError extends DurableStreamError {
  override name = "InvalidSignalError"

  constructor() {
    super(
      "The option signal must be an AbortSignal, such as new AbortController().signal.",
      "BAD_REQUEST",
    )
  }
}
