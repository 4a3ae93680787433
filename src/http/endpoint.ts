import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { InvalidSignalError } from "../errors/invalid-signal-error.ts"
import { MissingStreamUrlError } from "../errors/missing-stream-url-error.ts"
import { describeUrl } from "../protocol/request-url.ts"
import { resolveBackoff, type Backoff, type BackoffOptions } from "./backoff.ts"
import { checkDuration, checkFunction, checkObject } from "./option-checks.ts"
import {
  checkHeaders,
  checkParams,
  mergeHeaders,
  type HeadersRecord,
  type ParamsRecord,
} from "./request-inputs.ts"

/** The settings of a stream that hold for every request to it. */
export interface EndpointOptions {
  /** The stream's URL: absolute, or in a browser relative to the page. */
  url: string | URL
  /** Sent with every request; functions are called for each. */
  headers?: HeadersRecord | undefined
  /** Added to the query of every request; functions are called for each. */
  params?: ParamsRecord | undefined
  /** Ends every request and wait at once. */
  signal?: AbortSignal | undefined
  /**
   * Used in place of the platform's fetch. Where the answer is no success it may throw instead: an error that carries the
   * answer (a `FetchError` of `createFetchWithBackoff`, or any with the Response in `response`, as ky's and ofetch's) is
   * taken for that answer.
   */
  fetch?: typeof globalThis.fetch | undefined
  /** How failed requests are tried again. */
  backoffOptions?: BackoffOptions | undefined
  /** How long a request may stay without an answer, and may wait for its headers, in milliseconds. Default 60 000. */
  requestTimeoutMs?: number | undefined
}

/** Checked {@link EndpointOptions}: what every request to one stream is made with. */
export interface Endpoint {
  /** Absolute, with the query that the caller gave. */
  readonly url: string
  readonly headers: HeadersRecord
  readonly params: ParamsRecord
  readonly signal: AbortSignal | undefined
  readonly fetch: typeof globalThis.fetch
  readonly backoff: Backoff
  readonly requestTimeoutMs: number
}

const DEFAULT_REQUEST_TIMEOUT_MS = 60_000

const none = {}

/** Looked up for every request, so that a global fetch replaced later (mocks, tracing) is the one that is called. */
const platformFetch: typeof globalThis.fetch = (input, init) => globalThis.fetch(input, init)

/**
 * Checks the settings of a stream. No I/O.
 *
 * @throws MissingStreamUrlError where there is no url
 * @throws InvalidSignalError where the signal is none
 * @throws DurableStreamError `BAD_REQUEST` that names the option
 */
export function createEndpoint(options: EndpointOptions): Endpoint {
  // JavaScript callers can leave out what the type asks for.
  const given = options as Partial<EndpointOptions> | undefined
  const url = absoluteUrl(given?.url)
  const { headers, params, signal, fetch: customFetch, backoffOptions } = options
  const { requestTimeoutMs = DEFAULT_REQUEST_TIMEOUT_MS } = options
  checkSignal(signal)
  checkHeaders(headers)
  checkParams(params)
  checkFunction("fetch", customFetch)
  return {
    url,
    headers: headers ?? none,
    params: params ?? none,
    signal,
    fetch: customFetch ?? platformFetch,
    backoff: resolveBackoff(backoffOptions),
    requestTimeoutMs: checkDuration("requestTimeoutMs", requestTimeoutMs),
  }
}

/**
 * The settings of one call laid over a stream's: headers and params are merged, the rest replaced. The signal stays
 * the stream's; a call's own signal goes beside it.
 *
 * @throws as {@link createEndpoint} does
 */
export function extendEndpoint(
  endpoint: Endpoint,
  overrides: Omit<Partial<EndpointOptions>, "url" | "signal">,
): Endpoint {
  checkObject("options", overrides)
  const { headers, params, fetch: customFetch, backoffOptions, requestTimeoutMs } = overrides
  const checked = createEndpoint({
    url: endpoint.url,
    headers,
    params,
    fetch: customFetch,
    requestTimeoutMs,
    backoffOptions,
  })
  return {
    url: endpoint.url,
    headers: mergeHeaders(endpoint.headers, checked.headers),
    params: { ...endpoint.params, ...checked.params },
    signal: endpoint.signal,
    fetch: customFetch === undefined ? endpoint.fetch : checked.fetch,
    backoff: backoffOptions === undefined ? endpoint.backoff : checked.backoff,
    requestTimeoutMs: requestTimeoutMs ?? endpoint.requestTimeoutMs,
  }
}

/** @throws InvalidSignalError where it is given and no AbortSignal */
export function checkSignal(signal: unknown): void {
  if (signal === undefined) return
  // Not instanceof: a signal of another realm, or of a polyfill, aborts just as well.
  const like = signal as Partial<AbortSignal> | null | undefined
  if (typeof like?.aborted === "boolean" && typeof like.addEventListener === "function") return
  throw new InvalidSignalError()
}

function absoluteUrl(url: string | URL | undefined): string {
  // JavaScript callers can give anything.
  const given: unknown = url instanceof URL ? url.href : url
  if (given === undefined || given === null) throw new MissingStreamUrlError()
  if (typeof given !== "string") {
    throw new DurableStreamError(`The option url must be a string or a URL.`, "BAD_REQUEST")
  }
  const trimmed = given.trim()
  if (trimmed === "") throw new MissingStreamUrlError()
  const parsed = parseUrl(trimmed, pageUrl())
  if (parsed === undefined) {
    throw new DurableStreamError(
      `The option url is no absolute URL: ${describeUrl(trimmed)}`,
      "BAD_REQUEST",
    )
  }
  if (parsed.protocol !== "http:" && parsed.protocol !== "https:") {
    throw new DurableStreamError(
      `The option url has the scheme ${parsed.protocol} and needs http: or https:.`,
      "BAD_REQUEST",
    )
  }
  if (parsed.username !== "" || parsed.password !== "") {
    throw new DurableStreamError(
      `The option url carries credentials, which fetch refuses; send an authorization header: ${describeUrl(trimmed)}`,
      "BAD_REQUEST",
    )
  }
  return parseUrl(trimmed) === undefined ? parsed.href : trimmed
}

/** What relative URLs of a page are relative to: what fetch takes. Workers have no document, and a location only. */
function pageUrl(): string | undefined {
  // Only browsers have either; the library's type says that everybody has both.
  const { document: page, location: place } = globalThis as Partial<typeof globalThis>
  return page?.baseURI ?? place?.href
}

function parseUrl(url: string, base?: string): URL | undefined {
  try {
    return new URL(url, base)
  } catch {
    return undefined
  }
}
