import type { DurableStreamError } from "../errors/durable-stream-error.ts"
import type { DurableStreamErrorCode } from "../errors/error-code.ts"
import { FetchError, INDETERMINATE_HINT } from "../errors/fetch-error.ts"
import { describeUrl } from "../protocol/request-url.ts"
import { headerOf, type ResponseHeaders } from "../protocol/response-metadata.ts"
import { safeCause } from "./safe-cause.ts"

/** What a failed request means. It is decided here, once, and carried inside the error: see {@link failureOf}. */
export interface RequestFailure {
  /**
   * - `response`: the server responded with an error status.
   * - `network`, `timeout`, `suspended` (the machine slept), `malformed`: there is no usable response.
   * - `caller`: a mistake in the program, or an error of a layer over `fetch` that nothing here recognises.
   */
  readonly kind: "response" | "network" | "timeout" | "suspended" | "malformed" | "caller"
  /** Whether the same request can succeed later. */
  readonly retryable: boolean
  /** Whether the server may have applied the request: `none` is certainly not, and what every read has. */
  readonly effect: "none" | "unknown"
  /** How long the server asked to wait, in milliseconds; 0 if it did not. */
  readonly retryAfterMs: number
  /** How many retries in a row are worthwhile. Infinity unless the failure looks like one that repeats. */
  readonly maxRetries: number
  /** What happened, in a few words without the caller's data. */
  readonly reason: string
}

/** What an unrecognised error, or a response that is not HTTP, is retried: it may pass, but must surface. */
const FEW_RETRIES = 3

const failureKey: unique symbol = Symbol.for("@durable-streams/client.failure")

/** What an error says about its request; undefined if it is not the error of a request. */
export function failureOf(error: unknown): RequestFailure | undefined {
  // Any object may be asked for a property; only withFailure writes this one.
  return typeof error === "object" && error !== null
    ? (error as { readonly [failureKey]?: RequestFailure })[failureKey]
    : undefined
}

export function withFailure<TError extends DurableStreamError>(
  error: TError,
  failure: RequestFailure,
): TError {
  return Object.defineProperty(error, failureKey, { value: failure, configurable: true })
}

/** What {@link transferError} is told beside the stream. Defaults: retryable without limit, and without an effect. */
export interface TransferFailure extends Partial<RequestFailure> {
  readonly kind: RequestFailure["kind"]
  readonly reason: string
  /** Default: `TIMEOUT` for the kind timeout, `PROTOCOL` for malformed, else `NETWORK`. */
  readonly code?: DurableStreamErrorCode
  readonly cause?: unknown
  readonly status?: number
  readonly headers?: Record<string, string>
}

/**
 * The one maker of errors of requests without a usable response: a FetchError, most with status 0, that carries its failure. It is
 * indeterminate if the effect is unknown. The message has the reason and no text of the cause, which can hold secrets.
 */
export function transferError(
  url: string,
  { code, cause, status = 0, headers = {}, ...given }: TransferFailure,
): FetchError {
  const failure: RequestFailure = {
    retryable: true,
    effect: "none",
    retryAfterMs: 0,
    maxRetries: Infinity,
    ...given,
  }
  const stream = describeUrl(url)
  const indeterminate = failure.effect === "unknown"
  const hint = indeterminate ? ` ${INDETERMINATE_HINT}` : ""
  const message = `A request to ${stream} failed: ${failure.reason}.${hint}`
  const error = new FetchError(status, undefined, undefined, headers, stream, message, {
    code: code ?? codeOf(failure),
    cause: safeCause(cause),
    indeterminate,
  })
  return withFailure(error, failure)
}

function codeOf({ kind, effect }: RequestFailure): DurableStreamErrorCode {
  if (kind === "timeout" || kind === "suspended") return "TIMEOUT"
  if (kind === "malformed") return "PROTOCOL"
  // A mistake that may have come after the server stored a write is told as the loss of its response.
  return kind === "caller" && effect === "none" ? "BAD_REQUEST" : "NETWORK"
}

/**
 * What an error status means.
 *
 * @param isWrite - whether the request changes the stream
 */
export function responseFailure(
  { status, headers }: Pick<Response, "status" | "headers">,
  isWrite: boolean,
): RequestFailure {
  // 501 and 505 say that the server will never know how.
  const isServerError = status >= 500 && status !== 501 && status !== 505
  // 500 and 503 are the server's statement that it stored nothing; the others come from what stands in front of it.
  const isUnknown = status === 408 || (isServerError && status !== 500 && status !== 503)
  return {
    kind: "response",
    retryable: isServerError || [408, 425, 429].includes(status),
    effect: isWrite && isUnknown ? "unknown" : "none",
    retryAfterMs: retryAfterMs(headers),
    maxRetries: Infinity,
    reason: `status ${status}`,
  }
}

/**
 * The error of a request for which `fetch` rejected.
 *
 * @param thrown - what it rejected with
 * @param url - the stream's
 * @param isWrite - whether the request changes the stream
 */
export function fetchFailure(thrown: unknown, url: string, isWrite: boolean): FetchError {
  const { isUnsent = false, ...cause } = classify(thrown) ?? unrecognised(thrown)
  const effect = isWrite && !isUnsent ? "unknown" : "none"
  return transferError(url, { ...cause, effect, cause: thrown })
}

/** Whether an error certainly tells of a network that failed: one of a header function that requests a token, say. */
export function isNetworkFailure(thrown: unknown): boolean {
  const kind = classify(thrown)?.kind
  return kind === "network" || kind === "timeout"
}

interface Cause {
  readonly kind: "network" | "timeout" | "malformed" | "caller"
  /** A `%` stands for the error's code. */
  readonly reason: string
  /** Whether the request never reached a server, or none that applied it. */
  readonly isUnsent?: boolean
  readonly retryable?: boolean
  readonly maxRetries?: number
}

const LOST: Cause = { kind: "network", reason: "the connection was lost" }
const REFUSED: Cause = { kind: "network", reason: "connection refused", isUnsent: true }
const NO_NAME: Cause = { kind: "network", reason: "the host name was not found", isUnsent: true }
const NO_CONNECTION: Cause = { kind: "network", reason: "no connection (%)", isUnsent: true }
const NO_HTTP: Cause = {
  kind: "malformed",
  reason: "the response is not valid HTTP, or its headers are too large (%)",
  maxRetries: FEW_RETRIES,
}
const REDIRECTS: Cause = {
  kind: "malformed",
  reason: "the server redirects without end",
  retryable: false,
  isUnsent: true,
}
const IMPOSSIBLE: Cause = {
  kind: "caller",
  reason: "fetch cannot make it as it is, see cause",
  retryable: false,
  isUnsent: true,
}
const BLOCKED: Cause = {
  kind: "caller",
  reason: "fetch blocks this port or scheme, use another one",
  retryable: false,
  isUnsent: true,
}

/**
 * What errors of `fetch` mean. They are matched whole: a message can hold the URL, and so any word. Codes are followed by a
 * space and by the system call, or the type, if the error has one.
 */
const causes: readonly (readonly [by: "code" | "name" | "message", RegExp, Cause])[] = [
  // Node's sockets, undici, Bun, node-fetch and axios.
  ["code", /^(ECONNREFUSED|ConnectionRefused) /, REFUSED],
  ["code", /^(ENOTFOUND|EAI_\w+|DNSNotFound|FailedToOpenSocket) /, NO_NAME],
  // No request goes out before the other side is known.
  ["code", / (connect|getaddrinfo)$|^UND_ERR_CONNECT_TIMEOUT |^ERR_(TLS|SSL)_/, NO_CONNECTION],
  ["code", /CERT|^UNABLE_TO_/, NO_CONNECTION],
  ["code", /^(HPE_\w+|UND_ERR_HEADERS_OVERFLOW|Malformed_HTTP_Response) /, NO_HTTP],
  ["code", /^InvalidHTTPResponse /, NO_HTTP],
  ["code", /^(UND_ERR_(INVALID_ARG|REQ_\w+)|ERR_INVALID_(CHAR|HTTP_TOKEN)) /, IMPOSSIBLE],
  ["code", /^(ERR_FR_TOO_MANY_REDIRECTS|TooManyRedirects) | max-redirect$/, REDIRECTS],
  ["code", /^(E(CONN|HOST|NET)\w+|EPIPE|EPROTO|ENOTCONN|EADDRNOTAVAIL|E(SOCKET)?TIMEDOUT) /, LOST],
  ["code", /^(UND_ERR_(SOCKET|ABORTED|\w+_TIMEOUT)|ConnectionClosed) /, LOST],
  ["code", /^ERR_(NETWORK|STREAM_PREMATURE_CLOSE) /, LOST],
  // By the standard. An abort that is not the caller's is one of a layer over fetch.
  ["name", /^TimeoutError$/, { kind: "timeout", reason: "it timed out" }],
  ["name", /^(NetworkError|AbortError)$/, LOST],
  // Chrome, Safari and Firefox; the first two can add the host.
  ["message", /^(failed to fetch|load failed)( \(\S+\))?$/i, LOST],
  ["message", /^((a )?network error( occurred)?|error in body stream)$/i, LOST],
  ["message", /^networkerror when attempting to fetch resource$/i, LOST],
  [
    "message",
    /^(the (network connection was lost|request timed out)|cancelled|type error)$/i,
    LOST,
  ],
  ["message", /^the internet connection appears to be offline$/i, LOST],
  ["message", /^could not connect to the server$/i, REFUSED],
  ["message", /^a server with the specified hostname could not be found$/i, NO_NAME],
  // Node, node-fetch, React Native, cross-fetch.
  [
    "message",
    /^(fetch failed|terminated|other side closed|socket hang up|premature close)$/i,
    LOST,
  ],
  ["message", /^network (request (failed|timed out)|connection lost)$/i, LOST],
  ["message", /^(bad port|unknown scheme)$/i, BLOCKED],
  ["message", /^(redirect count exceeded|too many http redirects)$/i, REDIRECTS],
  // Electron, workerd and Bun.
  ["message", /^(net::err_\w+|internal error; reference = \w+)$/i, LOST],
  ["message", /^unable to connect\. is the computer able to access the url\?$/i, LOST],
  ["message", /^the socket connection was closed unexpectedly\. for more information, /i, LOST],
  // Deno adds the URL. It has no space in it: what comes behind one is Deno's own.
  [
    "message",
    /^error sending request (from \S+ )?for \S+( \(\S+\))*: client error \(connect\)/i,
    { kind: "network", reason: "no connection", isUnsent: true },
  ],
  ["message", /^error sending request (from \S+ )?for \S+( \(\S+\))*(: .+)?$/i, LOST],
]

/** What an error of `fetch` means: by codes, then by names, then by messages; undefined if nothing is known. */
function classify(thrown: unknown): Cause | undefined {
  const chain = causesOf(thrown)
  for (const by of ["code", "name", "message"] as const) {
    for (const link of chain) {
      const { name, message, stack, code, syscall, type } = link
      const textOf = (value: unknown) => (typeof value === "string" ? value : "")
      const whole =
        by === "code"
          ? `${textOf(code)} ${textOf(syscall ?? type)}`
          : textOf(link[by]).trim().replace(/\.$/, "")
      const cause = causes.find(([of, pattern]) => of === by && pattern.test(whole))?.[2]
      if (cause !== undefined) return { ...cause, reason: cause.reason.replace("%", String(code)) }
      // By the standard every failure of the network is a TypeError. One without a stack is the platform's, in any language.
      const isPlatforms = name === "TypeError" && !stack && typeof message === "string"
      if (by === "message" && isPlatforms) return LOST
    }
  }
  return undefined
}

/** An error and the errors behind it, the innermost first: that one says most. */
function causesOf(error: unknown): Partial<Record<string, unknown>>[] {
  const chain: Partial<Record<string, unknown>>[] = []
  let link = error
  // Causes can go in a circle.
  while (typeof link === "object" && link !== null && chain.length < 8) {
    // Any object may be asked for a property.
    const fields = link as Partial<Record<string, unknown>>
    chain.unshift(fields)
    // An aggregate (one connection attempt for each address) failed in the way that its first member did.
    link = fields["cause"] ?? (Array.isArray(fields["errors"]) ? fields["errors"][0] : undefined)
  }
  return chain
}

function unrecognised(thrown: unknown): Cause {
  const name = thrown instanceof Error ? thrown.name : typeof thrown
  const reason = `fetch, or a layer over it, threw an unknown error (${name}), see cause`
  return { kind: "caller", reason, maxRetries: FEW_RETRIES }
}

/** No server makes this client wait longer than an hour. */
const MAX_RETRY_AFTER_MS = 3_600_000

/**
 * How long `Retry-After` asks to wait, in milliseconds: 0 if it is missing, past, negative or no time at all, and an hour at
 * the most, so that an absurd one neither parks a client for days nor overflows a timer. A date is measured against the
 * response's own `Date`, if it has one: the local clock can be wrong.
 */
export function retryAfterMs(headers: ResponseHeaders): number {
  const text = headerOf(headers, "retry-after") ?? ""
  const dateMs = Date.parse(headerOf(headers, "date") ?? "")
  // Only what looks like a date may become one: Date.parse takes "-5" for a month.
  const ms = /^[A-Za-z]{3}/.test(text)
    ? Date.parse(text) - (Number.isNaN(dateMs) ? Date.now() : dateMs)
    : /^[+-]?\d+(\.\d+)?$/.test(text) && Number(text) * 1000
  return Math.min(Math.max(ms || 0, 0), MAX_RETRY_AFTER_MS)
}
