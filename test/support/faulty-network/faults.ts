import type { ModelRequest } from "../../../src/testing/messages.ts"
import type { SeededRandom } from "../seeded-random.ts"

/** What a network, a proxy or a cache may do to a request. */
export type FaultName =
  /** The request is lost: the client sees a network failure, the server nothing. */
  | "drop-before"
  /** The response is lost: the client sees a network failure, the server did it. */
  | "drop-after"
  /** The client sees a network failure; the request reaches the server much later. */
  | "straggler"
  /** The request is delivered, its response arrives, and a copy of the request is delivered much later. */
  | "duplicate"
  /** A layer below the client loses the first response and resends the request on its own; the second response arrives. */
  | "resent"
  /** The connection is refused: the server never saw the request. */
  | "refused"
  /** 500, 503 or 429 without effect, maybe with Retry-After. */
  | "status"
  /** 502 or 504, with or without effect. */
  | "gateway"
  /** A 403 without any of the protocol's headers. */
  | "forged-403"
  /** A 409 without any of the protocol's headers. */
  | "forged-409"
  /** No response, ever. */
  | "hang-before-headers"
  /** Headers and the first bytes, then nothing, ever. */
  | "hang-in-body"
  /** The body breaks with an error at some byte. */
  | "cut-error"
  /** The body ends early as if it were complete; a Content-Length tells where the body alone does not. */
  | "cut-clean"
  /** The body ends early, and the Content-Length tells. */
  | "short-length"
  /** The Content-Length is another one than the length of the body, which is complete. */
  | "wrong-length"
  /** A layer over fetch made a response of its own, and kept the Content-Length of another body. */
  | "rebuilt"
  /** The start of a body that broke off comes before the whole body, under the Content-Length of the whole (Bun ≤ 1.3.11). */
  | "joined-body"
  /** The body is lost, the headers are not: Content-Length 0. */
  | "lost-body"
  /** Reading the body throws what no network throws. */
  | "unreadable-body"
  /** Every header comes twice, joined by a comma. */
  | "double-headers"
  /** Status 200 and a page of HTML (a captive portal). */
  | "html"
  /** A 2xx that did not come from a server of the protocol, in the place of its response, which may have had its effect. */
  | "foreign-2xx"
  /** Some of the protocol's headers are not there (CORS, a proxy). */
  | "missing-headers"
  /** A catch-up page that does not move: next offset as asked, no data, not up to date. */
  | "stale-page"
  /** A catch-up page from a cache: an earlier response to the same url. */
  | "cached-page"
  /** A long-poll gets an empty response at once. */
  | "empty-live"
  /** Events are held back until the connection ends. */
  | "sse-buffered"
  /** The event stream ends at once. */
  | "sse-cut"
  /** A plain page instead of events. */
  | "sse-as-page"
  /** The headers of an event stream, and never an event. */
  | "sse-silent"
  /** A line of an event stream that does not end. */
  | "sse-endless-line"
  /** Data events without end, and no control event. */
  | "sse-endless-data"

/** How likely each fault is, for every request it can happen to. */
export type FaultOdds = Partial<Record<FaultName, number>>

/** What happens to one request. */
export interface FaultPlan {
  fault: FaultName | undefined
  /** Time to the server and back. */
  thereMs: number
  backMs: number
  /** A fetch that goes on waiting when it is aborted. */
  ignoresAbort: boolean
  /** A request that is aborted on its way reaches the server all the same. */
  survivesAbort: boolean
  /** How the body comes: at once, split at random bytes, or split and slowly. */
  pace: "whole" | "split" | "trickle"
  /** A number in [0, 1) for choices that depend on the response (where to cut, what to leave out). */
  dice: () => number
}

const WRITE_FAULTS: ReadonlySet<FaultName> = new Set(["straggler", "duplicate", "resent"])
const SSE_FAULTS: ReadonlySet<FaultName> = new Set([
  "sse-buffered",
  "sse-cut",
  "sse-as-page",
  "sse-silent",
  "sse-endless-line",
  "sse-endless-data",
])
const CATCH_UP_FAULTS: ReadonlySet<FaultName> = new Set([
  "stale-page",
  "cached-page",
  "joined-body",
  "lost-body",
])

/** Draws some faults of a list for a run, and how likely each is at a request. */
export function drawFaultOdds(
  random: SeededRandom,
  faults: readonly FaultName[],
  count: number,
  odds: readonly number[],
): FaultOdds {
  const drawn: FaultOdds = {}
  for (let left = count; left > 0; left--) drawn[random.pick(faults)] = random.pick(odds)
  return drawn
}

/** True when a fault of that name can happen to this request. */
function canHappen(fault: FaultName, request: Pick<ModelRequest, "method" | "url">): boolean {
  const live = request.url.searchParams.get("live")
  const isRead = request.method === "GET"
  if (WRITE_FAULTS.has(fault)) return !isRead && request.method !== "HEAD"
  if (SSE_FAULTS.has(fault)) return isRead && live === "sse"
  if (CATCH_UP_FAULTS.has(fault)) {
    return isRead && live === null && request.url.searchParams.get("offset") !== "now"
  }
  if (fault === "empty-live") return isRead && live === "long-poll"
  return true
}

/** Draw the fault of one request; undefined for none. */
export function drawFault(
  random: SeededRandom,
  odds: FaultOdds,
  request: Pick<ModelRequest, "method" | "url">,
): FaultName | undefined {
  let rest = random.next()
  // Object.entries forgets the key type; the object has no other keys.
  for (const [fault, probability] of Object.entries(odds) as Array<[FaultName, number]>) {
    if (!canHappen(fault, request)) continue
    rest -= probability
    if (rest < 0) return fault
  }
  return undefined
}
