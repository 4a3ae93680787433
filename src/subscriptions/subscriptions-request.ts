import { createEndpoint, type Endpoint, type EndpointOptions } from "../http/endpoint.ts"
import { LinkedAbortController } from "../http/abort.ts"
import { send } from "../http/request.ts"
import type { RetryPolicy } from "../http/retry-loop.ts"
import { describeUrl } from "../protocol/request-url.ts"
import { badOption } from "../errors/bad-option.ts"
import { serverErrorIn, type ServerError } from "./subscription-error.ts"
import type { JsonObject } from "./subscription.ts"

/** The settings of {@link Subscriptions}: those of a stream, with the root of all streams in place of a URL. */
export interface SubscriptionsOptions extends Omit<EndpointOptions, "url"> {
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
}

/** What the server responded: a success or an error of the protocol. Retries are over. */
export interface RootResponse {
  readonly status: number
  readonly json: unknown
  readonly error: ServerError | undefined
  /** How many attempts were made: a repeated call can find what its first attempt did. */
  readonly attempts: number
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
   * Makes a request. Error statuses of the server are part of the result; what can be retried was.
   *
   * @throws FetchError if there was no usable response; FetchBackoffAbortError on abort
   */
  async request({ signal, ...request }: RootRequest): Promise<RootResponse> {
    const endpoint: Endpoint = createEndpoint({
      ...this.#options,
      url: this.routeUrl(request.path),
    })
    const abort = new LinkedAbortController(endpoint.signal, signal)
    let attempts = 0
    try {
      const response = await send(
        endpoint,
        {
          method: request.method,
          operation: "subscription",
          retry: request.retry,
          headers: {
            ...(request.token !== undefined && { Authorization: `Bearer ${request.token}` }),
            ...(request.body !== undefined && { "content-type": "application/json" }),
          },
          ...(request.body !== undefined && { body: JSON.stringify(request.body) }),
          ...(request.timeoutMs !== undefined && { timeoutMs: request.timeoutMs }),
          // Their bodies say what happened. The rest can be retried, or is not the protocol's.
          accepts: (status) => [400, 401, 404, 409].includes(status),
          observer: { onRequest: (attempt) => void (attempts = attempt) },
        },
        abort.signal,
      )
      const json = await readJson(response)
      return { status: response.status, json, error: serverErrorIn(json), attempts }
    } finally {
      abort.end()
    }
  }
}

/** Stream paths have slashes of their own; everything else is encoded. */
function encodePath(path: string): string {
  return path.split("/").map(encodeURIComponent).join("/")
}

async function readJson(response: Response): Promise<unknown> {
  try {
    return JSON.parse(await response.text())
  } catch {
    // A proxy's page, or no body: the status says what there is to say.
    return undefined
  }
}
