import type { Endpoint } from "../http/endpoint.ts"
import { exchange } from "../http/request.ts"
import {
  CONTENT_TYPE_HEADER,
  STREAM_EXPIRES_AT_HEADER,
  STREAM_OFFSET_HEADER,
  STREAM_TTL_HEADER,
} from "../protocol/names.ts"
import { integerHeader, saysClosed } from "../protocol/response-metadata.ts"
import type { HeadResult } from "./write-options.ts"

/** What is known of a stream that is there. */
export type ExistingStream = Extract<HeadResult, { exists: true }>

/**
 * Asks for a stream's metadata.
 *
 * @returns `exists: false` where there is none
 * @throws as `exchange` does, for every other answer
 */
export async function headStream(endpoint: Endpoint, signal?: AbortSignal): Promise<HeadResult> {
  const { status, headers } = await exchange(
    endpoint,
    { ...headRequest, accepts: (status: number) => status === 404 },
    signal,
  )
  return status === 404 ? { exists: false } : existingStream(headers)
}

/**
 * Asks for the metadata of a stream that has to be there.
 *
 * @throws FetchError `NOT_FOUND` where there is none, else as {@link headStream}
 */
export async function headExistingStream(
  endpoint: Endpoint,
  signal?: AbortSignal,
): Promise<ExistingStream> {
  const { headers } = await exchange(endpoint, headRequest, signal)
  return existingStream(headers)
}

const headRequest = { method: "HEAD", operation: "head", retry: "idempotent" } as const

function existingStream(headers: Headers): ExistingStream {
  const contentType = headers.get(CONTENT_TYPE_HEADER)
  const offset = headers.get(STREAM_OFFSET_HEADER)
  const etag = headers.get("etag")
  const cacheControl = headers.get("cache-control")
  const ttlSeconds = integerHeader(headers, STREAM_TTL_HEADER)
  const expiresAt = headers.get(STREAM_EXPIRES_AT_HEADER)
  return {
    exists: true,
    streamClosed: saysClosed(headers),
    ...(contentType !== null && { contentType }),
    ...(offset !== null && { offset }),
    ...(etag !== null && { etag }),
    ...(cacheControl !== null && { cacheControl }),
    ...(ttlSeconds !== undefined && { ttlSeconds }),
    ...(expiresAt !== null && { expiresAt }),
  }
}
