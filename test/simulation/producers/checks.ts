import { DurableStreamError, type RejectedMessageDetails } from "../../../src/index.ts"
import type { LifetimeOutcome } from "./lifetime.ts"
import type { ProducerOutcome, ProducerRun } from "./run.ts"
import { FATAL, type ProducerScenario } from "./scenario.ts"
import type { NumberedPost } from "./wire-record.ts"

/** Everything that does not hold for one lifetime. */
export function checkLifetime(
  lifetime: LifetimeOutcome,
  log: readonly string[],
  scenario: ProducerScenario,
  closed: boolean,
): string[] {
  const problems = [...lifetime.problems, ...lifetime.wire.problems]
  problems.push(...checkSent(lifetime, log))
  if (lifetime.died) problems.push(...checkPrefix(lifetime, log))
  else {
    problems.push(
      ...(isExact(lifetime) ? checkWrittenOnce(lifetime, log) : checkDetected(lifetime, log)),
      ...checkRejected(lifetime, scenario),
      ...checkEnding(lifetime, scenario, closed),
      ...checkTimes(lifetime, scenario),
    )
  }
  return problems.map((problem) => `${lifetime.plan.owner}: ${problem}`)
}

/**
 * Property 3, exactly: what was accepted is, in order, what the log holds, then what `undelivered()` holds. What is in both
 * comes first in `undelivered()` and is counted by `indeterminateCount`. What is in neither was rejected and reported.
 */
function checkWrittenOnce(lifetime: LifetimeOutcome, log: readonly string[]): string[] {
  const { indeterminateCount, producer } = lifetime
  const rest = unrejected(lifetime)
  const undelivered = undeliveredOf(lifetime)
  const problems: string[] = []
  const delivered = rest.length - undelivered.length
  if (!isSame(rest.slice(delivered), undelivered)) {
    problems.push(`undelivered() is ${names(undelivered)}, of ${names(rest)}`)
  }
  const twofold = log.length - delivered
  if (!isSame(log, rest.slice(0, log.length))) {
    problems.push(`the log is ${names(log)}, written was ${names(rest)}`)
  }
  if (twofold < 0) problems.push(`${-twofold} messages are in neither: the log is ${names(log)}`)
  if (twofold > indeterminateCount) {
    problems.push(
      `${twofold} undelivered messages are stored, ${indeterminateCount} are indeterminate`,
    )
  }
  if (producer.state !== "failed" && undelivered.length > 0) problems.push("not failed")
  return problems
}

/** A process that died leaves the first of its messages in the log, in order, each once. */
function checkPrefix(lifetime: LifetimeOutcome, log: readonly string[]): string[] {
  const { plan, rejectable } = lifetime
  const rest = lifetime.accepted
    .map(({ text }) => text)
    // What it was not told of any more may have been rejected.
    .filter((text) => !rejectable.has(text) || log.includes(text))
  // Messages that another lifetime's batches were mistaken for are missing.
  const expected = plan.guarantee === "exact" ? rest.slice(0, log.length) : inOrder(rest, log)
  if (isSame(log, expected)) return []
  return [`the log is ${names(log)}, written before its death was ${names(rest)}`]
}

/**
 * If lifetimes share an epoch: nothing is stored twice or out of order. A message that is missing belongs to a batch that was
 * acknowledged as a duplicate, and the producer fails if API.md says that it can detect this.
 */
function checkDetected(lifetime: LifetimeOutcome, log: readonly string[]): string[] {
  const { producer, wire, indeterminateCount } = lifetime
  const rest = unrejected(lifetime)
  const undelivered = undeliveredOf(lifetime)
  const problems: string[] = []
  // A rejected batch vouches for those behind it, unless another lifetime's is stored under its number.
  const vouches = wire.posts.some(({ status }) => [400, 413, 422].includes(status ?? 0))
  if (!vouches && !isSame(log, inOrder(rest, log))) {
    problems.push(`the log is ${names(log)}, written was ${names(rest)}`)
  }
  const twofold = undelivered.filter((text, index) => {
    return log.includes(text) && index >= indeterminateCount
  })
  if (!vouches && twofold.length > 0) {
    problems.push(`${names(twofold)} are stored and not indeterminate`)
  }
  const missing = rest.filter((text) => !log.includes(text) && !undelivered.includes(text))
  // A later batch that is accepted acknowledges those before it in its epoch, which can be another lifetime's.
  const isAcknowledged = ({ epoch, seq, status }: NumberedPost): boolean =>
    status === 204 ||
    wire.posts.some((post) => post.epoch === epoch && post.seq > seq && isSuccess(post))
  const unexplained = missing.filter(
    (text) => !wire.posts.some((post) => post.body.includes(text) && isAcknowledged(post)),
  )
  if (unexplained.length > 0) problems.push(`${names(unexplained)} are in neither`)
  const silent = missing.filter((text) =>
    wire.foreignDuplicates.some((body) => body.includes(text)),
  )
  if (silent.length > 0) {
    problems.push(`${producer.state}, but another lifetime's batch was taken for ${names(silent)}`)
  }
  return problems
}

/** Only what the server rejects is rejected, and each rejection is reported once. */
function checkRejected(lifetime: LifetimeOutcome, scenario: ProducerScenario): string[] {
  const rejected = rejectedTexts(lifetime)
  const accepted = new Set(lifetime.accepted.map(({ text }) => text))
  const problems = rejected
    .filter((text) => accepted.has(text) && !lifetime.rejectable.has(text))
    .filter(() => !lifetime.wire.isTypeMisled)
    .map((text) => `${text} was rejected and is not at fault`)
  if (new Set(rejected).size < rejected.length && !scenario.mustAsk) problems.push("reported twice")
  return problems
}

/** What `send()` said of a message is what happened to it. */
function checkSent(lifetime: LifetimeOutcome, log: readonly string[]): string[] {
  const stored = new Set(log)
  const rejected = new Set(rejectedTexts(lifetime))
  const undelivered = new Set(lifetime.undelivered)
  const problems: string[] = []
  for (const [message, outcome] of lifetime.sent) {
    const isMistaken = lifetime.plan.guarantee === "detected"
    if (outcome === "stored" && !stored.has(message) && !isMistaken) {
      problems.push(`${message} is not stored`)
    }
    const isNamed = rejected.has(message) || undelivered.has(message)
    if (outcome !== "stored" && !isNamed && !lifetime.died) {
      problems.push(`send() of ${message} rejected with ${outcome.message}, it is not undelivered`)
    }
  }
  return problems
}

/** How it ended fits what happened to the messages, and a producer that could go on did. */
function checkEnding(
  lifetime: LifetimeOutcome,
  scenario: ProducerScenario,
  closed: boolean,
): string[] {
  const { producer, ending, plan } = lifetime
  const problems: string[] = []
  const failures = failuresOf(lifetime)
  const hasFailed = producer.state === "failed"
  // An abort or a closure that loses nothing is not reported.
  const isQuiet = failures.length === 0 && lifetime.undelivered.length === 0
  if (failures.length !== (hasFailed && !isQuiet ? 1 : 0)) {
    problems.push(`${producer.state}, and onError was called with ${failures.length} failures`)
  }
  const failure = failures[0]
  const isOther = ending !== "done" && detailsOf(ending) === undefined && ending !== failure
  if (hasFailed && !isQuiet && isOther) {
    problems.push(`it failed with ${String(failure)} and ended with ${String(ending)}`)
  }
  if (ending === "done" && hasFailed && plan.ending !== "abort") {
    problems.push("the ending call resolved although the producer failed")
  }
  // Another lifetime's batch can be mistaken for the closure too.
  const isMistaken = plan.guarantee === "detected"
  if (producer.state === "closed" && !closed && !isMistaken)
    problems.push("the stream is not closed")
  if (!hasFailed && producer.bufferedBytes !== 0) {
    problems.push(`${producer.bufferedBytes} bytes are left`)
  }
  if (failure && !(failure instanceof DurableStreamError) && !isTyped(failure)) {
    problems.push(`it failed with ${String(failure.stack)}`)
  }
  if (hasFailed && isSupposedToSucceed(lifetime, scenario)) {
    problems.push(`nothing happened that it cannot recover from: ${String(failure?.stack)}`)
  }
  return problems
}

/** Longest time for a delivery over a network without faults, beside the way there and back of every message. */
const HEALED_MS = 600_000

/** Deadlines and delays are measured by a clock that nothing sets: not too early, and not much too late. */
function checkTimes(lifetime: LifetimeOutcome, scenario: ProducerScenario): string[] {
  const { accepted, endedMs, wire, undelivered } = lifetime
  const { healAtMs, maxLatencyMs, gapMs, bursts, options, clockEvents } = scenario
  const problems: string[] = []
  const calmMs = Math.max(healAtMs, accepted.at(-1)?.atMs ?? 0)
  const roundTripsMs = 4 * maxLatencyMs * (accepted.length + 10)
  const latestMs = calmMs + HEALED_MS + roundTripsMs + gapMs * bursts
  if (endedMs > latestMs) {
    problems.push(`it ended at ${endedMs} ms, though nothing was in its way from ${calmMs} ms`)
  }
  const timeout = lifetime.errors.find(
    ({ error }) => codeOf(error) === "TIMEOUT" && detailsOf(error) === undefined,
  )
  const oldest = accepted.find(({ text }) => text === undelivered[0])
  const isFinite = options.deliveryTimeoutMs !== Infinity
  if (!timeout || !oldest || !isFinite || scenario.maxRetries !== Infinity) return problems
  const tookMs = timeout.atMs - oldest.atMs
  const wokeMs = clockEvents
    .filter(({ kind, atMs }) => kind === "suspend" && atMs >= oldest.atMs && atMs <= timeout.atMs)
    .at(-1)?.atMs
  if (tookMs >= options.deliveryTimeoutMs - 1) return problems
  if (wokeMs === undefined) problems.push(`TIMEOUT after ${tookMs} ms`)
  else if (wire.newestRequestMs < wokeMs) {
    problems.push(`TIMEOUT at ${timeout.atMs} ms, without a request after waking at ${wokeMs} ms`)
  }
  return problems
}

/** What all the producers of a run did on the wire, and what they left behind. */
export function checkConduct(
  run: ProducerRun,
  scenario: ProducerScenario,
  outcome: ProducerOutcome,
): string[] {
  const problems: string[] = []
  if (outcome.signalListeners > 0) problems.push("a listener is left on the caller's signal")
  const { maxBatchBytes } = scenario.options
  const longest = 4 * (scenario.maxMessageLength + 20)
  // Batches of a content type that was a wrong guess get the brackets and commas of JSON when the right one is known.
  const framing = (body: string) => (scenario.mustAsk ? body.split(",").length + 1 : 0)
  for (const { body, epoch, seq } of run.wires.flatMap((wire) => wire.posts)) {
    if (body.length - framing(body) > maxBatchBytes && body.length > longest) {
      problems.push(`batch ${epoch}.${seq}: ${body.length} characters`)
    }
  }
  return problems
}

/**
 * A producer with an explicit epoch that took its own batch for another lifetime's fails, and later batches can be stored.
 */
function isExact({ plan, wire }: LifetimeOutcome): boolean {
  const isFresh = plan.epoch === undefined && plan.autoClaim
  return plan.guarantee === "exact" && (isFresh || !wire.hasCleanDuplicate)
}

function isSupposedToSucceed({ plan }: LifetimeOutcome, scenario: ProducerScenario): boolean {
  const faults = Object.keys(scenario.faults)
  const isFatal = faults.some((fault) => FATAL.some((name) => name === fault))
  const isCalm =
    faults.length === 0 &&
    scenario.requestTimeoutMs > 2 * scenario.maxLatencyMs &&
    !scenario.clockEvents.some(({ kind }) => kind === "suspend")
  const isAlone = scenario.processes.flat().length === 1
  // With an explicit epoch, the duplicate of a request that a layer resent looks like another lifetime's batch.
  const isMistaken = plan.epoch !== undefined || !plan.autoClaim ? faults.includes("resent") : false
  return (
    !isFatal &&
    isAlone &&
    !isMistaken &&
    // A content type that is not found out within a second is guessed.
    (!scenario.mustAsk || (faults.length === 0 && scenario.maxLatencyMs < 400)) &&
    scenario.options.deliveryTimeoutMs === Infinity &&
    scenario.maxRetries === Infinity &&
    scenario.claims.length === 0 &&
    scenario.forgetsAtMs.length === 0 &&
    scenario.closedAtMs === undefined &&
    plan.ending !== "abort" &&
    // A rejection after an attempt without a response is final; so many in a row look like a server that accepts nothing.
    (scenario.poison === 0 || (isCalm && scenario.poison < 0.1)) &&
    scenario.maxBodyBytes === Infinity &&
    scenario.rules.length === 0
  )
}

function unrejected(lifetime: LifetimeOutcome): string[] {
  const rejected = new Set(rejectedTexts(lifetime))
  return lifetime.accepted.map(({ text }) => text).filter((text) => !rejected.has(text))
}

/** Before the content type is known, `undelivered()` holds messages that are not valid as well. */
function undeliveredOf({ undelivered, accepted }: LifetimeOutcome): string[] {
  const texts = new Set(accepted.map(({ text }) => text))
  return undelivered.filter((message) => texts.has(message))
}

/** The messages of the log in the order in which they were written. */
function inOrder(written: readonly string[], log: readonly string[]): string[] {
  return written.filter((text) => log.includes(text))
}

function isSame(some: readonly string[], others: readonly string[]): boolean {
  return some.length === others.length && some.every((text, index) => text === others[index])
}

function failuresOf({ errors }: LifetimeOutcome): Error[] {
  return errors.map(({ error }) => error).filter((error) => detailsOf(error) === undefined)
}

/** Errors without the base class: an abort, and those that the caller's own functions throw. */
function isTyped(error: Error): boolean {
  return "code" in error || error.name === "AbortError"
}

function codeOf(error: Error): string {
  return error instanceof DurableStreamError ? error.code : "none"
}

function isSuccess({ status }: NumberedPost): boolean {
  return status === 200 || status === 204
}

/** The messages without their padding. */
function names(messages: readonly string[]): string {
  return messages.map((message) => /[a-h]\d+/.exec(message)?.[0] ?? "?").join()
}

function rejectedTexts({ errors }: LifetimeOutcome): string[] {
  return errors.map(({ error }) => detailsOf(error)?.text).filter((text) => text !== undefined)
}

function detailsOf(error: Error): RejectedMessageDetails | undefined {
  const { details } = error as { details?: Partial<RejectedMessageDetails> }
  // The details of other errors are the server's.
  return details?.message instanceof Uint8Array ? (details as RejectedMessageDetails) : undefined
}
