import { Deadline } from "../http/deadline.ts"
import type { Endpoint } from "../http/endpoint.ts"
import { transferError } from "../http/failure.ts"
import { exchange } from "../http/request.ts"
import { askContentType } from "../http/stream-head.ts"
import { STREAM_OFFSET_HEADER } from "../protocol/names.ts"
import type { Offset } from "../protocol/offset.ts"

/**
 * Finds out a stream's content type.
 *
 * @param timeoutMs - how long failures are retried that a POST would meet as well
 * @returns undefined if the server does not say
 * @throws what the server says of the stream; `TIMEOUT`
 */
export async function requestContentType(
  endpoint: Endpoint,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<string | undefined> {
  const limit = new Deadline(signal, timeoutMs, () =>
    transferError(endpoint.url, {
      kind: "timeout",
      reason: `no response to HEAD within ${timeoutMs} ms (deliveryTimeoutMs)`,
    }),
  )
  try {
    return await askContentType(endpoint, limit.signal)
  } catch (error) {
    throw limit.timeout ?? error
  } finally {
    limit.end()
  }
}

/** Asks the server, once, where a stream ends. @returns an empty string if that cannot be found out */
export async function requestTail(endpoint: Endpoint, signal: AbortSignal): Promise<Offset> {
  try {
    const request = { method: "HEAD", operation: "head", retry: "never" } as const
    const { headers } = await exchange(endpoint, request, signal)
    return headers.get(STREAM_OFFSET_HEADER) ?? ""
  } catch {
    return ""
  }
}
