import { FetchBackoffAbortError } from "../errors/fetch-backoff-abort-error.ts"
import { FetchError } from "../errors/fetch-error.ts"
import { PRODUCER_ID_HEADER } from "../protocol/names.ts"
import { describeUrl } from "../protocol/request-url.ts"
import { LinkedAbortController, raceAbort, throwIfAborted } from "./abort.ts"
import { responseFromError } from "./response-from-error.ts"
import { resolveBackoff, type BackoffOptions } from "./backoff.ts"
import { checkResponse } from "./check-response.ts"
import { fetchFailure, responseFailure, withFailure } from "./failure.ts"
import { retryLoop, type AttemptOutcome, type RetryPolicy } from "./retry-loop.ts"

/** What HTTP calls so. Of any other method nobody knows what sending it twice does. */
const idempotentMethods: readonly string[] = ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]

/**
 * Wraps a `fetch` so that it tries again what the protocol allows to be tried again: 5xx, 429 (honouring
 * `Retry-After`) and network failures of reads and idempotent writes; for a POST without producer headers, and for
 * methods that are not idempotent such as PATCH, only 429, 500, 503 and refused connections.
 *
 * @param fetchClient - the fetch to wrap
 * @param backoffOptions - delays and count; default {@link BackoffDefaults}
 * @returns a fetch that resolves with 2xx answers only, and rejects with `FetchError` for every other answer and for
 *   network failures once retries are used up, or with `FetchBackoffAbortError` on abort. It can be the option `fetch` of
 *   everything here: its errors are taken for the answers that they carry
 * @example
 * ```ts
 * import { BackoffDefaults, createFetchWithBackoff } from "@durable-streams/client"
 *
 * const patientFetch = createFetchWithBackoff(fetch, { ...BackoffDefaults, maxRetries: 5 })
 * const response = await patientFetch("https://streams.example.com/chat?offset=-1")
 * console.log(response.status)
 * ```
 */
export function createFetchWithBackoff(
  fetchClient: typeof globalThis.fetch,
  backoffOptions: BackoffOptions = {},
): typeof globalThis.fetch {
  const backoff = resolveBackoff(backoffOptions)
  const fetch: typeof globalThis.fetch = async (input, init) => {
    const scope = new LinkedAbortController(
      init?.signal ?? (input instanceof Request ? input.signal : undefined),
    )
    const attempt = () =>
      // A Request's body is used up by sending it: each attempt sends a copy.
      attemptOnce(fetchClient, input instanceof Request ? input.clone() : input, init, scope.signal)
    try {
      return await retryLoop(attempt(), () => ({
        attempt,
        policy: policyOf(input, init),
        backoff,
        signal: scope.signal,
      }))
    } finally {
      scope.end()
    }
  }
  return fetch
}

async function attemptOnce(
  fetchClient: typeof globalThis.fetch,
  input: RequestInfo | URL,
  init: RequestInit | undefined,
  signal: AbortSignal,
): Promise<AttemptOutcome<Response>> {
  const url = input instanceof Request ? input.url : String(input)
  throwIfAborted(signal)
  let response: Response
  try {
    const call = async () => fetchClient(input, init)
    response = checkResponse(await raceAbort(call(), signal))
  } catch (error) {
    if (signal.aborted) throw new FetchBackoffAbortError(signal.reason)
    const answer = responseFromError(error, true)
    if (answer === undefined) {
      return { kind: "failed", error: fetchFailure(error, url, isWrite(input, init)) }
    }
    response = answer
  }
  if (response.ok) return { kind: "response", value: response }
  const failure = responseFailure(response, isWrite(input, init))
  const error = FetchError.fromResponse(response, describeUrl(url), {
    indeterminate: failure.effect === "unknown",
  })
  return { kind: "failed", error: withFailure(await raceAbort(error, signal), failure) }
}

function policyOf(input: RequestInfo | URL, init: RequestInit | undefined): RetryPolicy {
  const request = input instanceof Request ? input : undefined
  if (init?.body instanceof ReadableStream) return "never"
  const method = methodOf(input, init)
  if (idempotentMethods.includes(method)) return "idempotent"
  const headers = new Headers(init?.headers ?? request?.headers)
  return method === "POST" && headers.has(PRODUCER_ID_HEADER) ? "idempotent" : "not-processed"
}

function isWrite(input: RequestInfo | URL, init: RequestInit | undefined): boolean {
  return !["GET", "HEAD"].includes(methodOf(input, init))
}

function methodOf(input: RequestInfo | URL, init: RequestInit | undefined): string {
  const given = init?.method ?? (input instanceof Request ? input.method : "GET")
  return given.toUpperCase()
}
