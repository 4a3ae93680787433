import { describeUrl } from "../protocol/request-url.ts"
import type { DurableStreamErrorCode } from "./error-code.ts"
import { codeByHeaders } from "./status-code.ts"

/** The parts of an HTTP failure that {@link DurableStreamError.fromFetchError} takes over. */
export interface HttpFailure {
  message: string
  status: number
  code?: DurableStreamErrorCode
  text?: string | undefined
  json?: object | undefined
}

const brand = Symbol.for("@durable-streams/client.error")

/**
 * The base of every error that this package throws; `code` says what happened. `instanceof` also recognises the errors of
 * another copy of this package. For another thread or a log, send `error.toJSON()`.
 */
export class DurableStreamError extends Error {
  override name = "DurableStreamError"
  /** What went wrong, for programs. */
  code: DurableStreamErrorCode
  /** The HTTP status, if a response is behind the error; 0 if a request got none. */
  declare status?: number
  /** What else is known: the body of the response, the options at fault. */
  declare details?: unknown

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
    hide(this, brand, true)
    this.code = code
    if (status !== undefined) this.status = status
    if (details !== undefined) this.details = details
  }

  /** Whether a value is such an error, also one of another copy of this package. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    if (Function.prototype[Symbol.hasInstance].call(this, value)) return true
    if (!isDurableStreamError(value)) return false
    // Those of another copy are told by the name, which minifiers keep.
    return this === DurableStreamError || this.name === value.name
  }

  /**
   * Makes an error of a response that is not a success. Reads its body.
   *
   * @param response - the response
   * @param url - the request's URL; the message shows it without its query
   */
  static async fromResponse(response: Response, url: string): Promise<DurableStreamError> {
    const { text, json } = await plainBody(response)
    const { status, headers } = response
    return new DurableStreamError(
      httpErrorMessage(status, url),
      codeByHeaders(status, headers),
      status,
      json ?? text,
    )
  }

  /** Makes a plain protocol error of an HTTP failure, keeping its code, status and body. */
  static fromFetchError(error: HttpFailure): DurableStreamError {
    const { message, status, text, json, code = codeByHeaders(status) } = error
    return new DurableStreamError(message, code, status, json ?? text, { cause: error })
  }

  /** The name, message, code and status and what else the error knows; without headers, stack and cause. */
  toJSON(): Record<string, unknown> {
    return Object.fromEntries([["message", this.message], ...Object.entries(this)])
  }
}

/**
 * Whether a value is an error of this package, also one of another copy of it.
 *
 * @example
 * ```ts
 * import { isDurableStreamError, stream } from "@durable-streams/client"
 *
 * try {
 *   await stream({ url: "https://streams.example.com/none", live: false })
 * } catch (error) {
 *   if (!isDurableStreamError(error) || error.code !== "NOT_FOUND") throw error
 * }
 * ```
 */
export function isDurableStreamError(value: unknown): value is DurableStreamError {
  // Any object may be asked for a property.
  return typeof value === "object" && (value as { [brand]?: unknown } | null)?.[brand] === true
}

/** Sets a property that logs and copies leave out. */
export function hide(error: object, key: PropertyKey, value: unknown): void {
  Object.defineProperty(error, key, { value, configurable: true, writable: true })
}

/** An error body longer than this, in characters, is cut: a page of HTML must not fill the memory. */
export const MAX_ERROR_BODY_CHARS = 64 * 1024

/** The body of a response that is not a success: parsed if it says that it is JSON and is, else its text. */
export type ErrorBody = Pick<HttpFailure, "text" | "json">

/** Sorts the text of a body. */
export function errorBody(text: string, contentType: string | null | undefined): ErrorBody {
  try {
    const json: unknown = /json/i.test(contentType ?? "") && JSON.parse(text)
    if (typeof json === "object" && json !== null) return { json }
  } catch {
    // Then it is text.
  }
  return text === "" ? {} : { text }
}

/** Reads the body of a response that a program has, or of a mock that has no more than `json()`. Never fails. */
export async function plainBody(response: Partial<Response>): Promise<ErrorBody> {
  try {
    const text = (await response.text?.())?.slice(0, MAX_ERROR_BODY_CHARS)
    if (text !== undefined) return errorBody(text, response.headers?.get("content-type"))
    // What a mock's json() gives is what its author wants to see.
    return { json: (await response.json?.()) as object }
  } catch {
    return {}
  }
}

/** The message of an HTTP failure. It leaves out the query and the body, which can hold secrets. */
export function httpErrorMessage(status: number, url: string): string {
  return `The request to ${describeUrl(url)} failed with status ${status}`
}
