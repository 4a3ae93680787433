import type { DurableStreamErrorCode } from "../errors/error-code.ts"
import { FetchError } from "../errors/fetch-error.ts"
import { INDETERMINATE_HINT } from "../errors/indeterminate-hint.ts"
import { describeUrl } from "../protocol/request-url.ts"
import {
  isRefusalCode,
  saysMistake,
  saysNetworkFailed,
  saysRedirectLoop,
  saysRefused,
  saysUnreached,
} from "./failure-wordings.ts"
import { safeCause } from "./safe-cause.ts"

/**
 * Why a request got no answer.
 *
 * - `refused`: it never reached a server, so it had no effect.
 * - `lost`: it may have reached one.
 * - `faulty`: a program failed, and no network: most likely a layer of the caller's over `fetch`, before the request was made or
 *   behind its answer. So it may have reached a server, and another try is likely to fail in the same way.
 * - `impossible`: it was not made, or led nowhere, and can never succeed, however often it is tried.
 *
 * What is `faulty` leaves a write in doubt. A read that ends so is told at once, as a mistake in a program must come to light;
 * an idempotent write, a producer's batch among them, is tried a few times more, as only its answer tells what became of it.
 */
export type FailureKind = "refused" | "lost" | "faulty" | "impossible"

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

/** What a mistake in a program throws. Platforms dress a network that failed as the first of them. */
const programErrors: readonly string[] = [
  "TypeError",
  "RangeError",
  "SyntaxError",
  "ReferenceError",
]

/** Sorts what a `fetch` threw. Platforms have no common way to say it, so this looks at codes, then at words. */
export function classifyFetchFailure(error: unknown): FailureKind {
  const chain = causes(error)
  if (chain.some(isRefused)) return "refused"
  if (chain.some(isCodedLoss)) return "lost"
  // An error that was made of another, by createFetchWithBackoff, says no more than that one.
  const [outermost, ...behind] = chain
  const first = isFetchErrorWithoutAnswer(outermost) ? behind[0] : outermost
  const isFaulty = programErrors.includes(nameOf(first))
  const isRefusal = (link: unknown) => saysRefused(messageOf(link))
  if (
    chain.some((link) => isRefusalCode(codeOf(link)) || saysRedirectLoop(messageOf(link))) ||
    behind.some(isRefusal) ||
    (isFaulty && isRefusal(first))
  ) {
    return "impossible"
  }
  return isFaulty && isMistake(first) ? "faulty" : "lost"
}

/**
 * Whether an error tells of a network that failed, for sure: one of a function of the caller's, which may have asked for a token
 * while there was no network. What it throws of its own is its caller's to see.
 */
export function isNetworkFailure(error: unknown): boolean {
  const kind = classifyFetchFailure(error)
  if (kind !== "lost") return kind === "refused"
  return causes(error).some(
    (link) =>
      isCodedLoss(link) || (nameOf(link) === "TypeError" && saysNetworkFailed(messageOf(link))),
  )
}

/**
 * The error for a request that got no answer. Its message leaves out what the platform said, which can hold the
 * URL with its query; `cause` has it, less that.
 */
export function fetchFailureError(
  cause: unknown,
  kind: FailureKind,
  url: string,
  indeterminate: boolean,
): FetchError {
  const stream = describeUrl(url)
  const error = (message: string, code: DurableStreamErrorCode) =>
    new FetchError(0, undefined, undefined, {}, stream, message, {
      code,
      cause: safeCause(cause),
      indeterminate,
    })
  switch (kind) {
    case "impossible":
      return causes(cause).some((link) => saysRedirectLoop(messageOf(link)))
        ? error(`The server redirects without end: ${stream}`, "PROTOCOL")
        : error(
            `fetch refused to make the request to ${stream}; it cannot succeed as it is`,
            "BAD_REQUEST",
          )
    case "faulty": {
      const what = `fetch failed by itself on a request to ${stream}, not the network: see cause.`
      return indeterminate
        ? error(`${what} ${INDETERMINATE_HINT}`, "NETWORK")
        : error(what, "BAD_REQUEST")
    }
    case "refused":
      return error(`No connection could be made to ${stream}.`, "NETWORK")
    case "lost": {
      const what = `The network failed on a request to ${stream}.`
      return error(indeterminate ? `${what} ${INDETERMINATE_HINT}` : what, "NETWORK")
    }
  }
}

function isCodedLoss(link: unknown): boolean {
  // HPE: the answer is no HTTP.
  return /^(E[A-Z]+|UND_ERR_(?!INVALID|REQ).*|HPE_.*)$/.test(codeOf(link))
}

function isRefused(link: unknown): boolean {
  // Any value but null and undefined may be asked for a property, and the chain holds neither.
  const { syscall } = link as { syscall?: unknown }
  return (
    refusedCodes.has(codeOf(link)) ||
    tlsCodes.test(codeOf(link)) ||
    syscall === "connect" ||
    syscall === "getaddrinfo" ||
    saysUnreached(messageOf(link))
  )
}

/** Whether one of {@link programErrors} is a mistake in a program. Node gives its own a code; its network's stands behind them. */
function isMistake(link: unknown): boolean {
  return (
    nameOf(link) !== "TypeError" || codeOf(link).startsWith("ERR_") || saysMistake(messageOf(link))
  )
}

/** Whether an error is what {@link fetchFailureError} makes. */
function isFetchErrorWithoutAnswer(link: unknown): boolean {
  // Any value but null and undefined may be asked for a property.
  const { status } = (link ?? {}) as { status?: unknown }
  return nameOf(link) === "FetchError" && status === 0
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
  return textOf(link, "message")
}

function nameOf(link: unknown): string {
  return textOf(link, "name")
}

/** Not by class: the platform's errors are another realm's in some test environments. */
function textOf(link: unknown, field: "message" | "name"): string {
  if (typeof link !== "object" || link === null) return ""
  // Any object may be asked for a property.
  const text = (link as { message?: unknown; name?: unknown })[field]
  return typeof text === "string" ? text : ""
}
