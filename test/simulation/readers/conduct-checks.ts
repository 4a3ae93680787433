import type { FaultName } from "../../support/faulty-network/faults.ts"
import { ENDLESS_PIECE_BYTES } from "../../support/faulty-network/body.ts"
import type { RequestRecord } from "../../support/faulty-network/request-record.ts"
import { ConsumerFailure } from "./consumers.ts"
import { LATE_START_MS } from "./scenario.ts"
import type { Evidence } from "./content-checks.ts"

/**
 * Requests that bring nothing, in any ten seconds, and those beside each that brings something. A loop would make
 * thousands. Long-polls that that a far cache responds to at once look held, and are followed at the pace of the round trip; a
 * backoff that may be as short as 10 ms, with a handler that always goes on, makes some.
 */
const IDLE_REQUESTS = { plain: 120, quick: 600 }
const IDLE_REQUESTS_EACH = 4
const WINDOW_MS = 10_000

/** Faults that make a response look as if this were no stream, or a stuck one; many in a row may end a session. */
const ODD_RESPONSES: ReadonlySet<FaultName> = new Set([
  "html",
  "missing-headers",
  "cut-clean",
  "short-length",
  "wrong-length",
  "joined-body",
  "lost-body",
  "unreadable-body",
  "double-headers",
  "sse-endless-data",
  "stale-page",
  "cached-page",
  "empty-live",
])
const GATHERING = new Set(["json", "text", "body"])
const ODD_CODES = new Set(["NO_PROGRESS", "PROTOCOL", "PARSE_ERROR"])

/** How the session ended: with the right error or none, in time, and told once. */
export function checkEnding({ scenario, outcome, records }: Evidence): string[] {
  const { error, closedError, events, interruptedMs, endedMs } = outcome
  const problems: string[] = []
  const ends = events.filter((event) => event.kind === "end").length
  if (ends !== 1) problems.push(`observe was told of ${ends} ends`)
  if (outcome.collected.overlaps > 0) problems.push("a callback was called while it was at work")
  const isEnded = error === undefined || outcome.gaveUp
  if (!isEnded && !isExpected(error, scenario.ending.kind, records)) {
    problems.push(`ended with ${describeError(error)}`)
  }
  if (scenario.ending.kind === "throw" && error instanceof ConsumerFailure) {
    const expected = scenario.method.startsWith("subscribe") ? error : undefined
    if (closedError !== expected) problems.push(`closed: ${describeError(closedError)}`)
  } else if (interruptedMs !== undefined && closedError !== undefined) {
    problems.push(`closed rejected after ${scenario.ending.kind}: ${describeError(closedError)}`)
  } else if (interruptedMs === undefined && outcome.response && closedError !== error) {
    problems.push(`closed: ${describeError(closedError)}, consumer: ${describeError(error)}`)
  }
  // What was read before a cancel is still handed out; a slow reader takes its time for it.
  const isSlow = scenario.method === "jsonStream" && scenario.ending.kind !== "abort"
  const slowMs = isSlow && scenario.slownessMs > 0 ? Infinity : scenario.slownessMs
  const graceMs = slowMs + (scenario.startsLate ? LATE_START_MS : 0)
  if (interruptedMs !== undefined && endedMs > interruptedMs + graceMs) {
    problems.push(`interrupted at ${interruptedMs} ms, ended at ${endedMs} ms`)
  }
  return problems
}

function isExpected(error: unknown, ending: string, records: readonly RequestRecord[]): boolean {
  if (error instanceof ConsumerFailure) return ending === "throw"
  if (!(error instanceof Error)) return false
  const interrupted = ["abort", "cancel", "dispose"].includes(ending)
  if (isAbort(error)) return interrupted
  const faults = new Set(records.map(({ fault }) => fault))
  if (isUnreadable(error)) return faults.has("unreadable-body")
  const isEndless = faults.has("sse-endless-line") || faults.has("sse-endless-data")
  if ("code" in error && error.code === "PAGE_TOO_LARGE") return isEndless
  const odd = records.filter((record) => record.fault && ODD_RESPONSES.has(record.fault)).length
  return "code" in error && ODD_CODES.has(String(error.code)) && odd >= 4
}

/** An abort; in 0.2.x its name was the class's. */
function isAbort({ name }: Error): boolean {
  return name === "AbortError" || name === "FetchBackoffAbortError"
}

/** The error of a body that cannot be read, or an error with it as its cause. */
function isUnreadable(error: Error): boolean {
  const { cause } = error
  return error instanceof RangeError || (cause instanceof Error && isUnreadable(cause))
}

/** Without a fault, and with the server heard in time, no live request is dropped but the last, and one for lossy text. */
export function checkHealthy({ scenario, outcome, records, sseHeartbeatMs }: Evidence): string[] {
  const { idleTimeoutMs, longPollTimeoutMs, maxLatencyMs } = scenario
  const silentMs = Math.max(longPollTimeoutMs + 4 * maxLatencyMs, sseHeartbeatMs) + 5000
  const isHeard = sseHeartbeatMs > 0 && silentMs < idleTimeoutMs
  // Events that name an offset below the one that was asked for look damaged.
  const isQuiet =
    scenario.start !== "recreated" &&
    records.every(({ fault }) => fault === undefined) &&
    scenario.disruption.kind === "none" &&
    scenario.pageEvents.length === 0 &&
    outcome.visibility.spans.length === 0
  if (!isHeard || !isQuiet) return []
  const dropped = records.filter(({ live, aborted }) => live !== undefined && aborted).length
  return dropped > 2 ? [`${dropped} healthy live requests were dropped`] : []
}

/** Property 4: memory is bounded, and a slow consumer does not cost a round trip for each page. */
export function checkBounds({ scenario, outcome, records }: Evidence): string[] {
  const { maxPageBytes, readAhead } = scenario
  const problems: string[] = []
  for (const { id, fault, readBytes } of records) {
    const isEndless = fault === "sse-endless-line" || fault === "sse-endless-data"
    if (!isEndless || maxPageBytes === undefined) continue
    if (readBytes > maxPageBytes + 3 * ENDLESS_PIECE_BYTES) {
      problems.push(`request ${id}: ${readBytes} bytes of events without an end were read`)
    }
  }
  const isFaultless = records.every(({ fault }) => fault === undefined)
  const isUndisturbed = outcome.visibility.spans.length === 0 && scenario.ending.kind === "none"
  if (isFaultless && isUndisturbed && readAhead > 0 && outcome.idleWork > 0) {
    problems.push(`${outcome.idleWork} times no request was in flight while the consumer worked`)
  }
  return problems
}

/** Long enough for a clock that is looked at every few seconds, and for a request that was under way when it woke. */
const WAKE_MS = 25_000

/** After a sleep, what has gone stale is replaced soon, not after the idle time-out. */
export function checkWaking({ scenario, outcome, records }: Evidence): string[] {
  const { wokeMs, endedMs } = outcome
  // A connection that nobody waits for is not watched: it is looked at when the consumer comes back.
  const isAway = scenario.slownessMs > 0 || (scenario.startsLate && (wokeMs ?? 0) < LATE_START_MS)
  const waits = isAway || outcome.visibility.spans.length > 0
  if (wokeMs === undefined || waits || endedMs <= wokeMs + WAKE_MS) return []
  const next = records.find((record) => record.atMs >= wokeMs)
  if (next && next.atMs <= wokeMs + WAKE_MS) return []
  return [`woke at ${wokeMs} ms, but asked again only at ${next?.atMs ?? endedMs} ms`]
}

/** Property 5: nothing is left. */
export function checkLeftovers({ outcome }: Evidence): string[] {
  const problems: string[] = []
  if (outcome.signalListeners > 0)
    problems.push(`${outcome.signalListeners} listeners on the signal`)
  if (outcome.pageListeners > 0) problems.push(`${outcome.pageListeners} listeners on the page`)
  const { listenerCount } = outcome.visibility
  if (listenerCount > 0) problems.push(`${listenerCount} subscriptions to the visibility`)
  return problems
}

/** Property 4: no hot loop, and no request while nobody looks. */
export function checkRequests({ scenario, outcome, records }: Evidence): string[] {
  const problems: string[] = []
  const isQuick = scenario.quickBackoff || scenario.asksOnError
  const limit = isQuick ? IDLE_REQUESTS.quick : IDLE_REQUESTS.plain
  for (let from = 0, to = 0, idle = 0, moved = 0; to < records.length; to++) {
    const newest = records[to]
    if (newest?.moved) moved++
    else idle++
    while ((newest?.atMs ?? 0) - (records[from]?.atMs ?? 0) > WINDOW_MS) {
      if (records[from++]?.moved) moved--
      else idle--
    }
    if (idle > limit + IDLE_REQUESTS_EACH * moved) {
      problems.push(`${idle} requests for nothing in the 10 s before ${newest?.atMs} ms`)
      break
    }
  }
  // A read that ends by itself goes on while nobody looks.
  if (scenario.live === false || GATHERING.has(scenario.method)) return problems
  for (const [fromMs, toMs] of outcome.visibility.spans) {
    const since = Math.max(fromMs, outcome.firstResponseMs)
    const hidden = records.filter((record) => record.atMs > since && record.atMs < toMs)
    const begun = hidden.filter((record) => !isRetry(record, records))
    // A page that the consumer was waiting for is still fetched, as often as it takes, and those ahead of it.
    if (begun.length > scenario.readAhead + 1) {
      problems.push(`${begun.length} requests while hidden from ${fromMs} ms`)
    }
  }
  return problems
}

function isRetry(record: RequestRecord, records: readonly RequestRecord[]): boolean {
  return record.live === undefined && records[record.id - 1]?.url === record.url
}

function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const code = "code" in error ? ` ${String(error.code)}` : ""
  return `${error.name}${code}: ${error.message}`
}
