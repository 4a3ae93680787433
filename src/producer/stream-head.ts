import { FetchBackoffAbortError } from "../errors/fetch-backoff-abort-error.ts"
import { FetchError } from "../errors/fetch-error.ts"
import { AttemptLimit } from "../http/attempt-limit.ts"
import type { Endpoint } from "../http/endpoint.ts"
import { exchange } from "../http/request.ts"
import { CONTENT_TYPE_HEADER, STREAM_OFFSET_HEADER } from "../protocol/names.ts"
import type { Offset } from "../protocol/offset.ts"
import { describeUrl } from "../protocol/request-url.ts"

/** What a producer asks about a stream. */
export interface StreamHead {
  readonly contentType: string
  /** An empty string where the server does not say. */
  readonly tail: Offset
}

/**
 * Asks the server about a stream, by one HEAD that is tried again as reads are.
 *
 * @param timeoutMs - how long it is tried
 * @param signal - ends it
 * @throws what HEAD is answered, `TIMEOUT`, or FetchBackoffAbortError
 */
export async function askForHead(
  endpoint: Endpoint,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<StreamHead> {
  const limit = new AttemptLimit(signal, timeoutMs, () => timeoutError(endpoint.url, timeoutMs))
  try {
    const request = { method: "HEAD", operation: "head", retry: "idempotent" } as const
    const { headers } = await exchange(endpoint, request, limit.signal)
    // A stream that was created without a type has this one.
    const contentType = headers.get(CONTENT_TYPE_HEADER) ?? "application/octet-stream"
    return { contentType, tail: headers.get(STREAM_OFFSET_HEADER) ?? "" }
  } catch (error) {
    throw error instanceof FetchBackoffAbortError ? (limit.timeout ?? error) : error
  } finally {
    limit.end()
  }
}

/**
 * Asks the server, once, where a stream ends.
 *
 * @returns an empty string where that cannot be found out
 */
export async function askForTail(endpoint: Endpoint, signal: AbortSignal): Promise<Offset> {
  try {
    const request = { method: "HEAD", operation: "head", retry: "never" } as const
    const { headers } = await exchange(endpoint, request, signal)
    return headers.get(STREAM_OFFSET_HEADER) ?? ""
  } catch {
    return ""
  }
}

function timeoutError(url: string, timeoutMs: number): FetchError {
  const stream = describeUrl(url)
  const message = `The content type of ${stream} could not be found out within ${timeoutMs} ms (deliveryTimeoutMs).`
  return new FetchError(0, undefined, undefined, {}, stream, message, { code: "TIMEOUT" })
}
