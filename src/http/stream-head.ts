import { DurableStreamError } from "../errors/durable-stream-error.ts"
import {
  CONTENT_TYPE_HEADER,
  STREAM_EXPIRES_AT_HEADER,
  STREAM_OFFSET_HEADER,
  STREAM_TTL_HEADER,
} from "../protocol/names.ts"
import type { Offset } from "../protocol/offset.ts"
import { headerOf, integerHeader, saysClosed } from "../protocol/response-metadata.ts"
import { LinkedAbortController } from "./abort.ts"
import type { Endpoint } from "./endpoint.ts"
import { exchange, type StreamRequest } from "./request.ts"
import type { RetryNotice, RetryPolicy } from "./retry-loop.ts"

/** What `head()` found out about a stream that exists. */
export interface ExistingStream {
  exists: true
  contentType?: string
  /** The tail: where the next append will be stored. */
  offset?: Offset
  etag?: string
  cacheControl?: string
  /** Whether the stream is closed for good. */
  streamClosed: boolean
  /** The sliding time to live in seconds, if the stream has one. */
  ttlSeconds?: number
  /** The time of expiry, RFC 3339, if the stream has one. */
  expiresAt?: string
}

/** The result of `head()`. If there is no stream, `exists: false` is all there is; the rest can be read all the same. */
export type HeadResult =
  | ExistingStream
  | ({ exists: false } & { [Name in Exclude<keyof ExistingStream, "exists">]?: undefined })

const HEAD = { method: "HEAD", operation: "head", retry: "idempotent" } as const

/** How long a server may take to respond to a HEAD that a write waits for: some never do. */
const CONTENT_TYPE_TIMEOUT_MS = 1000
/** The same for a write that was rejected, perhaps for its content type. A slow network takes longer than a second. */
const NEEDED_TYPE_TIMEOUT_MS = 10_000

/**
 * Requests a stream's metadata.
 *
 * @returns `exists: false` if there is no such stream
 * @throws as `exchange` does, for every other response
 */
export async function headStream(endpoint: Endpoint, signal?: AbortSignal): Promise<HeadResult> {
  const request: StreamRequest = {
    ...HEAD,
    retry: "quick",
    accepts: (status: number) => status === 404,
  }
  const { status, headers } = await exchange(endpoint, request, signal)
  return status === 404 ? { exists: false } : existingStream(headers)
}

/**
 * Requests the metadata of a stream that has to exist.
 *
 * @throws FetchError `NOT_FOUND` if there is none, otherwise as {@link headStream}
 */
export async function headExistingStream(
  endpoint: Endpoint,
  signal?: AbortSignal,
  retry: RetryPolicy = "quick",
): Promise<ExistingStream> {
  return existingStream((await exchange(endpoint, { ...HEAD, retry }, signal)).headers)
}

/** @returns where a stream ends; an empty string if the server does not say */
export function findTail(endpoint: Endpoint, signal?: AbortSignal): Promise<Offset> {
  return headStream(endpoint, signal).then(
    ({ offset = "" }) => offset,
    () => "",
  )
}

/**
 * Finds out a stream's content type with one HEAD, for a write that needs it. The one place that decides when a write goes
 * on without: if the server rejects HEAD itself (403, 405, 501, …), or does not respond to it in time.
 *
 * @param isNeeded - whether the write cannot go on without
 * @returns undefined if the server does not say
 * @throws `NOT_FOUND` or `GONE`; else as `exchange`: failures that the write would meet as well are retried
 */
export async function askContentType(
  endpoint: Endpoint,
  signal?: AbortSignal,
  isNeeded = false,
  onRetry?: (notice: RetryNotice) => void,
): Promise<string | undefined> {
  const limited = new LinkedAbortController(endpoint.signal, signal)
  const limitMs = isNeeded ? NEEDED_TYPE_TIMEOUT_MS : CONTENT_TYPE_TIMEOUT_MS
  const head = { isSlow: false }
  let timer: ReturnType<typeof setTimeout> | undefined
  const stopTimer = () => {
    clearTimeout(timer)
  }
  const observer = {
    onRequest() {
      timer = setTimeout(
        () => {
          head.isSlow = true
          limited.abort()
        },
        Math.min(limitMs, endpoint.requestTimeoutMs),
      )
    },
    onResponse: stopTimer,
    onRetry(notice: RetryNotice) {
      stopTimer()
      onRetry?.(notice)
    },
  }
  try {
    const request = { ...HEAD, timeoutMs: Infinity, observer }
    const { headers } = await exchange(endpoint, request, limited.signal)
    return headerOf(headers, CONTENT_TYPE_HEADER)
  } catch (error) {
    if (head.isSlow || rejectsHead(error)) return undefined
    throw error
  } finally {
    stopTimer()
    limited.end()
  }
}

/** Whether a rejection concerns the method, or the right to it, and not the stream. */
function rejectsHead(error: unknown): boolean {
  const { status = 0 } = error instanceof DurableStreamError ? error : {}
  return status === 501 || (status >= 400 && status < 500 && status !== 404 && status !== 410)
}

function existingStream(headers: Headers): ExistingStream {
  const found = {
    exists: true,
    contentType: headerOf(headers, CONTENT_TYPE_HEADER),
    offset: headerOf(headers, STREAM_OFFSET_HEADER),
    etag: headerOf(headers, "etag"),
    cacheControl: headers.get("cache-control") ?? undefined,
    streamClosed: saysClosed(headers),
    ttlSeconds: integerHeader(headers, STREAM_TTL_HEADER),
    expiresAt: headerOf(headers, STREAM_EXPIRES_AT_HEADER),
  }
  // What the type says, without the undefined fields.
  return Object.fromEntries(
    Object.entries(found).filter(([, value]) => value !== undefined),
  ) as unknown as ExistingStream
}
