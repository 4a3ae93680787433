import { positionOf } from "../../../src/testing/offsets.ts"
import type { RequestRecord } from "../../support/faulty-network/request-record.ts"
import type { Checkpoint } from "./consumers.ts"
import type { ReaderOutcome } from "./run.ts"
import type { ReaderScenario } from "./scenario.ts"
import { readWithoutReturns } from "./text-over-sse.ts"

/** What a finished run is checked against. */
export interface Evidence {
  scenario: ReaderScenario
  outcome: ReaderOutcome
  /** The stream's whole content: serialized messages, or a string of one character a byte. */
  whole: readonly string[] | string
  closed: boolean
  records: readonly RequestRecord[]
  sseHeartbeatMs: number
}

/** Where a reader was: the positions after so many units, of which there is one unless returns were lost. */
type Positions = (units: number) => readonly number[]

const GATHERING = new Set(["json", "text", "body"])

/** Properties 1 and 2: what was delivered is the stream's content, and every offset stands where it says. */
export function checkContent(evidence: Evidence): string[] {
  const { outcome, scenario } = evidence
  const positions = positionsOf(evidence)
  if (positions === undefined) {
    return [`what was delivered is no part of the stream: ${preview(delivered(evidence))}`]
  }
  const asked = evidence.records[0]?.offset
  const problems: string[] = []
  let last = 0
  for (const checkpoint of outcome.collected.checkpoints) {
    // Before the first page is delivered, the offset can be the one that the read was started with.
    const isStart = checkpoint.offset === asked
    if (isStart && scenario.start === "recreated") continue
    if (isStart && scenario.start === "now" && checkpoint.units === 0) continue
    const position = positionOf(checkpoint.offset)
    if (position === undefined) problems.push(`offset ${checkpoint.offset} is none of the server's`)
    else problems.push(...checkCheckpoint(checkpoint, position, positions(checkpoint.units)))
    if (position !== undefined && position < last) {
      problems.push(`the offset went back from ${last} to ${position}`)
    }
    last = position ?? last
  }
  return problems
}

function checkCheckpoint(
  checkpoint: Checkpoint,
  position: number,
  ends: readonly number[],
): string[] {
  const end = Math.max(...ends)
  if (position > end) return [`offset ${position} is ahead of the ${end} that were delivered`]
  if (checkpoint.exact && !ends.includes(position))
    return [`offset ${position} is behind the ${end} it came with`]
  return []
}

/** Whether all that should have been delivered was, if the session came to its end by itself. */
export function checkCompleteness(evidence: Evidence): string[] {
  const { scenario, outcome, whole, closed, records } = evidence
  const { response, collected, error } = outcome
  const endedByItself = outcome.events.at(-1)?.kind === "end" && error === undefined
  const left = scenario.ending.kind === "leave" && collected.deliveries >= scenario.ending.delivery
  if (!endedByItself || left || outcome.interruptedMs !== undefined || !response) return []
  const end = Math.max(...(positionsOf(evidence)?.(collected.units) ?? [0]))
  const problems: string[] = []
  // Text that waits for the other half of a character is not delivered to the tail.
  if (!response.upToDate && !scenario.splitsCharacters)
    problems.push("the session ended but is not up to date")
  if (scenario.live !== false && !GATHERING.has(scenario.method)) {
    if (!closed) problems.push("a live session ended on an open stream")
    if (!response.streamClosed) problems.push("the end came without streamClosed")
    if (end !== whole.length) problems.push(`EOF at ${end} of ${whole.length}`)
    // Without a delivery, the offset of an earlier stream is still the one that the session has.
    const isMoved = scenario.start !== "recreated" || collected.units > 0
    if (isMoved && positionOf(response.offset) !== whole.length)
      problems.push("the last offset is not the end")
    return problems
  }
  // A cache may say of an old page that it is up to date: it was.
  if (records.some((record) => record.fault === "cached-page")) return problems
  // A page that ends inside a character at the tail is left to the next read, or given up to that character.
  if (scenario.splitsCharacters && !response.upToDate) return problems
  if (end < outcome.storedUnits) {
    problems.push(`ended at ${end}, though ${outcome.storedUnits} were stored before it began`)
  }
  return problems
}

/** `offset: "now"` is the tail as soon as a response names it; an offset of an earlier stream is reported once. */
export function checkStart({ scenario, outcome, records }: Evidence): string[] {
  const problems: string[] = []
  const named = tailNamed(records)
  if (scenario.startsLate && named && named.fault === undefined && outcome.firstOffset === "now") {
    problems.push("the offset is still now, though the first response named the tail")
  }
  const kinds: readonly string[] = outcome.events.map(({ kind }) => kind)
  const mismatches = kinds.filter((kind) => kind === "offset-mismatch").length
  const first = records[0]
  const asked = positionOf(first?.offset ?? "-1") ?? 0
  const isFaultless = records.every(({ fault }) => fault === undefined)
  const isMismatch = (positionOf(first?.nextOffset ?? "") ?? asked) < asked
  const expected = scenario.start === "recreated" && isFaultless && isMismatch ? 1 : 0
  const isReported = mismatches === expected || (scenario.start === "recreated" && !isFaultless)
  if (!isReported && outcome.interruptedMs === undefined && outcome.response) {
    problems.push(`observe reported ${mismatches} offset mismatches, there were ${expected}`)
  }
  return problems
}

/** Where the read was after each unit; undefined if what was delivered is not the content from any start. */
function positionsOf(evidence: Evidence): Positions | undefined {
  const { scenario, outcome, whole } = evidence
  const units = delivered(evidence)
  const from = (start: number): Positions | undefined => {
    // Over SSE, a CR arrives as LF: DESIGN.md, section 3.
    if (scenario.live === "sse" && typeof whole === "string" && typeof units === "string") {
      const steps = readWithoutReturns(whole, start, units)
      return steps && ((count) => steps[count] ?? [])
    }
    if (!isSame(whole.slice(start, start + units.length), units)) return undefined
    return (count) => [start + count]
  }
  const asked = positionOf(evidence.records[0]?.offset ?? "-1")
  const isKnown = scenario.start !== "now" && scenario.start !== "recreated"
  if (isKnown) return asked === undefined ? undefined : from(asked)
  const named = positionOf(tailNamed(evidence.records)?.nextOffset ?? "")
  if (scenario.start === "now" && named !== undefined) return from(named)
  // The tail was somewhere between what was stored before and all there is.
  for (let start = whole.length; start >= outcome.storedUnits; start--) {
    const positions = from(start)
    if (positions) return positions
  }
  return undefined
}

/** The first response to `offset=now` that named the tail. */
function tailNamed(records: readonly RequestRecord[]): RequestRecord | undefined {
  return records.find(
    ({ offset, live, status, nextOffset }) =>
      offset === "now" && live === undefined && status === 200 && nextOffset !== undefined,
  )
}

function delivered({ scenario, outcome }: Evidence): readonly string[] | string {
  return scenario.content === "json" ? outcome.collected.messages : outcome.collected.bytes
}

function isSame(some: readonly string[] | string, others: readonly string[] | string): boolean {
  if (typeof some === "string" || typeof others === "string") return some === others
  return some.length === others.length && some.every((unit, index) => unit === others[index])
}

function preview(units: readonly string[] | string): string {
  return JSON.stringify(units).slice(0, 300)
}
