import { warnOfUnknownOptions } from "./http/unknown-options.ts"
import { createEndpoint } from "./http/endpoint.ts"
import type { StandardSchemaV1 } from "./protocol/standard-schema.ts"
import { openStream } from "./read/session-response.ts"
import type { StreamOptions } from "./read/stream-options.ts"
import type { StreamResponse } from "./read/stream-response.ts"

/**
 * Reads a stream from any offset: what is stored first, page by page, and then what is appended, live.
 *
 * The first request is a catch-up read, which caches can serve. 5xx, 429 (with `Retry-After`) and network failures are retried
 * with back-off; a transfer that breaks later is resumed behind what was delivered.
 *
 * @param options - the stream, where to start and how to continue; see {@link StreamOptions}
 * @returns a response, once the headers of the first HTTP response have arrived; its consumption methods deliver the content
 * @throws FetchError with the status and code of the response (`NOT_FOUND`, `UNAUTHORIZED`, `GONE` …), unless `onError`
 *   continues; status 0 and `NETWORK` once retries are exhausted
 * @throws DurableStreamError `BAD_REQUEST` for an invalid option, `PROTOCOL` if the response is not that of a stream
 * @throws FetchBackoffAbortError if the signal is aborted before the first response
 * @example
 * ```ts
 * import { stream } from "@durable-streams/client"
 *
 * const response = await stream<{ text: string }>({
 *   url: "https://streams.example.com/chat/42",
 *   offset: "-1",
 *   live: true,
 * })
 * for await (const batch of response.jsonBatches()) {
 *   for (const message of batch.items) console.log(message.text)
 *   console.log("resume from", batch.offset)
 * }
 * ```
 */
export async function stream<TJson = unknown>(
  options: StreamOptions | (StreamOptions & { schema: StandardSchemaV1<unknown, TJson> }),
): Promise<StreamResponse<TJson>> {
  const endpoint = createEndpoint(options)
  warnOfUnknownOptions(options)
  return openStream(endpoint, options)
}
