import { FetchError } from "../errors/fetch-error.ts"
import { IN_DOUBT_HINT } from "../errors/in-doubt-hint.ts"
import { describeUrl } from "../protocol/request-url.ts"
import { safeCause } from "./safe-cause.ts"

/**
 * Why a request got no answer.
 *
 * - `refused`: it never reached a server, so it had no effect.
 * - `lost`: it may have reached one.
 * - `impossible`: it can never succeed, however often it is tried.
 */
export type FailureKind = "refused" | "lost" | "impossible"

const refusedCodes = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EAI_NODATA",
  "EAI_NONAME",
  "UND_ERR_CONNECT_TIMEOUT",
  "ConnectionRefused",
  "FailedToOpenSocket",
  "DNSNotFound",
])

/** No request goes out before the other side is known. */
const tlsCodes = /^ERR_(TLS|SSL)_|CERT|^UNABLE_TO_/

const impossibleCauses =
  /redirect|unknown scheme|url scheme|bad port|invalid url|invalid method|invalid header|cors|duplex/i

/** Wordings of the platforms' fetch for a network that failed, which all of them dress as a TypeError. */
const networkWordings =
  /fetch failed|failed to fetch|load failed|network|connection|connect|socket|terminated|timed? ?out|internet|offline|hang ?up|reset|sending request|error reading|econn|epipe|enet|ehost|aborted|closed/i

/** Sorts what a `fetch` threw. Platforms have no common way to say it, so this looks at codes, then at words. */
export function classifyFetchFailure(error: unknown): FailureKind {
  const chain = causes(error)
  if (chain.some(isRefused)) return "refused"
  const hasNetworkCode = chain.some((link) =>
    // HPE: the answer is no HTTP.
    /^(E[A-Z]+|UND_ERR_(?!INVALID|REQ).*|HPE_.*)$/.test(codeOf(link)),
  )
  if (hasNetworkCode) return "lost"
  if (chain.some((link) => /^(ERR_INVALID|UND_ERR_(INVALID|REQ))/.test(codeOf(link))))
    return "impossible"
  if (chain.some((link) => link !== error && impossibleCauses.test(messageOf(link))))
    return "impossible"
  if (
    error instanceof RangeError ||
    error instanceof SyntaxError ||
    error instanceof ReferenceError
  ) {
    return "impossible"
  }
  if (error instanceof TypeError) {
    const message = messageOf(error)
    if (
      /redirect|header|scheme|duplex|is not a function|cannot read|construct '?request/i.test(
        message,
      )
    ) {
      return "impossible"
    }
    return networkWordings.test(message) ? "lost" : "impossible"
  }
  return "lost"
}

/**
 * The error for a request that got no answer. Its message leaves out what the platform said, which can hold the
 * URL with its query; `cause` has it, less that.
 */
export function fetchFailureError(
  error: unknown,
  kind: FailureKind,
  url: string,
  indeterminate: boolean,
): FetchError {
  const stream = describeUrl(url)
  if (kind === "impossible") {
    const redirects = causes(error).some((link) => /redirect/i.test(messageOf(link)))
    const why = redirects
      ? `The server redirects without end: ${stream}`
      : `fetch refused to make the request to ${stream}; it cannot succeed as it is`
    return new FetchError(0, undefined, undefined, {}, stream, why, {
      code: redirects ? "PROTOCOL" : "BAD_REQUEST",
      cause: safeCause(error),
    })
  }
  const why =
    kind === "refused" ? "No connection could be made to" : "The network failed on a request to"
  const message = `${why} ${stream}.${indeterminate ? ` ${IN_DOUBT_HINT}` : ""}`
  return new FetchError(0, undefined, undefined, {}, stream, message, {
    code: "NETWORK",
    cause: safeCause(error),
    indeterminate,
  })
}

function isRefused(link: unknown): boolean {
  // Any value but null and undefined may be asked for a property, and the chain holds neither.
  const { syscall } = link as { syscall?: unknown }
  return (
    refusedCodes.has(codeOf(link)) ||
    tlsCodes.test(codeOf(link)) ||
    syscall === "connect" ||
    syscall === "getaddrinfo" ||
    /tcp connect error: connection refused|dns error|ERR_NAME_NOT_RESOLVED|ERR_CONNECTION_REFUSED/i.test(
      messageOf(link),
    )
  )
}

/** An error and the errors behind it, outermost first. */
function causes(error: unknown): unknown[] {
  const chain: unknown[] = []
  let link = error
  while (link !== undefined && link !== null && chain.length < 8) {
    chain.push(link)
    // An aggregate (one connection attempt for each address) failed in the way that its first member did. What is no
    // error has neither property.
    const { cause, errors } = link as { cause?: unknown; errors?: unknown[] }
    link = cause ?? errors?.[0]
  }
  return chain
}

function codeOf(link: unknown): string {
  // Any value but null and undefined may be asked for a property, and the chain holds neither.
  const { code } = link as { code?: unknown }
  return typeof code === "string" ? code : ""
}

function messageOf(link: unknown): string {
  return link instanceof Error ? link.message : ""
}
