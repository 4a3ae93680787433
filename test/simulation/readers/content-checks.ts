import type { RequestRecord } from "../../support/faulty-network/request-record.ts"
import { positionOf } from "../../support/model-server/offsets.ts"
import type { Checkpoint } from "./consumers.ts"
import type { ReaderOutcome } from "./run.ts"
import type { ReaderScenario } from "./scenario.ts"

/** What a finished run is checked against. */
export interface Evidence {
  scenario: ReaderScenario
  outcome: ReaderOutcome
  /** The stream's whole content: serialized messages, or a string of one character a byte. */
  whole: readonly string[] | string
  closed: boolean
  records: readonly RequestRecord[]
}

const GATHERING = new Set(["json", "text", "body"])

/** Properties 1 and 2: what was delivered is the stream's content, and every offset stands where it says. */
export function checkContent(evidence: Evidence): string[] {
  const { outcome } = evidence
  const start = startOf(evidence)
  if (start === undefined) {
    return [`what was delivered is no part of the stream: ${preview(delivered(evidence))}`]
  }
  const problems: string[] = []
  let last = 0
  for (const checkpoint of outcome.collected.checkpoints) {
    // Before the first delivery the offset is the one that the read was started with.
    if (checkpoint.offset === "now" && checkpoint.units === 0) continue
    const position = positionOf(checkpoint.offset)
    if (position === undefined) problems.push(`offset ${checkpoint.offset} is none of the server's`)
    else problems.push(...checkCheckpoint(checkpoint, position, start))
    if (position !== undefined && position < last) {
      problems.push(`the offset went back from ${last} to ${position}`)
    }
    last = position ?? last
  }
  return problems
}

function checkCheckpoint(checkpoint: Checkpoint, position: number, start: number): string[] {
  const end = start + checkpoint.units
  if (position > end) return [`offset ${position} is ahead of the ${end} that were delivered`]
  if (position < end && checkpoint.exact)
    return [`offset ${position} is behind the ${end} it came with`]
  return []
}

/** Whether all that should have been delivered was, where the session came to its end by itself. */
export function checkCompleteness(evidence: Evidence): string[] {
  const { scenario, outcome, whole, closed, records } = evidence
  const { response, collected, error } = outcome
  const endedByItself = outcome.events.at(-1)?.kind === "end" && error === undefined
  const left = scenario.ending.kind === "leave" && collected.deliveries >= scenario.ending.delivery
  if (!endedByItself || left || outcome.interruptedMs !== undefined || !response) return []
  const end = (startOf(evidence) ?? 0) + collected.units
  const problems: string[] = []
  // Text that waits for the other half of a character is not delivered to the tail.
  if (!response.upToDate && !scenario.splitsCharacters)
    problems.push("the session ended but is not up to date")
  if (scenario.live !== false && !GATHERING.has(scenario.method)) {
    if (!closed) problems.push("a live session ended on an open stream")
    if (!response.streamClosed) problems.push("the end came without streamClosed")
    if (end !== whole.length) problems.push(`EOF at ${end} of ${whole.length}`)
    if (positionOf(response.offset) !== whole.length)
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

/** Where the read started, such that everything delivered is the content behind it; undefined where there is no such place. */
function startOf(evidence: Evidence): number | undefined {
  const { scenario, outcome, whole } = evidence
  const asked = evidence.records[0]?.offset ?? "-1"
  const units = delivered(evidence)
  const fits = (start: number): boolean =>
    sameUnits(whole.slice(start, start + units.length), units)
  if (scenario.start !== "now") {
    const start = positionOf(asked)
    return start !== undefined && fits(start) ? start : undefined
  }
  const exact = outcome.collected.checkpoints.find((checkpoint) => checkpoint.exact)
  const told = exact && positionOf(exact.offset)
  const startTold = told === undefined ? undefined : told - (exact?.units ?? 0)
  const candidates =
    startTold === undefined
      ? Array.from({ length: whole.length - outcome.storedUnits + 1 }, (_, i) => whole.length - i)
      : [startTold]
  // The tail was somewhere between what was stored before and all there is.
  return candidates.find((start) => start >= outcome.storedUnits && fits(start))
}

function delivered({ scenario, outcome }: Evidence): readonly string[] | string {
  return scenario.content === "json" ? outcome.collected.messages : outcome.collected.bytes
}

function sameUnits(some: readonly string[] | string, others: readonly string[] | string): boolean {
  if (typeof some === "string" || typeof others === "string") return some === others
  return some.length === others.length && some.every((unit, index) => unit === others[index])
}

function preview(units: readonly string[] | string): string {
  return JSON.stringify(units).slice(0, 300)
}
