import { DurableStreamError, isErrorOf } from "./durable-stream-error.ts"

/** No URL was given, or an empty one. */
export class MissingStreamUrlError extends DurableStreamError {
  override name = "MissingStreamUrlError"

  constructor() {
    super("The option url is missing: give the absolute URL of the stream.", "BAD_REQUEST")
  }

  /** Whether a value is such an error, also one of another copy of this package. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return isErrorOf(value, this, MissingStreamUrlError, "MissingStreamUrlError")
  }
}
