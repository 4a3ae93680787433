import { plainHeaders } from "../protocol/response-metadata.ts"
import { DurableStreamError, hide, httpErrorMessage, plainBody } from "./durable-stream-error.ts"
import type { DurableStreamErrorCode } from "./error-code.ts"
import { codeByHeaders } from "./status-code.ts"

/** What to do if a write is indeterminate. */
export const INDETERMINATE_HINT = "The write may have succeeded. Check the stream before retrying."

/** What a {@link FetchError} can be told beyond the response itself. */
export interface FetchErrorOptions {
  /** Default: what the status means. */
  code?: DurableStreamErrorCode | undefined
  cause?: unknown
  /** @default false */
  indeterminate?: boolean | undefined
}

/** An HTTP response that is not a success, or a request without a usable response (status 0). */
export class FetchError extends DurableStreamError {
  static override readonly name: string = "FetchError"
  override name = "FetchError"
  declare status: number
  /** The response's body, cut at 64 KiB, if it is not JSON. Logs leave it out. */
  declare text?: string
  /** The response's body, if it is JSON. */
  declare json?: object
  /** The response's headers, names in lower case. Logs leave them out. */
  declare headers: Record<string, string>
  /** The stream's URL. Errors made by this package leave its query out, as it can hold secrets. */
  url: string
  /** True if a write was sent and may have been stored. Check the stream before you send it again. */
  indeterminate: boolean

  /**
   * @param status - the HTTP status, 0 for a request without a response
   * @param text - the body, if it is not JSON
   * @param json - the body, if it is
   * @param headers - the response's headers
   * @param url - the stream's URL
   * @param message - default: the status and the URL without its query
   * @param options - code, cause, and whether a write is indeterminate
   */
  constructor(
    status: number,
    text: string | undefined,
    json: object | undefined,
    headers: Record<string, string>,
    url: string,
    message: string = httpErrorMessage(status, url),
    { code, cause, indeterminate = false }: FetchErrorOptions = {},
  ) {
    const get = (name: string) => headers[name.toLowerCase()] ?? headers[name]
    super(
      message,
      code ?? (status === 0 ? "NETWORK" : codeByHeaders(status, { get })),
      status,
      undefined,
      cause === undefined ? undefined : { cause },
    )
    // They can be long, and hold what no log should.
    hide(this, "details", json ?? text)
    hide(this, "headers", headers)
    if (text !== undefined) hide(this, "text", text)
    if (json !== undefined) this.json = json
    this.url = url
    this.indeterminate = indeterminate
  }

  /**
   * Makes an error of a response that is not a success. Reads its body.
   *
   * @param response - the response
   * @param url - the request's URL; the message shows it without its query
   */
  static override async fromResponse(
    response: Response,
    url: string,
    options?: FetchErrorOptions,
  ): Promise<FetchError> {
    const { text, json } = await plainBody(response)
    const { status, headers } = response
    return new FetchError(status, text, json, plainHeaders(headers), url, undefined, options)
  }
}
