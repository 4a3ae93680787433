import { describeUrl } from "../protocol/request-url.ts"
import { readErrorBody } from "./error-body.ts"
import type { DurableStreamErrorCode } from "./error-code.ts"
import { codeForResponse } from "./status-code.ts"

/** The parts of an HTTP failure that {@link DurableStreamError.fromFetchError} takes over. */
export interface HttpFailure {
  readonly message: string
  readonly status: number
  readonly code?: DurableStreamErrorCode
  readonly text?: string | undefined
  readonly json?: object | undefined
}

/** The base of every error that this package throws. `code` says what happened. */
export class DurableStreamError extends Error {
  override name = "DurableStreamError"
  /** What went wrong, for programs. */
  readonly code: DurableStreamErrorCode
  /** The HTTP status, where an answer is behind the error; 0 where a request got none. */
  readonly status?: number
  /** What else is known: the body of the answer, the options at fault. */
  readonly details?: unknown

  /**
   * @param message - what happened, to which stream, and what to do
   * @param code - the same for programs
   * @param status - the HTTP status behind it
   * @param details - what else is known
   * @param options - `cause`: the error behind this one
   */
  constructor(
    message: string,
    code: DurableStreamErrorCode,
    status?: number,
    details?: unknown,
    options?: ErrorOptions,
  ) {
    super(message, options)
    this.code = code
    if (status !== undefined) this.status = status
    if (details !== undefined) this.details = details
  }

  /**
   * Makes an error of an answer that is no success. Reads the body, up to 64 KiB of it.
   *
   * @param response - the answer
   * @param url - the request's URL; the message shows it without its query
   */
  static async fromResponse(response: Response, url: string): Promise<DurableStreamError> {
    const { text, json } = await readErrorBody(response)
    return new DurableStreamError(
      httpErrorMessage(response.status, url),
      codeForResponse(response.status, response.headers),
      response.status,
      json ?? text,
    )
  }

  /** Makes a plain protocol error of an HTTP failure, keeping its code, status and body. */
  static fromFetchError(error: HttpFailure): DurableStreamError {
    return new DurableStreamError(
      error.message,
      error.code ?? codeForResponse(error.status, new Headers()),
      error.status,
      error.json ?? error.text,
      { cause: error },
    )
  }
}

/** The message of an HTTP failure. It leaves out the query and the body, which can hold secrets. */
export function httpErrorMessage(status: number, url: string): string {
  return `The server answered ${status} for ${describeUrl(url)}`
}
