import type { DurableStreamError } from "../errors/durable-stream-error.ts"
import type { DurableStreamErrorCode } from "../errors/error-code.ts"
import { FetchError, INDETERMINATE_HINT } from "../errors/fetch-error.ts"
import { describeUrl } from "../protocol/request-url.ts"
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

/** Makes an error carry what its request's failure means. */
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
  /** The status of a response that is not usable. Default 0. */
  readonly status?: number
  /** Its headers. Default none. */
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

type Fields = Partial<Record<string, unknown>>

interface Cause {
  readonly kind: "network" | "timeout" | "malformed" | "caller"
  readonly reason: string
  /** Whether the request never reached a server, or none that applied it. */
  readonly isUnsent?: boolean
  readonly retryable?: boolean
  readonly maxRetries?: number
}

/** What an error of `fetch` means: by codes, then by names, then by whole messages; undefined if nothing is known. */
function classify(thrown: unknown): Cause | undefined {
  const chain = causesOf(thrown)
  for (const rule of [byCode, byName, byMessage]) {
    for (const link of chain) {
      const cause = rule(link)
      if (cause !== undefined) return cause
    }
  }
  return undefined
}

/** An error and the errors behind it, the innermost first: that one says most. */
function causesOf(error: unknown): Fields[] {
  const chain: Fields[] = []
  let link = error
  // Causes can go in a circle.
  while (typeof link === "object" && link !== null && chain.length < 8) {
    // Any object may be asked for a property.
    const fields = link as Fields
    chain.unshift(fields)
    // An aggregate (one connection attempt for each address) failed in the way that its first member did.
    link = fields["cause"] ?? (Array.isArray(fields["errors"]) ? fields["errors"][0] : undefined)
  }
  return chain
}

/** Codes of Node's sockets, of undici, Bun, node-fetch and axios. */
function byCode({ code, syscall, type }: Fields): Cause | undefined {
  const is = (codes: RegExp) => typeof code === "string" && codes.test(code)
  if (is(/^(ECONNREFUSED|ConnectionRefused)$/)) return unsent(REFUSED)
  if (is(/^(ENOTFOUND|EAI_\w+|DNSNotFound|FailedToOpenSocket)$/)) return unsent(NO_NAME)
  // No request goes out before the other side is known.
  const isConnecting = syscall === "connect" || syscall === "getaddrinfo"
  if (isConnecting || is(/^UND_ERR_CONNECT_TIMEOUT$|^ERR_(TLS|SSL)_|CERT|^UNABLE_TO_/)) {
    return unsent(`no connection (${String(code)})`)
  }
  if (is(/^(HPE_\w+|UND_ERR_HEADERS_OVERFLOW|Malformed_HTTP_Response|InvalidHTTPResponse)$/)) {
    const reason = `the response is not valid HTTP, or its headers are too large (${String(code)})`
    return { kind: "malformed", reason, maxRetries: FEW_RETRIES }
  }
  if (is(/^(UND_ERR_(INVALID_ARG|REQ_\w+)|ERR_INVALID_(CHAR|HTTP_TOKEN))$/)) return impossible()
  if (is(/^(ERR_FR_TOO_MANY_REDIRECTS|TooManyRedirects)$/) || type === "max-redirect") {
    return redirectLoop()
  }
  const lost =
    /^(E(CONN|HOST|NET)\w+|EPIPE|EPROTO|ENOTCONN|EADDRNOTAVAIL|E(SOCKET)?TIMEDOUT|UND_ERR_(SOCKET|ABORTED|\w+_TIMEOUT)|ERR_(NETWORK|STREAM_PREMATURE_CLOSE)|ConnectionClosed)$/
  return is(lost) ? connectionLost() : undefined
}

/** Names that the platforms give by the standard. An abort that is not the caller's is one of a layer over fetch. */
function byName({ name }: Fields): Cause | undefined {
  if (name === "TimeoutError") return { kind: "timeout", reason: "it timed out" }
  return name === "NetworkError" || name === "AbortError" ? connectionLost() : undefined
}

/**
 * The messages of the platforms, and of what stands in for their fetch. Only whole ones count: a message can hold the URL,
 * and so any word. By the standard every failure of the network is a TypeError; one without a stack comes from the
 * platform, in whatever language.
 */
function byMessage({ name, message, stack }: Fields): Cause | undefined {
  if (typeof message !== "string") return undefined
  const text = message.trim().toLowerCase().replace(/\.$/, "")
  // Deno adds the URL. It has no space in it: what comes behind one is Deno's own.
  const deno = /^error sending request (?:from \S+ )?for \S+(?: \(\S+\))*(: .+)?$/.exec(text)
  if (deno?.[1]?.startsWith(": client error (connect)") === true) return unsent("no connection")
  if (text === "could not connect to the server") return unsent(REFUSED)
  if (text === "a server with the specified hostname could not be found") return unsent(NO_NAME)
  if (text === "bad port" || text === "unknown scheme") return impossible()
  if (text === "redirect count exceeded" || text === "too many http redirects")
    return redirectLoop()
  // Chrome and Safari can add the host.
  const whole = text.replace(/^(failed to fetch|load failed) \(\S+\)$/, "$1")
  return deno !== null ||
    networkMessages.includes(whole) ||
    /^(net::err_\w+|internal error; reference = \w+)$/.test(whole) ||
    (name === "TypeError" && !stack)
    ? connectionLost()
    : undefined
}

/** In lower case, without the period. */
const networkMessages: readonly string[] = [
  // Chrome, Firefox and Safari.
  "failed to fetch",
  "network error",
  "a network error occurred",
  "networkerror when attempting to fetch resource",
  "error in body stream",
  "load failed",
  "the network connection was lost",
  "the internet connection appears to be offline",
  "the request timed out",
  "cancelled",
  "type error",
  // Node, node-fetch, React Native, cross-fetch, workerd and Bun.
  "fetch failed",
  "terminated",
  "other side closed",
  "socket hang up",
  "premature close",
  "network request failed",
  "network request timed out",
  "network connection lost",
  "unable to connect. is the computer able to access the url?",
  "the socket connection was closed unexpectedly. for more information, pass `verbose: true` in the second argument to fetch()",
]

const REFUSED = "connection refused"
const NO_NAME = "the host name was not found"

function unsent(reason: string): Cause {
  return { kind: "network", reason, isUnsent: true }
}

function connectionLost(): Cause {
  return { kind: "network", reason: "the connection was lost" }
}

function redirectLoop(): Cause {
  return { ...impossible(), kind: "malformed", reason: "the server redirects without end" }
}

function impossible(): Cause {
  const reason = "fetch cannot make it as it is, see cause"
  return { kind: "caller", reason, retryable: false, isUnsent: true }
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
export function retryAfterMs(headers: Pick<Headers, "get">): number {
  const text = headers.get("retry-after")?.trim() ?? ""
  if (text === "") return 0
  if (/^[+-]?\d+(\.\d+)?$/.test(text)) return bounded(Number(text) * 1000)
  // Only what looks like a date may become one: Date.parse takes "-5" for a month.
  if (!/^[A-Za-z]{3}/.test(text)) return 0
  const serverNowMs = Date.parse(headers.get("date") ?? "")
  return bounded(Date.parse(text) - (Number.isNaN(serverNowMs) ? Date.now() : serverNowMs))
}

function bounded(ms: number): number {
  return Number.isNaN(ms) ? 0 : Math.min(Math.max(ms, 0), MAX_RETRY_AFTER_MS)
}
