import { FetchBackoffAbortError } from "../errors/fetch-backoff-abort-error.ts"
import { FetchError } from "../errors/fetch-error.ts"
import { describeUrl } from "../protocol/request-url.ts"
import { safeCause } from "./safe-cause.ts"

/**
 * Wraps a `fetch` so that it resolves only once the whole body has arrived: a body that breaks off rejects the
 * call, where a retry can still catch it, instead of a later read.
 *
 * @param fetchClient - the fetch to wrap
 * @returns a fetch whose answers carry a buffered body. Rejects with `FetchError` (status of the answer) where the
 *   body breaks off, with `FetchBackoffAbortError` on abort; not retried here
 * @example
 * ```ts
 * import { createFetchWithBackoff, createFetchWithConsumedBody } from "@durable-streams/client"
 *
 * const wholeFetch = createFetchWithBackoff(createFetchWithConsumedBody(fetch))
 * const text = await (await wholeFetch("https://streams.example.com/log?offset=-1")).text()
 * console.log(text.length)
 * ```
 */
export function createFetchWithConsumedBody(
  fetchClient: typeof globalThis.fetch,
): typeof globalThis.fetch {
  return async (input, init) => {
    const signal = init?.signal ?? (input instanceof Request ? input.signal : undefined)
    let response: Response
    try {
      response = await fetchClient(input, init)
    } catch (error) {
      throw signal?.aborted === true ? new FetchBackoffAbortError(signal.reason) : error
    }
    const { status, statusText, headers } = response
    if (response.body === null || status === 204 || status === 205 || status === 304)
      return response
    try {
      return new Response(await response.arrayBuffer(), { status, statusText, headers })
    } catch (error) {
      if (signal?.aborted === true) throw new FetchBackoffAbortError(signal.reason)
      const url = describeUrl(input instanceof Request ? input.url : String(input))
      throw new FetchError(
        status,
        undefined,
        undefined,
        Object.fromEntries(headers.entries()),
        url,
        `The body of the answer from ${url} broke off`,
        { code: "NETWORK", cause: safeCause(error) },
      )
    }
  }
}
