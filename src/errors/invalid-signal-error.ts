import { DurableStreamError, isErrorOf } from "./durable-stream-error.ts"

/** The option `signal` is not an AbortSignal. */
export class InvalidSignalError extends DurableStreamError {
  override name = "InvalidSignalError"

  constructor() {
    super("The option signal must be an AbortSignal.", "BAD_REQUEST")
  }

  /** Whether a value is such an error, also one of another copy of this package. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return isErrorOf(value, this, InvalidSignalError, "InvalidSignalError")
  }
}
