import { DurableStreamError } from "../errors/durable-stream-error.ts"
import type { Endpoint } from "../http/endpoint.ts"
import type { HeadersRecord } from "../http/request-inputs.ts"
import { CONTENT_TYPE_HEADER } from "../protocol/names.ts"
import { headExistingStream } from "./head-stream.ts"

/** Refusals of a HEAD that speak of the method or of the right to it, not of the stream. */
const UNHELPFUL_STATUSES = [400, 401, 403, 405, 501]

/** What a handle knows of its stream's content type: told by the caller, or learned from the server. */
export class StreamContentType {
  /** The content type; undefined while nobody knows it. */
  current: string | undefined
  readonly #endpoint: Endpoint

  /** @param given - what the caller says; default: the endpoint's `content-type` header */
  constructor(endpoint: Endpoint, given?: string) {
    this.#endpoint = endpoint
    this.current = given ?? contentTypeHeader(endpoint.headers)
  }

  /**
   * Asks the server, with one HEAD.
   *
   * @returns the content type, or undefined where the server does not say
   * @throws `NOT_FOUND` where there is no stream, else as `exchange`
   */
  async ask(signal?: AbortSignal): Promise<string | undefined> {
    try {
      const { contentType } = await headExistingStream(this.#endpoint, signal)
      if (contentType !== undefined) this.current = contentType
      return contentType
    } catch (error) {
      const isUnhelpful =
        error instanceof DurableStreamError && UNHELPFUL_STATUSES.includes(error.status ?? 0)
      if (isUnhelpful) return undefined
      throw error
    }
  }
}

/** The content type among headers, whatever the case of its name; undefined where a function gives it. */
export function contentTypeHeader(headers: HeadersRecord = {}): string | undefined {
  for (const [name, value] of Object.entries(headers)) {
    if (name.toLowerCase() === CONTENT_TYPE_HEADER && typeof value === "string") return value
  }
  return undefined
}
