import { createEndpoint } from "./http/endpoint.ts"
import { openStream } from "./read/open-stream.ts"
import type { StreamOptions } from "./read/stream-options.ts"
import type { StreamResponse } from "./read/stream-response.ts"

/**
 * Reads a stream from any offset: what is stored first, page by page, and then what is appended, live.
 *
 * The first request is a catch-up read, which caches can answer. 5xx, 429 (honouring `Retry-After`) and network failures
 * are tried again with backoff; whatever breaks off later is resumed behind what was delivered.
 *
 * @param options - the stream, where to start and how to go on; see {@link StreamOptions}
 * @returns a response, once the first answer's headers are there; its consumption methods deliver the content
 * @throws FetchError with the answer's status and code (`NOT_FOUND`, `UNAUTHORIZED`, `GONE` …), where `onError` does not
 *   say to go on; status 0 and `NETWORK` once retries are used up
 * @throws DurableStreamError `BAD_REQUEST` for an option that cannot be, `PROTOCOL` where the answer is no stream's
 * @throws FetchBackoffAbortError where the signal is aborted before the first answer
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
  options: StreamOptions,
): Promise<StreamResponse<TJson>> {
  return openStream<TJson>(createEndpoint(options), options)
}
