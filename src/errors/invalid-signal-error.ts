import { DurableStreamError } from "./durable-stream-error.ts"

/** The option `signal` is not an AbortSignal. */
export class InvalidSignalError extends DurableStreamError {
  static override readonly name: string = "InvalidSignalError"
  override name = "InvalidSignalError"

  constructor() {
    super("The option signal must be an AbortSignal.", "BAD_REQUEST")
  }
}
