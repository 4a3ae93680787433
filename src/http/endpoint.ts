import { badOption, checkOptions, RULES } from "./option-checks.ts"
import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { InvalidSignalError } from "../errors/invalid-signal-error.ts"
import { MissingStreamUrlError } from "../errors/missing-stream-url-error.ts"
import { describeUrl } from "../protocol/request-url.ts"
import { isSchema, type StandardSchemaV1 } from "../protocol/standard-schema.ts"
import { resolveBackoff, type Backoff, type BackoffOverrides } from "./backoff.ts"
import {
  checkParams,
  checkHeaders,
  layHeaders,
  type HeadersOption,
  type ParamsRecord,
  type RequestHeaders,
} from "./request-inputs.ts"

/** The fields of `RequestInit` that the protocol does not set: `credentials`, `cache`, `mode`, `priority` … */
export type FetchOptions = Omit<
  RequestInit,
  "method" | "headers" | "body" | "signal" | "duplex" | "keepalive"
>

/** The settings of a stream that hold for every request to it. */
export interface EndpointOptions {
  /** The stream's URL: absolute, or in a browser relative to the page. */
  url: string | URL
  /** Sent with every request; functions are called for each. */
  headers?: HeadersOption | undefined
  /** Added to the query of every request; functions are called for each. */
  params?: ParamsRecord | undefined
  /** Ends every request and wait at once. */
  signal?: AbortSignal | undefined
  /**
   * Used in place of the platform's fetch. For a response that is not a success it may throw an error that carries the
   * response (a `FetchError` of `createFetchWithBackoff`, or any with the Response in `response`, as ky's and ofetch's).
   */
  fetch?: typeof globalThis.fetch | undefined
  /** Given to every call of fetch. Fields that the protocol sets are rejected by name. */
  fetchOptions?: FetchOptions | undefined
  /** How failed requests are retried. */
  backoffOptions?: BackoffOverrides | undefined
  /**
   * How long a request may stay without a response, and may wait for its headers, in milliseconds.
   *
   * @default 60_000
   */
  requestTimeoutMs?: number | undefined
  /**
   * Warns once per request on the console after three seconds of nothing but failures, with the reason and the count. Not
   * if `NODE_ENV` is "test".
   *
   * @default true
   */
  warnOnRetry?: boolean | undefined
  /**
   * Validates and types each JSON message, read or written: a schema of zod, valibot, arktype, or any that follows the Standard
   * Schema convention. Readers get what it makes of a message. Writers send a message as they were given it, if it matches. One
   * that does not match fails with `SCHEMA`, with its place in `details`; a session asks `onError`, which may skip it.
   */
  schema?: StandardSchemaV1 | undefined
}

/** Checked {@link EndpointOptions}: what every request to one stream is made with. */
export interface Endpoint extends RequestHeaders {
  /** Absolute, with the query that the caller gave; as it was given if it is no such URL. */
  readonly url: string
  /** What every request fails with, if the URL is malformed: making a handle does no more than keep it. */
  readonly urlError: DurableStreamError | undefined
  readonly params: ParamsRecord
  readonly signal: AbortSignal | undefined
  readonly fetch: typeof globalThis.fetch
  readonly fetchOptions: FetchOptions
  readonly backoff: Backoff
  readonly requestTimeoutMs: number
  readonly warnOnRetry: boolean
  readonly schema: StandardSchemaV1 | undefined
}

/** Looked up for every request, so that a global fetch replaced later (mocks, tracing) is the one that is called. */
const platformFetch: typeof globalThis.fetch = (input, init) => globalThis.fetch(input, init)

/**
 * Checks the settings of a stream. No I/O. A malformed URL fails the requests.
 *
 * @throws MissingStreamUrlError if there is no url
 * @throws InvalidSignalError if the signal is not one
 * @throws DurableStreamError `BAD_REQUEST` that names the option
 */
export function createEndpoint(options: EndpointOptions): Endpoint {
  // JavaScript callers can omit what the type asks for.
  const given = options as Partial<EndpointOptions> | undefined
  const { url, urlError } = resolveUrl(given?.url)
  const {
    fetch = platformFetch,
    fetchOptions = {},
    requestTimeoutMs = 60_000,
    warnOnRetry = true,
    schema,
  } = checkOptions(options, {
    fetch: RULES.function,
    fetchOptions: RULES.object,
    requestTimeoutMs: RULES.duration,
    warnOnRetry: RULES.boolean,
    schema: { words: "a Standard Schema (zod, valibot, arktype …)", isMet: isSchema },
  })
  for (const field of ["method", "headers", "body", "signal", "duplex", "keepalive"]) {
    if (field in fetchOptions) {
      throw badOption(`fetchOptions.${field}`, "omitted (the client sets it)", undefined)
    }
  }
  return {
    url,
    urlError,
    signal: checkSignal(options.signal),
    ...checkHeaders(options.headers),
    params: checkParams(options.params),
    fetch,
    fetchOptions,
    backoff: resolveBackoff(options.backoffOptions),
    requestTimeoutMs,
    warnOnRetry,
    schema,
  }
}

/**
 * The settings of one call laid over a stream's: headers, params and fetch options are merged, the rest replaced. The signal
 * stays the stream's; a call's own signal goes beside it.
 *
 * @throws as {@link createEndpoint} does
 */
export function extendEndpoint(
  endpoint: Endpoint,
  overrides: Omit<Partial<EndpointOptions>, "url" | "signal">,
): Endpoint {
  const { fetch, backoffOptions } = checkOptions(overrides, {})
  const checked = createEndpoint({ ...overrides, url: "http://localhost", signal: undefined })
  return {
    ...endpoint,
    ...layHeaders(endpoint, checked),
    params: { ...endpoint.params, ...checked.params },
    fetchOptions: { ...endpoint.fetchOptions, ...checked.fetchOptions },
    ...(fetch !== undefined && { fetch }),
    ...(backoffOptions !== undefined && { backoff: checked.backoff }),
    requestTimeoutMs: overrides.requestTimeoutMs ?? endpoint.requestTimeoutMs,
    warnOnRetry: overrides.warnOnRetry ?? endpoint.warnOnRetry,
    schema: overrides.schema ?? endpoint.schema,
  }
}

/** @throws InvalidSignalError if it is given and is not an AbortSignal */
export function checkSignal<T>(signal: T): T {
  if (signal === undefined) return signal
  // Not instanceof: a signal of another realm, or of a polyfill, aborts just as well.
  const like = signal as Partial<AbortSignal> | null
  if (typeof like?.aborted === "boolean" && typeof like.addEventListener === "function") {
    return signal
  }
  throw new InvalidSignalError()
}

/**
 * Where a handle keeps its endpoint. Registered for the whole realm, so that a handle made by one copy of this package (its
 * CommonJS build) serves a producer made by another (its ES module build).
 */
export const endpointSymbol: unique symbol = Symbol.for("@durable-streams/client.endpoint")

/** The endpoint of a handle, or undefined if the value is none. */
export function endpointOf(handle: unknown): Endpoint | undefined {
  if (typeof handle !== "object" || handle === null) return undefined
  // Any object may be asked for a property; what the handle keeps under this symbol is an endpoint.
  return (handle as { readonly [endpointSymbol]?: Endpoint })[endpointSymbol]
}

function resolveUrl(given: unknown): Pick<Endpoint, "url" | "urlError"> {
  // By shape: a URL can be of another realm, or a polyfill.
  const { href } = (given ?? {}) as Partial<URL>
  const text = typeof href === "string" ? href : given
  if (text === undefined || text === null) throw new MissingStreamUrlError()
  if (typeof text !== "string") throw badOption("url", "a string or a URL", text)
  const trimmed = text.trim()
  if (trimmed === "") throw new MissingStreamUrlError()
  // What is absolute stays as it was written: signatures are made over bytes.
  const isAbsolute = /^https?:\/\//i.test(trimmed)
  const url = isAbsolute ? trimmed : (parseUrl(trimmed, pageUrl()) ?? trimmed)
  if (/^https?:\/\/[^/\\?#@]+([/?#]|$)/i.test(url) && parseUrl(url) !== undefined) {
    return { url, urlError: undefined }
  }
  const shown = describeUrl(url)
  const message =
    "The option url must be an absolute URL with the scheme http: or https: and without credentials (send an " +
    `authorization header)${/\/\/[^/]+:/.test(shown) ? ", its port at most 65535" : ""}: ${shown}`
  return { url, urlError: new DurableStreamError(message, "BAD_REQUEST") }
}

/** What relative URLs of a page are relative to: what fetch takes. Workers have no document, and a location only. */
function pageUrl(): string | undefined {
  // Only browsers have either; the library's type says that everything has both.
  const { document: page, location: place } = globalThis as Partial<typeof globalThis>
  return page?.baseURI ?? place?.href
}

function parseUrl(url: string, base?: string): string | undefined {
  try {
    return new URL(url, base).href
  } catch {
    return undefined
  }
}
