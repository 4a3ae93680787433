import {
  DurableStreamError,
  StaleEpochError,
  type RejectedMessageDetails,
} from "../../../src/index.ts"
import type { ProducerOutcome, ProducerRun } from "./run.ts"
import type { ProducerScenario } from "./scenario.ts"
import type { WriterOutcome } from "./writer.ts"

/**
 * Property 3, exactly: what was taken is, in order, what the log holds, then what `undelivered()` holds; what is in both
 * stands first in `undelivered()` and is covered by `indeterminateCount`; and what is in neither was left out and told of.
 */
export function checkWrittenOnce(writer: WriterOutcome, log: readonly string[]): string[] {
  const { taken, indeterminateCount, producer } = writer
  // Before the content type is known, what is no message is held as well.
  const undelivered = writer.undelivered.filter((message) => taken.includes(message))
  const leftOut = new Set(leftOutTexts(writer))
  const rest = taken.filter((message) => !leftOut.has(message))
  const problems: string[] = []
  const delivered = rest.length - undelivered.length
  if (JSON.stringify(rest.slice(delivered)) !== JSON.stringify(undelivered)) {
    problems.push(`undelivered() is ${names(undelivered)}, of ${names(rest)}`)
  }
  const doubted = log.length - delivered
  if (JSON.stringify(log) !== JSON.stringify(rest.slice(0, log.length))) {
    problems.push(`the log is ${names(log)}, written was ${names(rest)}`)
  }
  if (doubted < 0) problems.push(`${-doubted} messages are in neither: the log is ${names(log)}`)
  if (doubted > indeterminateCount) {
    problems.push(`${doubted} undelivered messages are stored, ${indeterminateCount} are in doubt`)
  }
  if (producer.state !== "failed" && undelivered.length > 0) problems.push("not failed")
  return problems
}

/** Only what the server refuses is left out, and each one that was is told of. */
export function checkLeftOut(writer: WriterOutcome, scenario: ProducerScenario): string[] {
  const leftOut = leftOutTexts(writer)
  const problems = leftOut
    .filter((text) => writer.taken.includes(text) && !writer.poisoned.has(text))
    .map((text) => `${text} was left out and is not at fault`)
  if (new Set(leftOut).size < leftOut.length && !scenario.mustAsk) problems.push("told of twice")
  return problems
}

/** What `send()` said of a message is what became of it. */
export function checkSent(writer: WriterOutcome, log: readonly string[]): string[] {
  const stored = new Set(log)
  const leftOut = new Set(leftOutTexts(writer))
  const undelivered = new Set(writer.undelivered)
  const problems: string[] = []
  for (const [message, outcome] of writer.sent) {
    if (outcome === "stored" && !stored.has(message)) problems.push(`${message} is not stored`)
    if (outcome !== "stored" && !leftOut.has(message) && !undelivered.has(message)) {
      problems.push(`send() of ${message} rejected with ${outcome.message}, it is not undelivered`)
    }
  }
  return problems
}

/** How it ended fits what became of the messages, and a producer that could go on did. */
export function checkProducerEnding(
  writer: WriterOutcome,
  scenario: ProducerScenario,
  closed: boolean,
): string[] {
  const { producer, ending, errors } = writer
  const problems: string[] = []
  const failures = errors.filter((error) => detailsOf(error) === undefined)
  const hasFailed = producer.state === "failed"
  // An abort or a closure that loses nothing is not told.
  const isQuiet = failures.length === 0 && writer.undelivered.length === 0
  if (failures.length !== (hasFailed && !isQuiet ? 1 : 0)) {
    problems.push(`${producer.state}, and onError was told of ${failures.length} failures`)
  }
  if (
    hasFailed &&
    ending !== "done" &&
    detailsOf(ending) === undefined &&
    !isQuiet &&
    ending !== failures[0]
  ) {
    problems.push(`it failed with ${String(failures[0])} and ended with ${String(ending)}`)
  }
  if (ending === "done" && hasFailed && scenario.ending !== "abort") {
    problems.push("the end came to nothing")
  }
  if (producer.state === "closed" && !closed) problems.push("the stream is not closed")
  if (!hasFailed && producer.bufferedBytes !== 0) {
    problems.push(`${producer.bufferedBytes} bytes are left`)
  }
  if (hasFailed && isSupposedToSucceed(scenario)) {
    problems.push(`nothing happened that it cannot get over: ${String(failures[0]?.stack)}`)
  }
  return problems
}

/** What may end one of two, beside the other one. The refusals are those of messages, too many in a row. */
const TWIN_ENDINGS: ReadonlySet<string> = new Set([
  "ABORTED",
  "BAD_REQUEST",
  "PAYLOAD_TOO_LARGE",
  "STREAM_CLOSED",
  "TIMEOUT",
])

/** Two producers with one id: one of them may fail, and says why. */
export function checkTwins(writers: readonly WriterOutcome[]): string[] {
  if (writers.length < 2) return []
  return writers
    .filter(({ producer }) => producer.state === "failed")
    .flatMap(({ errors }) => errors)
    .filter((error) => detailsOf(error) === undefined && !(error instanceof StaleEpochError))
    .filter((error) => !TWIN_ENDINGS.has(codeOf(error)))
    .map((error) => `a twin failed with ${String(error)}`)
}

export function checkProducerConduct(
  run: ProducerRun,
  scenario: ProducerScenario,
  outcome: ProducerOutcome,
): string[] {
  const problems = run.wires.flatMap((wire) => wire.problems)
  if (outcome.signalListeners > 0) problems.push("a listener is left on the caller's signal")
  const { maxBatchBytes } = scenario.options
  const longest = 4 * (scenario.maxMessageLength + 20)
  for (const { bytes, number } of run.wires.flatMap((wire) => wire.posts)) {
    if (bytes > maxBatchBytes && bytes > longest) problems.push(`batch ${number}: ${bytes} bytes`)
  }
  return problems
}

function isSupposedToSucceed(scenario: ProducerScenario): boolean {
  const faults = Object.keys(scenario.faults)
  const isFatal = faults.some((fault) =>
    ["forged-403", "forged-409", "html", "missing-headers"].includes(fault),
  )
  return (
    !isFatal &&
    scenario.options.deliveryTimeoutMs === Infinity &&
    scenario.maxRetries === Infinity &&
    scenario.rivalsAtMs.length === 0 &&
    // Other epochs may be used up by refusals; this one is claimed.
    scenario.earlierBatches === 0 &&
    scenario.forgetsAtMs.length === 0 &&
    scenario.closedAtMs === undefined &&
    !scenario.hasTwin &&
    scenario.ending !== "abort" &&
    // So many refusals in a row look like a server that takes nothing.
    scenario.poison < 0.1 &&
    scenario.maxBodyBytes === Infinity
  )
}

function codeOf(error: Error): string {
  return error instanceof DurableStreamError ? error.code : "none"
}

/** The messages without their padding. */
function names(messages: readonly string[]): string {
  return messages.map((message) => /[ab]\d+/.exec(message)?.[0] ?? "?").join()
}

function leftOutTexts({ errors }: WriterOutcome): string[] {
  return errors.map((error) => detailsOf(error)?.text).filter((text) => text !== undefined)
}

function detailsOf(error: Error): RejectedMessageDetails | undefined {
  const { details } = error as { details?: Partial<RejectedMessageDetails> }
  // The details of other errors are what the server said.
  return details?.message instanceof Uint8Array ? (details as RejectedMessageDetails) : undefined
}
