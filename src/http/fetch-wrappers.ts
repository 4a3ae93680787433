import { FetchBackoffAbortError } from "../errors/fetch-backoff-abort-error.ts"
import { FetchError } from "../errors/fetch-error.ts"
import { PRODUCER_ID_HEADER } from "../protocol/names.ts"
import { describeUrl } from "../protocol/request-url.ts"
import { plainHeaders } from "../protocol/response-metadata.ts"
import { LinkedAbortController, raceAbort, throwIfAborted } from "./abort.ts"
import { resolveBackoff, type BackoffOverrides } from "./backoff.ts"
import { fetchFailure, responseFailure, transferError, withFailure } from "./failure.ts"
import {
  checkResponse,
  isBodiless,
  readErrorBody,
  releaseBody,
  responseFromError,
} from "./response.ts"
import { retryLoop, type AttemptOutcome, type RetryPolicy } from "./retry-loop.ts"

type Fetch = typeof globalThis.fetch
type FetchInput = Parameters<Fetch>[0]

/** What HTTP defines so. Of any other method nothing is known about sending it twice. */
const idempotentMethods: readonly string[] = ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]

/**
 * Wraps a `fetch` so that it retries what the protocol allows to be retried: 5xx, 429 (honouring `Retry-After`) and network
 * failures of reads and idempotent writes; for a POST without producer headers, and for methods that are not idempotent such
 * as PATCH, only 425, 429, 500, 503 and refused connections.
 *
 * @param fetchClient - the fetch to wrap
 * @param backoffOptions - delays and count; default {@link BackoffDefaults}
 * @returns a fetch that resolves with 2xx responses only, and rejects with `FetchError` for every other response and for
 *   network failures once retries are used up, or with `FetchBackoffAbortError` on abort. It can be the option `fetch` of
 *   everything here: its errors are taken for the responses that they carry
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
  fetchClient: Fetch,
  backoffOptions?: BackoffOverrides,
): Fetch {
  const backoff = resolveBackoff(backoffOptions)
  return (input, init) =>
    withSignal(input, init, async (signal) => {
      const request = describeRequest(input, init)
      const attempt = async (): Promise<AttemptOutcome<Response>> => {
        throwIfAborted(signal)
        let response: Response
        try {
          // A Request's body is used up by sending it: each attempt sends a copy.
          const call = async () =>
            fetchClient(isRequest(input) ? input.clone() : input, { ...init, signal })
          response = checkResponse(await raceAbort(call(), signal, releaseBody))
        } catch (error) {
          throwIfAborted(signal)
          const carried = responseFromError(error, true)
          if (carried === undefined) {
            return { kind: "failed", error: fetchFailure(error, request.url, request.isWrite) }
          }
          response = carried
        }
        if (response.ok) return { kind: "response", value: response }
        return { kind: "failed", error: await errorOf(response, request, signal) }
      }
      const { policy } = request
      return retryLoop(attempt(), () => ({ attempt, policy, backoff, signal }))
    })
}

async function errorOf(
  response: Response,
  { url, isWrite }: RequestDescription,
  signal: AbortSignal,
): Promise<FetchError> {
  const failure = responseFailure(response, isWrite)
  const { text, json } = await readErrorBody(response, signal)
  throwIfAborted(signal)
  const { status, headers } = response
  const indeterminate = failure.effect === "unknown"
  const stream = describeUrl(url)
  const given = plainHeaders(headers)
  const error = new FetchError(status, text, json, given, stream, undefined, { indeterminate })
  return withFailure(error, failure)
}

/**
 * Wraps a `fetch` so that it resolves only once the whole body has arrived: a body that breaks off rejects the call, where a
 * retry can still catch it, instead of a later read.
 *
 * @param fetchClient - the fetch to wrap
 * @returns a fetch whose responses carry a buffered body, and the `url`, `redirected` and `type` of what they are made of.
 *   Rejects with `FetchError` (status of the response) if the body breaks off, with `FetchBackoffAbortError` at once on
 *   abort, also if the wrapped one ignores its signal; not retried here
 * @example
 * ```ts
 * import { createFetchWithBackoff, createFetchWithConsumedBody } from "@durable-streams/client"
 *
 * const wholeFetch = createFetchWithBackoff(createFetchWithConsumedBody(fetch))
 * const text = await (await wholeFetch("https://streams.example.com/log?offset=-1")).text()
 * console.log(text.length)
 * ```
 */
export function createFetchWithConsumedBody(fetchClient: Fetch): Fetch {
  return (input, init) =>
    withSignal(input, init, async (signal) => {
      throwIfAborted(signal)
      const call = async () => fetchClient(input, { ...init, signal })
      const response = await raceAbort(call(), signal, releaseBody)
      const { status, statusText, headers, url, redirected, type } = response
      if (response.body === null || isBodiless(status)) return response
      try {
        // One that goes on if `fetch` ignores the signal is dropped.
        const body = await raceAbort(response.arrayBuffer(), signal)
        const copy = new Response(body, { status, statusText, headers })
        // What no Response can be made with. Without it a write that a redirect turned into a read would look stored.
        return Object.defineProperties(copy, {
          url: { value: url },
          redirected: { value: redirected },
          type: { value: type },
        })
      } catch (cause) {
        const { url: asked, isWrite } = describeRequest(input, init)
        throw transferError(asked, {
          kind: "network",
          reason: "the body of the response broke off",
          effect: isWrite ? "unknown" : "none",
          status,
          headers: plainHeaders(headers),
          cause,
        })
      }
    })
}

/** Makes a call with a signal that follows the caller's, and says of an abort that it is one. */
async function withSignal(
  input: FetchInput,
  init: RequestInit | undefined,
  call: (signal: AbortSignal) => Promise<Response>,
): Promise<Response> {
  const given = init?.signal ?? (isRequest(input) ? input.signal : undefined)
  const controller = new LinkedAbortController(given)
  try {
    return await call(controller.signal)
  } catch (error) {
    throw given?.aborted === true ? new FetchBackoffAbortError(given.reason) : error
  } finally {
    controller.end()
  }
}

interface RequestDescription {
  readonly url: string
  readonly isWrite: boolean
  readonly policy: RetryPolicy
}

function describeRequest(input: FetchInput, init: RequestInit | undefined): RequestDescription {
  const request = isRequest(input) ? input : undefined
  const method = (init?.method ?? request?.method ?? "GET").toUpperCase()
  const isIdempotent =
    idempotentMethods.includes(method) ||
    (method === "POST" && new Headers(init?.headers ?? request?.headers).has(PRODUCER_ID_HEADER))
  // A stream can be sent once.
  const isStream = typeof init?.body === "object" && init.body !== null && "getReader" in init.body
  return {
    url: typeof input === "object" && "url" in input ? input.url : input.toString(),
    isWrite: method !== "GET" && method !== "HEAD",
    policy: isStream ? "never" : isIdempotent ? "idempotent" : "not-processed",
  }
}

/** By shape: a Request can be of another realm, and some platforms have none. */
function isRequest(input: FetchInput): input is Request {
  return typeof input === "object" && "url" in input
}
