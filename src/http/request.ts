import { FetchBackoffAbortError } from "../errors/fetch-backoff-abort-error.ts"
import type { DurableStreamError } from "../errors/durable-stream-error.ts"
import { errorFromResponse } from "../errors/error-from-response.ts"
import type { FetchError } from "../errors/fetch-error.ts"
import type { Operation } from "../errors/status-code.ts"
import { STREAM_SEQ_HEADER } from "../protocol/names.ts"
import { requestUrl } from "../protocol/request-url.ts"
import { LinkedAbortController, raceAbort, throwIfAborted } from "./abort.ts"
import { responseFromError } from "./response-from-error.ts"
import { AttemptLimit } from "./attempt-limit.ts"
import { checkResponse } from "./check-response.ts"
import type { Endpoint } from "./endpoint.ts"
import {
  fetchFailure,
  isNetworkFailure,
  responseFailure,
  transferError,
  withFailure,
} from "./failure.ts"
import { fetchThroughRedirects, redirectedWriteError } from "./fetch-through-redirects.ts"
import { foreignAnswerError } from "./foreign-page.ts"
import { hasProviders, mergeHeaders, resolveHeaders, resolveParams } from "./request-inputs.ts"
import { releaseBody } from "./release-body.ts"
import {
  retryLoop,
  type AttemptOutcome,
  type FailedAttempt,
  type RetryNotice,
  type RetryPolicy,
} from "./retry-loop.ts"

/** What a request's body can be. */
export type RequestBody = string | Uint8Array | ReadableStream<Uint8Array>

/** Watches requests go out and come back. Must not throw. */
export interface RequestObserver {
  onRequest?(attempt: number): void
  onResponse?(response: Response): void
  onRetry?(notice: RetryNotice): void
}

/** One request of the protocol, tried as often as its policy allows. */
export interface StreamRequest {
  readonly method: "GET" | "HEAD" | "POST" | "PUT" | "DELETE"
  readonly operation: Operation
  readonly retry: RetryPolicy
  /** The protocol's headers; they replace the caller's. */
  readonly headers?: Readonly<Record<string, string>>
  /** The protocol's query parameters. */
  readonly query?: Readonly<Record<string, string | undefined>>
  /** A function is called for each attempt, so that a retry can leave out what is no longer wanted. */
  readonly body?: RequestBody | (() => RequestBody)
  /** Lets a browser finish the request after its page is gone. */
  readonly keepalive?: boolean
  /** How long one attempt may stay without an answer; default the endpoint's, Infinity for no limit. */
  readonly timeoutMs?: number
  /** From how long on an attempt that fails was held by the server, in milliseconds, and does not count; default never. */
  readonly heldMs?: number
  /** An answer that is no success and still one that the caller wants as a value. */
  readonly accepts?: (status: number) => boolean
  readonly observer?: RequestObserver | undefined
}

/**
 * Makes a request and gives its answer, with the body unread: reading or cancelling it is the caller's.
 *
 * @param signal - ends the request, its retries and the body. It must not outlive the use of the answer
 *   (see LinkedAbortController): requests leave a listener on it.
 * @throws the error that the answer means; FetchBackoffAbortError on abort; what a header function threw, unless it is that
 *   the network failed, which is tried again as if the request had found none
 */
export function send(
  endpoint: Endpoint,
  request: StreamRequest,
  signal: AbortSignal,
): Promise<Response> {
  const attempt = (count: number) => attemptOnce(endpoint, request, signal, count)
  return retryLoop(attempt(1), () => ({
    attempt,
    policy: request.retry,
    backoff: endpoint.backoff,
    signal,
    heldMs: request.heldMs,
    observer: request.observer,
  }))
}

/** The status and headers of an answer whose body is of no interest. */
export interface ResponseMetadata {
  readonly status: number
  readonly headers: Headers
}

/**
 * Makes a request whose answer's body is of no interest, and releases it.
 *
 * @param signal - the caller's own signal, beside the endpoint's
 * @throws as {@link send} does
 */
export async function exchange(
  endpoint: Endpoint,
  request: StreamRequest,
  signal?: AbortSignal,
): Promise<ResponseMetadata> {
  const scope = new LinkedAbortController(endpoint.signal, signal)
  try {
    const response = await send(endpoint, request, scope.signal)
    releaseBody(response)
    return { status: response.status, headers: response.headers }
  } finally {
    scope.end()
  }
}

async function attemptOnce(
  endpoint: Endpoint,
  request: StreamRequest,
  signal: AbortSignal,
  attempt: number,
): Promise<AttemptOutcome<Response>> {
  throwIfAborted(signal)
  const prepared = await prepareInTime(endpoint, request, signal)
  if ("kind" in prepared) return prepared
  const { url, init } = prepared
  throwIfAborted(signal)
  request.observer?.onRequest?.(attempt)
  const limit = limitOf(endpoint, request, signal, attempt)
  init.signal = limit?.signal ?? signal
  let response: Response
  try {
    const answer = fetchThroughRedirects(endpoint.fetch, url, init)
    response = checkResponse(await raceAbort(answer, init.signal, releaseBody))
  } catch (error) {
    limit?.end()
    if (signal.aborted) throw new FetchBackoffAbortError(signal.reason)
    if (limit?.timeout !== undefined) return failed(limit.timeout)
    const answer = responseFromError(error, request.method === "GET")
    if (answer === undefined) return failed(fetchFailure(error, endpoint.url, isWrite(request)))
    response = answer
  }
  limit?.met()
  request.observer?.onResponse?.(response)
  const refusal = await refusalIn(response, endpoint, request, signal)
  if (refusal === undefined) return { kind: "response", value: response }
  limit?.end()
  throwIfAborted(signal)
  return refusal
}

/**
 * Prepares a request, but waits for the functions among its headers and params no longer than for an answer. The limit is
 * the endpoint's: a request that may take as long as it likes does so once it is made.
 */
async function prepareInTime(
  endpoint: Endpoint,
  request: StreamRequest,
  signal: AbortSignal,
): Promise<Awaited<ReturnType<typeof prepare>> | FailedAttempt> {
  if (!hasProviders(endpoint.headers) && !hasProviders(endpoint.params)) {
    return raceAbort(prepare(endpoint, request), signal)
  }
  const limit = new AttemptLimit(signal, endpoint.requestTimeoutMs, () => unpreparedError(endpoint))
  try {
    return await raceAbort(prepare(endpoint, request), limit.signal)
  } catch (error) {
    if (signal.aborted) throw new FetchBackoffAbortError(signal.reason)
    if (limit.timeout !== undefined) return failed(limit.timeout)
    if (isNetworkFailure(error)) return failed(offlineError(endpoint, error))
    throw error
  } finally {
    limit.end()
  }
}

async function prepare(
  endpoint: Endpoint,
  request: StreamRequest,
): Promise<{ url: string; init: RequestInit }> {
  const [headers, params] = await Promise.all([
    resolveHeaders(endpoint.headers),
    resolveParams(endpoint.params),
  ])
  const init: RequestInit & { duplex?: "half" } = {
    method: request.method,
    headers: mergeHeaders(headers, request.headers ?? {}),
  }
  const body = typeof request.body === "function" ? request.body() : request.body
  // A Uint8Array is a body on every platform; the library's type wants to rule out shared memory, which none is.
  if (body !== undefined) init.body = body as BodyInit
  // Node and browsers ask for it where a body is a stream; the library's RequestInit does not know it yet.
  if (body instanceof ReadableStream) init.duplex = "half"
  if (request.keepalive === true) init.keepalive = true
  return { url: requestUrl(endpoint.url, { ...params, ...request.query }), init }
}

/** What ends an attempt that stays without an answer, also where `fetch` ignores its signal. */
function limitOf(
  endpoint: Endpoint,
  request: StreamRequest,
  signal: AbortSignal,
  attempt: number,
): AttemptLimit | undefined {
  const timeoutMs = request.timeoutMs ?? endpoint.requestTimeoutMs
  // What its caller alone ends needs no signal of its own, which is a kilobyte and a half for every read that waits. An
  // outage of days must not leave a listener for each of its attempts on the caller's, though.
  if (timeoutMs === Infinity && attempt === 1) return undefined
  const timeout = () => timeoutError(endpoint.url, timeoutMs, isWrite(request))
  return new AttemptLimit(signal, timeoutMs, timeout)
}

/** What an answer means that is not the one which was asked for; undefined where it is. */
async function refusalIn(
  response: Response,
  endpoint: Endpoint,
  request: StreamRequest,
  signal: AbortSignal,
): Promise<AttemptOutcome<never> | undefined> {
  const { status } = response
  const redirected = isWrite(request)
    ? redirectedWriteError(request.method, response, endpoint.url)
    : undefined
  const foreign = redirected ?? foreignAnswerError(request, response, endpoint.url)
  if (foreign !== undefined) {
    releaseBody(response)
    return failed(foreign)
  }
  if ((status >= 200 && status < 300) || request.accepts?.(status) === true) return undefined
  const failure = responseFailure(response, isWrite(request))
  const context = {
    url: endpoint.url,
    operation: request.operation,
    sentSeq: request.headers?.[STREAM_SEQ_HEADER] !== undefined,
    indeterminate: failure.effect === "unknown",
  }
  const error = await errorFromResponse(response, context, signal)
  return failed(withFailure(error, failure))
}

function failed(error: DurableStreamError): FailedAttempt {
  return { kind: "failed", error }
}

function timeoutError(url: string, timeoutMs: number, write: boolean): FetchError {
  const effect = write ? "unknown" : "none"
  return transferError(url, {
    kind: "timeout",
    reason: `no response within ${timeoutMs} ms`,
    effect,
  })
}

function unpreparedError({ url, requestTimeoutMs }: Endpoint): FetchError {
  const reason = `a function in headers or params gave no value within ${requestTimeoutMs} ms`
  return transferError(url, { kind: "timeout", reason })
}

/** A function that requests a token finds no network if the request itself would not. */
function offlineError({ url }: Endpoint, cause: unknown): FetchError {
  const reason = "a function in headers or params failed with a network error"
  return transferError(url, { kind: "network", reason, cause })
}

function isWrite(request: StreamRequest): boolean {
  return request.method !== "GET" && request.method !== "HEAD"
}
