import { badOption } from "../http/option-checks.ts"
import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { LinkedAbortController } from "../http/abort.ts"
import { Deadline } from "../http/deadline.ts"
import { createEndpoint, type Endpoint, type EndpointOptions } from "../http/endpoint.ts"
import { failureOf, fetchFailure, transferError } from "../http/failure.ts"
import { send } from "../http/request.ts"
import { retryLoop, type AttemptOutcome, type RetryPolicy } from "../http/retry-loop.ts"
import { describeUrl } from "../protocol/request-url.ts"
import { parseJson, readBytes } from "./read-bytes.ts"
import { serverErrorIn, type ServerError } from "./subscription-error.ts"
import type { JsonObject } from "./subscription.ts"

/** The settings of {@link Subscriptions}: those of a stream, with the root of all streams in place of a URL. */
export interface SubscriptionsOptions extends Omit<EndpointOptions, "url" | "schema"> {
  /** The URL under which the server keeps its streams: `https://streams.example.com/v1/stream`. */
  root: string | URL
}

/** One request to `<root>/__ds/…`. */
export interface RootRequest {
  readonly method: "GET" | "PUT" | "POST" | "DELETE"
  /** The segments behind `__ds`, not encoded. */
  readonly path: readonly string[]
  readonly retry: RetryPolicy
  readonly body?: JsonObject
  /** Replaces the caller's `Authorization`. */
  readonly token?: string
  readonly timeoutMs?: number
  readonly signal?: AbortSignal | undefined
  /** Called before each attempt: it may abort the signal. */
  readonly beforeAttempt?: (() => void) | undefined
}

/** What the server responded: a success or an error of the protocol. Retries are over. */
export interface RootResponse {
  readonly status: number
  readonly json: unknown
  readonly error: ServerError | undefined
  /** Whether an attempt before it may have been applied: a repeated call can find what the first did. */
  readonly isRepeated: boolean
}

/** The reserved routes of one root, and the URLs of its streams. */
export class StreamRoot {
  readonly #options: Omit<SubscriptionsOptions, "root">
  readonly #url: string

  /** @throws DurableStreamError `BAD_REQUEST` that names the option */
  constructor({ root, ...options }: SubscriptionsOptions) {
    const { url } = createEndpoint({ ...options, url: root })
    const { pathname, search, hash } = new URL(url)
    if (search !== "" || hash !== "") {
      throw badOption("root", "a URL without a query: use params", describeUrl(url))
    }
    this.#url = pathname === "/" ? url.replace(/\/$/, "") : url.replace(/\/+$/, "")
    this.#options = options
  }

  /** The root without a query, for messages. */
  get name(): string {
    return describeUrl(this.#url)
  }

  /** The settings of a stream of this root, for `stream()` and `DurableStream`. */
  streamOptions(path: string): EndpointOptions {
    return { ...this.#options, url: `${this.#url}/${encodePath(path)}` }
  }

  /** The URL of a reserved route. */
  routeUrl(path: readonly string[]): string {
    return `${this.#url}/__ds/${path.map(encodeURIComponent).join("/")}`
  }

  /**
   * Makes a request and reads the whole response; both are retried as the policy allows. Error statuses of the protocol are
   * part of the result.
   *
   * @throws FetchError if there was no usable response; FetchBackoffAbortError on abort
   */
  async request({ signal, ...request }: RootRequest): Promise<RootResponse> {
    const endpoint = createEndpoint({ ...this.#options, url: this.routeUrl(request.path) })
    const abort = new LinkedAbortController(endpoint.signal, signal)
    let isRepeated = false
    const attempt = async () => {
      request.beforeAttempt?.()
      const outcome = await attemptOnce(endpoint, request, abort.signal)
      if (outcome.kind === "failed") isRepeated ||= failureOf(outcome.error)?.effect === "unknown"
      return outcome
    }
    try {
      const response = await retryLoop(attempt(), () => ({
        attempt,
        policy: request.retry,
        backoff: endpoint.backoff,
        signal: abort.signal,
        warnAbout: endpoint.warnOnRetry ? endpoint.url : undefined,
      }))
      return { ...response, isRepeated }
    } finally {
      abort.end()
    }
  }
}

/** One attempt: a response counts once its body is here, because the body says what happened. */
async function attemptOnce(
  endpoint: Endpoint,
  { method, body, token, timeoutMs = endpoint.requestTimeoutMs }: Omit<RootRequest, "signal">,
  signal: AbortSignal,
): Promise<AttemptOutcome<Omit<RootResponse, "isRepeated">>> {
  const isWrite = method !== "GET"
  const effect = isWrite ? "unknown" : "none"
  const reason = `no whole response within ${timeoutMs} ms`
  const tooLate = () => transferError(endpoint.url, { kind: "timeout", reason, effect })
  const deadline = new Deadline(signal, timeoutMs, tooLate)
  try {
    const response = await send(
      { ...endpoint, backoff: { ...endpoint.backoff, onFailedAttempt: undefined } },
      {
        method,
        operation: "subscription",
        retry: "never",
        timeoutMs: Infinity,
        headers: {
          ...(token !== undefined && { Authorization: `Bearer ${token}` }),
          ...(body !== undefined && { "content-type": "application/json" }),
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
        // Their bodies say what happened. The rest can be retried, or is not the protocol's.
        accepts: (status) => [400, 401, 404, 409].includes(status),
      },
      deadline.signal,
    )
    const bytes = await readBytes(response, MAX_RESPONSE_BYTES, deadline.signal).catch(
      (error: unknown) => {
        throw deadline.signal.aborted ? error : fetchFailure(error, endpoint.url, isWrite)
      },
    )
    if (bytes === undefined) {
      const tooLong = `the response is longer than ${MAX_RESPONSE_BYTES} bytes`
      throw transferError(endpoint.url, {
        kind: "malformed",
        reason: tooLong,
        effect,
        retryable: false,
      })
    }
    const json = parseJson(bytes)
    const { status } = response
    return { kind: "response", value: { status, json, error: serverErrorIn(json) } }
  } catch (error) {
    if (!signal.aborted && deadline.timeout !== undefined)
      return { kind: "failed", error: tooLate() }
    if (error instanceof DurableStreamError && failureOf(error) !== undefined) {
      return { kind: "failed", error }
    }
    throw error
  } finally {
    deadline.end()
  }
}

/** @throws DurableStreamError `BAD_REQUEST` for what is no path, and for one that a URL takes for another (`..`) */
export function checkPath(option: string, path: unknown): string {
  if (typeof path === "string" && !/^(\/|$)|(^|\/)\.\.?(\/|$)/.test(path)) return path
  const rule = 'relative to root, without a leading slash and without the segments "." and ".."'
  throw badOption(option, rule, path)
}

/** More than the streams of any subscription. */
const MAX_RESPONSE_BYTES = 64 * 1024 * 1024

/** Stream paths have slashes of their own; everything else is encoded. */
function encodePath(path: string): string {
  return checkPath("path", path).split("/").map(encodeURIComponent).join("/")
}
