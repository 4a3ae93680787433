import { errorBody, MAX_ERROR_BODY_CHARS, type ErrorBody } from "../errors/durable-stream-error.ts"
import type { FetchError } from "../errors/fetch-error.ts"
import { decodeUtf8 } from "../platform/text.ts"
import { byteView, joinBytes } from "../protocol/bytes.ts"
import { mediaType } from "../protocol/content-type.ts"
import {
  CONTENT_TYPE_HEADER,
  PRODUCER_EPOCH_HEADER,
  PRODUCER_SEQ_HEADER,
  STREAM_CLOSED_HEADER,
  STREAM_OFFSET_HEADER,
  STREAM_UP_TO_DATE_HEADER,
} from "../protocol/names.ts"
import { hasHeader } from "../protocol/response-metadata.ts"
import { raceAbort } from "./abort.ts"
import { Deadline } from "./deadline.ts"
import { transferError } from "./failure.ts"

/** A body that trickles for longer than this is read no further; what is made of it must not wait. */
const MAX_BODY_MS = 5_000

/** A body whose beginning takes longer than this counts as one. */
const MAX_PEEK_MS = 1_000

/**
 * Gives what `fetch` resolved with if it is a response, and throws, as `fetch` should have, if it is not: a mock that forgot
 * to respond, `Response.error()` as service workers give it, and a response that the platform hides.
 */
export function checkResponse(response: Response): Response {
  if (!isResponse(response)) throw new TypeError("The option fetch resolved without a Response")
  const { type, status } = response
  if (type === "opaque" || type === "opaqueredirect") {
    throw new TypeError("The option fetch resolved with an opaque Response: use the mode cors")
  }
  if (status === 0) throw new TypeError("network error")
  return response
}

/** Whether a value has what the client reads of a Response first, in whatever realm it was made. */
function isResponse(value: unknown): value is Response {
  // Any value may be asked for a property, but null and undefined.
  const given = value as Partial<Response> | null | undefined
  return typeof given?.status === "number" && typeof given.headers?.get === "function"
}

/** Whether responses with a status have no body: the platform makes no Response of one that has. */
export function isBodiless(status: number): boolean {
  return [204, 205, 304].includes(status)
}

/** Lets go of a body that nobody will read, so that its connection is free. */
export function releaseBody(response: Response): void {
  if (response.bodyUsed) return
  // React Native's and node-fetch's bodies are not the platform's streams; their requests end with the signal.
  const body = response.body as Partial<ReadableStream> | null | undefined
  // The caller has no use for its end, however it ends.
  body?.cancel?.().catch(() => undefined)
}

/** Reads the body of a response that is not a success: once, bounded in size and time, never failing. */
export async function readErrorBody(response: Response, signal?: AbortSignal): Promise<ErrorBody> {
  const { text } = await readBody(response, MAX_ERROR_BODY_CHARS, MAX_BODY_MS, signal)
  return errorBody(text, response.headers.get(CONTENT_TYPE_HEADER))
}

/** Only servers of the protocol send any of these. */
const protocolHeaders = [
  STREAM_OFFSET_HEADER,
  STREAM_CLOSED_HEADER,
  PRODUCER_EPOCH_HEADER,
  PRODUCER_SEQ_HEADER,
] as const

/**
 * The error of a write whose success did not come from a server of the protocol: something in between responded (a login
 * page, a gateway's JSON, a queue's 202), or a redirect (301, 302, 303) turned the write into a read. The same for a HEAD
 * that gets a page or such a status. Takes the body of a response that needs a look at it.
 *
 * @param response - a success, its body unread
 * @returns undefined if the response can be the server's
 */
export async function unexpectedResponse(
  method: string,
  response: Response,
  url: string,
  signal: AbortSignal,
): Promise<FetchError | undefined> {
  const { status, headers, redirected } = response
  const has = (name: string) => hasHeader(headers, name)
  const isOurs = protocolHeaders.some(has)
  const foreign = `the response (status ${status}) did not come from a Durable Streams server`
  const error = (effect: "none" | "unknown", reason = foreign) => {
    releaseBody(response)
    return transferError(url, { kind: "malformed", status, reason, effect, retryable: false })
  }
  if (method === "GET") return undefined
  const isOthers = [202, 205, 206].includes(status)
  if (method === "HEAD") {
    const isPage = mediaType(headers.get(CONTENT_TYPE_HEADER)) === "text/html"
    return isOthers || (isPage && !isOurs) ? error("none") : undefined
  }
  if (redirected && has(STREAM_UP_TO_DATE_HEADER)) {
    const reason = "a redirect turned the write into a read (use 307 or 308), nothing was written"
    return error("none", reason)
  }
  // Behind a redirect, the headers can be those of a page that was read.
  const isSure = isOurs && (!redirected || method !== "POST" || has(PRODUCER_EPOCH_HEADER))
  const isForeign = isOthers || (!isSure && (await hasContent(response, signal)))
  return isForeign ? error("unknown") : undefined
}

/** Whether a response has a body that is not empty. Reads its beginning, if the headers do not say. */
async function hasContent(response: Response, signal: AbortSignal): Promise<boolean> {
  const length = response.headers.get("content-length")
  if (isBodiless(response.status) || response.body === null || length === "0") return false
  // React Native's and mocks' responses have none.
  const body = response.body as ReadableStream | undefined
  // A layer that has read it says no more.
  if (response.bodyUsed || body?.locked === true) return Number(length) > 0
  const { text, isWhole } = await readBody(response, 1, MAX_PEEK_MS, signal)
  return text !== "" || !isWhole
}

/** Reads a body as far as it is wanted, and releases the rest. Never fails. */
async function readBody(
  response: Response,
  maxBytes: number,
  maxMs: number,
  signal: AbortSignal | undefined,
): Promise<{ text: string; isWhole: boolean }> {
  // React Native's responses have no stream, and their bodies are in memory already; node-fetch's have one of Node's.
  const body = response.body as Partial<ReadableStream<Uint8Array>> | null | undefined
  if (body === null || response.bodyUsed || body?.locked === true)
    return { text: "", isWhole: true }
  const reader = body?.getReader?.()
  let text = ""
  const chunks: Uint8Array[] = []
  let isWhole = false
  const read = async () => {
    // A mock's can have no body at all.
    if (reader === undefined) text = (await (response as Partial<Response>).text?.()) ?? ""
    for (let size = 0; reader !== undefined && size < maxBytes;) {
      const { done, value } = await reader.read()
      isWhole = done && !limit.signal.aborted
      const bytes = byteView(value)
      if (bytes === undefined) return
      chunks.push(bytes.subarray(0, maxBytes - size))
      size += bytes.byteLength
    }
    isWhole = reader === undefined
  }
  // The response is thrown away: nothing depends on whether its connection could be told.
  const release = () => void reader?.cancel().catch(() => undefined)
  const limit = new Deadline(signal, maxMs, () => new Error("too slow"))
  limit.signal.addEventListener("abort", release)
  try {
    await raceAbort(read(), limit.signal)
  } catch {
    // A body that breaks off says as much as it said.
    isWhole = false
  } finally {
    limit.end()
    release()
  }
  return { text: text.slice(0, maxBytes) || decodeUtf8(joinBytes(chunks)), isWhole }
}

/**
 * The response that an error carries. Layers over `fetch` throw if the response is not a success: `createFetchWithBackoff` a
 * FetchError, others an error with the Response in the property `response` (ky, ofetch), or the Response itself. Such an error
 * is the server's word, not a failure of the network.
 *
 * @param error - what a `fetch` threw
 * @param needsBody - whether a success is of no use without its body, as a read's: what an error carries has been read, or
 *   has broken off
 * @returns undefined if it carries none
 */
export function responseFromError(error: unknown, needsBody: boolean): Response | undefined {
  if (typeof error !== "object" || error === null) return undefined
  // Any object may be asked for a property.
  const { response } = error as { response?: unknown }
  const found = [error, response].find(isResponse)
  const copied = found === undefined ? responseOfFetchError(error) : withHeaders(found)
  if (copied === undefined || copied.status < 200 || copied.status > 599) return undefined
  return needsBody && copied.status < 300 ? undefined : copied
}

/** Of this package's FetchError, or of that of another copy, which may be older. */
function responseOfFetchError(error: object): Response | undefined {
  // Any object may be asked for these; each is checked.
  const { name, status = 0, headers, text, json } = error as Partial<FetchError>
  if (name !== "FetchError" || status < 200 || typeof headers !== "object") return undefined
  const content = json === undefined ? text : JSON.stringify(json)
  return responseOf(isBodiless(status) ? undefined : content, status, headers)
}

/** Some layers' headers can be asked for by name, but not listed as the platform's are. */
function withHeaders(response: Response): Response | undefined {
  const { status, headers } = response
  // The type says what the platform's have.
  if (typeof (headers as Partial<Headers>).entries === "function") return response
  return responseOf(undefined, status, headers)
}

/** Undefined for what no response can hold, and on a platform without Response. */
function responseOf(
  body: string | undefined,
  status: number,
  headers: Headers | Record<string, string>,
): Response | undefined {
  try {
    // Iterated, as the platform takes no other class for headers.
    const list = isHeaders(headers) ? [...headers] : headers
    return new Response(body ?? null, { status, headers: list })
  } catch {
    return undefined
  }
}

function isHeaders(headers: Headers | Record<string, string>): headers is Headers {
  return typeof headers.get === "function"
}
