import { plainHeaders } from "../protocol/response-metadata.ts"
import { DurableStreamError, httpErrorMessage } from "./durable-stream-error.ts"
import { readErrorBody } from "./error-body.ts"
import type { DurableStreamErrorCode } from "./error-code.ts"
import { codeForResponse } from "./status-code.ts"

/** What a {@link FetchError} can be told beyond the answer itself. */
export interface FetchErrorOptions {
  /** Default: what the status means. */
  readonly code?: DurableStreamErrorCode
  readonly cause?: unknown
  readonly indeterminate?: boolean
}

/** An HTTP answer that is no success, or a request that got no answer (status 0). */
export class FetchError extends DurableStreamError {
  override name = "FetchError"
  override readonly status: number
  /** The answer's body, cut at 64 KiB, where it is not JSON. */
  readonly text?: string
  /** The answer's body, where it is JSON. */
  readonly json?: object
  /** The answer's headers, names in lower case. */
  readonly headers: Record<string, string>
  /** The stream's URL. Errors made by this package leave its query out, as it can hold secrets. */
  readonly url: string
  /** True when a write was sent and nobody can say whether it was stored. Look before you send it again. */
  readonly indeterminate: boolean

  /**
   * @param status - the HTTP status, 0 for a request without an answer
   * @param text - the body, where it is not JSON
   * @param json - the body, where it is
   * @param headers - the answer's headers
   * @param url - the stream's URL
   * @param message - default: the status and the URL without its query
   * @param options - code, cause, and whether a write is in doubt
   */
  constructor(
    status: number,
    text: string | undefined,
    json: object | undefined,
    headers: Record<string, string>,
    url: string,
    message?: string,
    options: FetchErrorOptions = {},
  ) {
    super(
      message ?? httpErrorMessage(status, url),
      options.code ?? (status === 0 ? "NETWORK" : codeForResponse(status, new Headers(headers))),
      status,
      json ?? text,
      options.cause === undefined ? undefined : { cause: options.cause },
    )
    this.status = status
    if (text !== undefined) this.text = text
    if (json !== undefined) this.json = json
    this.headers = headers
    this.url = url
    this.indeterminate = options.indeterminate ?? false
  }

  /**
   * Makes an error of an answer that is no success. Reads the body, up to 64 KiB of it.
   *
   * @param response - the answer
   * @param url - the request's URL; the message shows it without its query
   */
  static override async fromResponse(
    response: Response,
    url: string,
    options: FetchErrorOptions = {},
  ): Promise<FetchError> {
    const { text, json } = await readErrorBody(response)
    return new FetchError(
      response.status,
      text,
      json,
      plainHeaders(response.headers),
      url,
      undefined,
      options,
    )
  }
}
