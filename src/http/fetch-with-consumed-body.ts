import { FetchBackoffAbortError } from "../errors/fetch-backoff-abort-error.ts"
import { FetchError } from "../errors/fetch-error.ts"
import { describeUrl } from "../protocol/request-url.ts"
import { plainHeaders } from "../protocol/response-metadata.ts"
import { LinkedAbortController, raceAbort, throwIfAborted } from "./abort.ts"
import { isBodiless } from "./bodiless.ts"
import { withFailure } from "./failure.ts"
import { releaseBody } from "./release-body.ts"
import { safeCause } from "./safe-cause.ts"

/**
 * Wraps a `fetch` so that it resolves only once the whole body has arrived: a body that breaks off rejects the
 * call, where a retry can still catch it, instead of a later read.
 *
 * @param fetchClient - the fetch to wrap
 * @returns a fetch whose answers carry a buffered body, and the `url`, `redirected` and `type` of what they are made of.
 *   Rejects with `FetchError` (status of the answer) where the body breaks off, with `FetchBackoffAbortError` at once on
 *   abort, also where the wrapped one ignores its signal; not retried here
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
    const scope = new LinkedAbortController(
      init?.signal ?? (input instanceof Request ? input.signal : undefined),
    )
    const { signal } = scope
    try {
      throwIfAborted(signal)
      const call = async () => fetchClient(input, init)
      const response = await raceAbort(call(), signal, releaseBody)
      return await consumed(response, input instanceof Request ? input.url : String(input), signal)
    } catch (error) {
      throw signal.aborted ? new FetchBackoffAbortError(signal.reason) : error
    } finally {
      scope.end()
    }
  }
}

async function consumed(response: Response, url: string, signal: AbortSignal): Promise<Response> {
  const { status, statusText, headers } = response
  if (response.body === null || isBodiless(status)) return response
  try {
    // One that goes on where `fetch` ignores the signal is nobody's any more.
    const body = await raceAbort(response.arrayBuffer(), signal)
    return asAnswerOf(response, new Response(body, { status, statusText, headers }))
  } catch (error) {
    const stream = describeUrl(url)
    const broken = new FetchError(
      status,
      undefined,
      undefined,
      plainHeaders(headers),
      stream,
      `The body of the response from ${stream} broke off`,
      { code: "NETWORK", cause: safeCause(error) },
    )
    throw withFailure(broken, {
      kind: "network",
      reason: "the body of the response broke off",
      retryable: true,
      effect: "unknown",
      retryAfterMs: 0,
      maxRetries: Infinity,
    })
  }
}

/**
 * Gives a copy what no Response can be made with: where it came from, and whether redirects led there. Without that a write
 * that a redirect has turned into a read would look stored.
 */
function asAnswerOf({ url, redirected, type }: Response, copy: Response): Response {
  return Object.defineProperties(copy, {
    url: { value: url },
    redirected: { value: redirected },
    type: { value: type },
  })
}
