import { FetchBackoffAbortError } from "../errors/fetch-backoff-abort-error.ts"
import type { DurableStreamError } from "../errors/durable-stream-error.ts"
import { errorFromResponse, readError } from "../errors/error-from-response.ts"
import type { Operation } from "../errors/status-code.ts"
import { STREAM_SEQ_HEADER } from "../protocol/names.ts"
import { requestUrl } from "../protocol/request-url.ts"
import { LinkedAbortController, raceAbort, throwIfAborted } from "./abort.ts"
import { Deadline } from "./deadline.ts"
import type { Endpoint } from "./endpoint.ts"
import {
  fetchFailure,
  isNetworkFailure,
  responseFailure,
  transferError,
  withFailure,
} from "./failure.ts"
import {
  checkOwnHeaders,
  fixedInputs,
  hasProviders,
  mergeHeaders,
  resolveHeaders,
  resolveParams,
  type MaybePromise,
  type RequestInputs,
} from "./request-inputs.ts"
import {
  checkResponse,
  readErrorBody,
  releaseBody,
  responseFromError,
  unexpectedResponse,
} from "./response.ts"
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

/** One request of the protocol, retried as often as its policy allows. */
export interface StreamRequest {
  readonly method: "GET" | "HEAD" | "POST" | "PUT" | "DELETE"
  readonly operation: Operation
  readonly retry: RetryPolicy
  /** The protocol's headers; they replace the caller's. Undefined ones are omitted. */
  readonly headers?: Readonly<Record<string, string | undefined>>
  readonly query?: Readonly<Record<string, string | undefined>>
  /** A function is called for each attempt, so that a retry can omit what is no longer wanted. */
  readonly body?: RequestBody | (() => RequestBody)
  /** Lets a browser finish the request after its page is gone. */
  readonly keepalive?: boolean
  /** How long one attempt may stay without a response; default the endpoint's, Infinity for no limit. */
  readonly timeoutMs?: number
  /** From how long on an attempt that fails was held by the server, in milliseconds, and does not count; default never. */
  readonly heldMs?: number
  /** A status that is not a success and that the caller still wants as a value. */
  readonly accepts?: (status: number) => boolean
  readonly observer?: RequestObserver | undefined
}

/**
 * Makes a request and returns its response. The body is unread, except of a success of a write that had to be checked:
 * reading or cancelling it is up to the caller.
 *
 * @param signal - ends the request, its retries and the body. It must not outlive the use of the response (see
 *   LinkedAbortController): requests leave a listener on it.
 * @throws the error that the response means; FetchBackoffAbortError on abort; what a header function threw, unless that is a
 *   network failure, which is retried as if the request had found no network
 */
export function send(
  endpoint: Endpoint,
  request: StreamRequest,
  signal: AbortSignal,
  kind: RequestKind = READ,
): Promise<Response> {
  const attempt = (count: number) => attemptOnce(endpoint, request, signal, kind, count)
  return retryLoop(attempt(1), () => ({
    attempt,
    policy: request.retry,
    backoff: endpoint.backoff,
    signal,
    heldMs: request.heldMs,
    observer: request.observer,
    warnAbout: endpoint.warnOnRetry ? endpoint.url : undefined,
  }))
}

export interface ResponseMetadata {
  readonly status: number
  readonly headers: Headers
}

/**
 * Makes a request whose response's body is of no interest, and releases it.
 *
 * @param signal - the caller's own signal, beside the endpoint's
 * @throws as {@link send} does
 */
export async function exchange(
  endpoint: Endpoint,
  request: StreamRequest,
  signal?: AbortSignal,
): Promise<ResponseMetadata> {
  const controller = new LinkedAbortController(endpoint.signal, signal)
  try {
    const response = await send(endpoint, request, controller.signal, WRITE)
    releaseBody(response)
    return { status: response.status, headers: response.headers }
  } finally {
    controller.end()
  }
}

/** What differs between reads and other requests. A program that only reads has no need of the others' code. */
interface RequestKind {
  fetch(
    this: void,
    fetch: Endpoint["fetch"],
    url: string,
    init: RequestInit,
  ): MaybePromise<Response>
  /** The error of a success that is none; takes the body of a response that needs a look at it. */
  readonly unexpected?: typeof unexpectedResponse
  readonly toError: typeof errorFromResponse
}

const READ: RequestKind = { fetch: (fetch, url, init) => fetch(url, init), toError: readError }

const WRITE: RequestKind = {
  fetch: fetchThroughRedirects,
  unexpected: unexpectedResponse,
  toError: errorFromResponse,
}

async function attemptOnce(
  endpoint: Endpoint,
  request: StreamRequest,
  signal: AbortSignal,
  kind: RequestKind,
  attempt: number,
): Promise<AttemptOutcome<Response>> {
  throwIfAborted(signal)
  if (endpoint.urlError !== undefined) throw endpoint.urlError
  const inputs = hasProviders(endpoint)
    ? await resolveInTime(endpoint, signal)
    : fixedInputs(endpoint)
  if ("kind" in inputs) return inputs
  const init = initOf(endpoint, request, inputs)
  const url = requestUrl(endpoint.url, { ...inputs.params, ...request.query })
  throwIfAborted(signal)
  request.observer?.onRequest?.(attempt)
  const deadline = deadlineOf(endpoint, request, signal, attempt)
  init.signal = deadline?.signal ?? signal
  let response: Response
  try {
    // A fetch of the caller's may return its response without a promise.
    const fetched = Promise.resolve(kind.fetch(endpoint.fetch, url, init))
    response = checkResponse(await raceAbort(fetched, init.signal, releaseBody))
  } catch (error) {
    deadline?.end()
    if (signal.aborted) throw new FetchBackoffAbortError(signal.reason)
    if (deadline?.timeout !== undefined) return failed(timeoutError(endpoint, request))
    const carried = responseFromError(error, request.method === "GET")
    if (carried === undefined) return failed(fetchFailure(error, endpoint.url, isWrite(request)))
    response = carried
  }
  deadline?.met()
  request.observer?.onResponse?.(response)
  const isExpected =
    request.accepts?.(response.status) ?? (isSuccess(response) && kind.unexpected === undefined)
  const error = isExpected ? undefined : await errorIn(response, endpoint, request, signal, kind)
  if (error === undefined) return { kind: "response", value: response }
  deadline?.end()
  throwIfAborted(signal)
  return failed(error)
}

/**
 * Calls the functions among the headers and params, but waits for them no longer than for a response. The limit is the
 * endpoint's: a request that may take as long as it likes does so once it is made.
 */
async function resolveInTime(
  endpoint: Endpoint,
  signal: AbortSignal,
): Promise<RequestInputs | FailedAttempt> {
  const { url, requestTimeoutMs } = endpoint
  const reason = `a function in headers or params gave no value within ${requestTimeoutMs} ms`
  const deadline = new Deadline(signal, requestTimeoutMs, () => new Error(reason))
  try {
    const given = Promise.all([resolveHeaders(endpoint), resolveParams(endpoint.params)])
    const [headers, params] = await raceAbort(given, deadline.signal)
    return { headers, params }
  } catch (cause) {
    if (signal.aborted) throw new FetchBackoffAbortError(signal.reason)
    if (deadline.timeout !== undefined)
      return failed(transferError(url, { kind: "timeout", reason }))
    // What it throws of its own is its caller's to see.
    if (!isNetworkFailure(cause)) throw cause
    const lost = "a function in headers or params failed with a network error"
    return failed(transferError(url, { kind: "network", reason: lost, cause }))
  } finally {
    deadline.end()
  }
}

function initOf(
  { fetchOptions }: Endpoint,
  request: StreamRequest,
  { headers }: RequestInputs,
): RequestInit {
  const init: RequestInit & { duplex?: "half" } = {
    ...fetchOptions,
    method: request.method,
    headers: mergeHeaders(headers, checkOwnHeaders(request.headers)),
  }
  const body = typeof request.body === "function" ? request.body() : request.body
  // A Uint8Array is a body on every platform; the library's type wants to rule out shared memory, which none is.
  if (body !== undefined) init.body = body as BodyInit
  // Node and browsers require it for a stream; the library's RequestInit does not know it yet.
  if (typeof body === "object" && "getReader" in body) init.duplex = "half"
  if (request.keepalive === true) init.keepalive = true
  return init
}

/** What ends an attempt that stays without a response, also if `fetch` ignores its signal. */
function deadlineOf(
  endpoint: Endpoint,
  request: StreamRequest,
  signal: AbortSignal,
  attempt: number,
): Deadline | undefined {
  const timeoutMs = request.timeoutMs ?? endpoint.requestTimeoutMs
  // What its caller alone ends needs no signal of its own, which is a kilobyte and a half for every read that waits. An
  // outage of days must not leave a listener for each of its attempts on the caller's, though.
  if (timeoutMs === Infinity && attempt === 1) return undefined
  return new Deadline(signal, timeoutMs, () => timeoutError(endpoint, request))
}

function timeoutError({ url, requestTimeoutMs }: Endpoint, request: StreamRequest) {
  const reason = `no response within ${request.timeoutMs ?? requestTimeoutMs} ms`
  const effect = isWrite(request) ? "unknown" : "none"
  return transferError(url, { kind: "timeout", reason, effect })
}

async function errorIn(
  response: Response,
  { url }: Endpoint,
  request: StreamRequest,
  signal: AbortSignal,
  kind: RequestKind,
): Promise<DurableStreamError | undefined> {
  const { method, operation, headers } = request
  if (isSuccess(response)) return kind.unexpected?.(method, response, url, signal)
  const failure = responseFailure(response, isWrite(request))
  const sentSeq = headers?.[STREAM_SEQ_HEADER] !== undefined
  const indeterminate = failure.effect === "unknown"
  const context = { url, operation, sentSeq, indeterminate }
  const body = await readErrorBody(response, signal)
  return withFailure(kind.toError(response, body, context), failure)
}

/**
 * Calls `fetch`, and again if it could not follow a redirect that keeps the method (307, 308): Node 20 and 22 give a body of
 * bytes away when they send it, and have nothing left to send to the redirect's target. A Blob they can send twice. The
 * redirect was the server's response, so nothing was stored by then.
 *
 * @throws what `fetch` throws without a promise
 */
function fetchThroughRedirects(
  fetch: typeof globalThis.fetch,
  url: string,
  init: RequestInit,
): MaybePromise<Response> {
  const { body } = init
  if (!(body instanceof Uint8Array)) return fetch(url, init)
  return Promise.resolve(fetch(url, init)).catch((error: unknown) => {
    // What any error may be asked for.
    const { cause } = error as { cause?: { message?: unknown } | null }
    if (!/detached ArrayBuffer$/.test(String(cause?.message))) throw error
    // The library's type wants to rule out shared memory, which no body is.
    return fetch(url, { ...init, body: new Blob([body as Uint8Array<ArrayBuffer>]) })
  })
}

function failed(error: DurableStreamError): FailedAttempt {
  return { kind: "failed", error }
}

function isSuccess({ status }: Response): boolean {
  return status >= 200 && status < 300
}

function isWrite({ method }: StreamRequest): boolean {
  return method !== "GET" && method !== "HEAD"
}
