/**
 * The rules that make delivery exact, as transactions on the store. They know neither clocks nor networks.
 *
 * 1. A batch is sealed in one transaction that assigns `(epoch, seq)` and fixes its bytes. Only a sealed batch is sent. There is at
 *    most one; it is sent until it is acknowledged, always under the same number and with the same bytes.
 * 2. Each opening writes a fresh epoch, used by the next seal: a copy of the store cannot continue the numbers of its original. A
 *    duplicate above the highest number that this store has sealed belongs to another store.
 * 3. An attempt is recorded before it is sent, and its outcome after it. A rejected batch is only split if a response to every attempt
 *    says that it was not stored. A response about a batch that is no longer sealed is ignored: another opener of the store has
 *    settled it.
 * 4. An indeterminate batch with seq 0 is not resent once the server may have forgotten the producer: it would be stored again.
 *
 * @module
 */

import { mediaType } from "../protocol/content-type.ts"
import { epochAbove, freshEpoch } from "../protocol/fresh-epoch.ts"
import { OutboxError } from "./outbox-error.ts"
import {
  deleteBatch,
  firstMessages,
  FORMAT_VERSION,
  joinBody,
  messagesOf,
  readBatch,
  readClosing,
  readOpened,
  readOutbox,
  unsealBatch,
  writeBatch,
  writeClosing,
  writeOutbox,
  type Attempt,
  type OutboxFailure,
  type OutboxRecord,
  type SealedBatch,
} from "./outbox-records.ts"
import { operate, type StoreProgram } from "./outbox-store.ts"

/** What a request that carried a batch came to. */
export type SendOutcome =
  /** `storedSeq`: the highest number that the server has, if it says so with a duplicate. */
  | { readonly kind: "acknowledged"; readonly storedSeq?: number | undefined }
  /** It can go better later. */
  | (UnsuccessfulSend & {
      readonly kind: "retry"
      readonly isUnknown: boolean
      readonly retryAfterMs: number
    })
  /** Nothing can be delivered until something changes: credentials. */
  | (UnsuccessfulSend & { readonly kind: "paused" })
  /** The server does not accept these bytes (400, 413, 422). */
  | (UnsuccessfulSend & { readonly kind: "rejected"; readonly isTooLarge: boolean })
  /** The server waits for an earlier number. */
  | (UnsuccessfulSend & { readonly kind: "gap"; readonly expectedSeq: number })
  /** A higher epoch, a closed or missing stream. */
  | (UnsuccessfulSend & {
      readonly kind: "fatal"
      readonly isUnknown: boolean
      readonly currentEpoch?: number | undefined
    })

interface UnsuccessfulSend {
  readonly code: string
  readonly message: string
}

/** What an outbox is opened with. */
export interface OutboxConfig {
  readonly url: string
  readonly movedFrom: string | undefined
  readonly contentType: string
  /** For the producer id of a new one. */
  readonly newProducerId: string
}

/**
 * Opens the outbox of a store: creates it, or checks that it is the one of this stream; then begins an epoch.
 *
 * @returns when, by the store's clock
 * @throws OutboxError that says what differs
 */
export function* openRecord({
  url,
  movedFrom,
  contentType,
  newProducerId,
}: OutboxConfig): StoreProgram<number> {
  const stored = yield* readOutbox("update")
  if (stored === undefined) yield* writeClosing(false)
  else if (stored.url !== url && stored.url !== movedFrom) {
    throw new OutboxError(
      `The outbox belongs to the stream ${stored.url}, not to ${url}. Choose another name, or pass movedFrom if the stream has moved.`,
      "BAD_REQUEST",
    )
  } else if (mediaType(stored.contentType) !== mediaType(contentType)) {
    throw new OutboxError(
      `The outbox has messages of the content type ${stored.contentType}, not ${contentType}.`,
      "CONTENT_TYPE_MISMATCH",
    )
  }
  const batch = yield* readBatch()
  // The producer's state may not have moved with the stream.
  const forgotten = stored !== undefined && stored.url !== url && isIndeterminate(batch) && batch
  const nowMs = yield* operate({ kind: "now" })
  const fresh = freshEpoch(nowMs) ?? 0
  const epoch = stored?.epoch ?? -1
  yield* writeOutbox({
    formatVersion: FORMAT_VERSION,
    producerId: newProducerId,
    contentType,
    ...stored,
    url,
    ...(forgotten && { failure: failureOf(forgotten, FORGOTTEN) }),
    epoch: fresh > epoch ? fresh : epochAbove(epoch),
    nextSeq: 0,
  })
  return nowMs
}

/** What became of a message: queued, or why not. */
export type EnqueueResult =
  | { readonly kind: "queued" }
  | { readonly kind: "closed" }
  | { readonly kind: "full"; readonly pendingBytes: number }
  | { readonly kind: "failed"; readonly failure: OutboxFailure }

/** Queues messages, each for itself: one that does not fit does not keep out the next. */
export function* enqueueMessages(
  messages: readonly Uint8Array[],
  maxPendingBytes: number,
): StoreProgram<EnqueueResult[]> {
  const { failure } = yield* readOpened()
  if (yield* readClosing("share")) return messages.map(() => ({ kind: "closed" }))
  if (failure !== undefined) return messages.map(() => ({ kind: "failed", failure }))
  let pendingBytes = maxPendingBytes === Infinity ? 0 : (yield* readPending()).bytes
  const results: EnqueueResult[] = []
  for (const bytes of messages) {
    if (pendingBytes + bytes.byteLength > maxPendingBytes) {
      results.push({ kind: "full", pendingBytes })
      continue
    }
    pendingBytes += bytes.byteLength
    // An empty body on a stream of bytes stores nothing.
    if (bytes.byteLength > 0) yield* operate({ kind: "enqueue", bytes })
    results.push({ kind: "queued" })
  }
  return results
}

/** How many messages are not acknowledged, and their bytes. */
export function* readPending(): StoreProgram<{ count: number; bytes: number }> {
  const { count, bytes } = yield* operate({ kind: "size" })
  const batch = yield* readBatch()
  return { count: count + (batch?.ids.length ?? 0), bytes: bytes + (batch?.body.byteLength ?? 0) }
}

/** The limits of a batch and of an attempt. */
export interface DeliveryLimits {
  readonly maxBatchBytes: number
  readonly maxBatchItems: number
  readonly producerRetentionMs: number
  readonly opener: string
}

/** What {@link prepareAttempt} found. */
export type Preparation =
  | {
      readonly kind: "send"
      readonly outbox: OutboxRecord
      readonly batch: SealedBatch
      readonly isNew: boolean
    }
  /** Another opener is sending the batch. */
  | { readonly kind: "busy"; readonly forMs: number }
  | { readonly kind: "idle" }
  | { readonly kind: "closed" }
  | { readonly kind: "failed"; readonly failure: OutboxFailure }

/**
 * For so long another opener's attempt saves this one the request, in milliseconds of the store's clock. A second request does no
 * harm.
 */
const LEASE_MS = 2_000

/** An attempt without an outcome may still reach the server for so long, in milliseconds of the store's clock. */
const ATTEMPT_OPEN_MS = 180_000

/** Seals a batch if there is none and there are messages, and records the attempt that follows. */
export function* prepareAttempt(
  { opener, producerRetentionMs, ...limits }: DeliveryLimits,
  attemptId: string,
): StoreProgram<Preparation> {
  const outbox = yield* readOpened("update")
  if (outbox.isClosed === true) return { kind: "closed" }
  if (outbox.failure !== undefined) return { kind: "failed", failure: outbox.failure }
  const nowMs = yield* operate({ kind: "now" })
  const sealed = yield* readBatch()
  const others = sealed?.openAttempts.filter((attempt) => attempt.opener !== opener) ?? []
  const leaseMs = Math.max(0, ...others.map(({ atMs }) => LEASE_MS - Math.abs(nowMs - atMs)))
  if (leaseMs > 0) return { kind: "busy", forMs: leaseMs }
  if (sealed !== undefined && isForgotten(sealed, nowMs, producerRetentionMs)) {
    return yield* fail(outbox, failureOf(sealed, FORGOTTEN))
  }
  const batch = sealed ?? (yield* seal(outbox, limits))
  if (batch === undefined) return { kind: "idle" }
  // An opener makes one attempt at a time: of its earlier ones, the outcome could not be recorded.
  const isLost = ({ opener: by, atMs }: Attempt) =>
    by === opener || Math.abs(nowMs - atMs) >= ATTEMPT_OPEN_MS
  const known = batch.openAttempts
    .filter(isLost)
    .reduce((it, attempt) => withOutcome(it, attempt.id, true), batch)
  const attempt = { id: attemptId, opener, atMs: nowMs }
  yield* writeBatch({ ...known, openAttempts: [...known.openAttempts, attempt] })
  return { kind: "send", outbox, batch, isNew: sealed === undefined }
}

function* seal(
  outbox: OutboxRecord,
  { maxBatchBytes, maxBatchItems }: Pick<DeliveryLimits, "maxBatchBytes" | "maxBatchItems">,
): StoreProgram<SealedBatch | undefined> {
  const { epoch, nextSeq: seq, limit, contentType } = outbox
  const maxBytes = Math.min(maxBatchBytes, limit?.bytes ?? Infinity)
  // Before the messages: nothing is queued once it is true.
  const isClosing = yield* readClosing()
  const messages = yield* firstMessages(maxBatchItems, maxBytes)
  const closesStream = isClosing && (yield* operate({ kind: "size" })).count === messages.length
  if (messages.length === 0 && !closesStream) return undefined
  const content = joinBody(messages, contentType)
  const batch = { epoch, seq, closesStream, openAttempts: [], ...content }
  yield* operate({ kind: "remove", ids: batch.ids })
  yield* writeOutbox({ ...outbox, nextSeq: seq + 1 })
  return batch
}

/** What became of the outbox with an outcome. */
export type Settlement =
  | { readonly kind: "acknowledged" }
  | { readonly kind: "retry" }
  /** It was split, or goes out under another number. */
  | { readonly kind: "unsealed" }
  | { readonly kind: "ignored" }
  | { readonly kind: "failed"; readonly failure: OutboxFailure }

/** Records an outcome and draws its consequence, in one transaction. */
export function* settleAttempt(
  sent: SealedBatch,
  attemptId: string,
  outcome: SendOutcome,
): StoreProgram<Settlement> {
  const outbox = yield* readOpened("update")
  const current = yield* readBatch()
  if (current?.epoch !== sent.epoch || current.seq !== sent.seq) return { kind: "ignored" }
  const isUnknown = "isUnknown" in outcome && outcome.isUnknown
  const batch = withOutcome(current, attemptId, isUnknown)
  if (outcome.kind === "acknowledged") return yield* acknowledge(outbox, batch, outcome.storedSeq)
  yield* writeBatch(batch)
  if (outbox.failure !== undefined) return { kind: "ignored" }
  if (outcome.kind === "retry" || outcome.kind === "paused") return { kind: "retry" }
  if (outcome.kind !== "fatal") {
    // Another opener is about to hear what became of it.
    if (batch.openAttempts.length > 0) return { kind: "retry" }
    if (batch.unknown === undefined && (yield* repair(outbox, batch, outcome))) {
      return { kind: "unsealed" }
    }
  }
  const { code, message } = outcome
  const currentEpoch = outcome.kind === "fatal" ? outcome.currentEpoch : undefined
  const indeterminate = isIndeterminate(batch)
  return yield* fail(outbox, {
    ...failureOf(batch, { code, message, indeterminate }),
    ...(currentEpoch !== undefined && { currentEpoch }),
  })
}

function* acknowledge(
  { limit, ...given }: OutboxRecord,
  batch: SealedBatch,
  storedSeq = 0,
): StoreProgram<Settlement> {
  const outbox = withoutFailure(given)
  // While a batch is sealed, its number is the highest of its epoch in this store.
  if (storedSeq > batch.seq) return yield* fail(outbox, failureOf(batch, FOREIGN))
  yield* deleteBatch()
  yield* writeOutbox({
    ...outbox,
    ...(limit?.isServers === true && { limit }),
    ...(batch.closesStream && { isClosed: true }),
  })
  return { kind: "acknowledged" }
}

/** Gives new numbers to a batch that is certainly not stored, if that can help: one that is not rejected forever ends at seq 0. */
function* repair(
  outbox: OutboxRecord,
  batch: SealedBatch,
  outcome: Extract<SendOutcome, { kind: "gap" | "rejected" }>,
): StoreProgram<boolean> {
  const { seq, ids } = batch
  // The server has forgotten the producer: it accepts a new epoch.
  const isForgotten = outcome.kind === "gap" && outcome.expectedSeq === 0 && seq > 0
  if (isForgotten) yield* unseal(outbox, batch)
  if (outcome.kind === "gap" || (ids.length <= 1 && seq === 0)) return isForgotten
  const bytes = messagesOf(batch, outbox.contentType).reduce(
    (sum, it) => sum + it.bytes.byteLength,
    0,
  )
  const limit = {
    bytes: ids.length > 1 ? Math.floor(bytes / 2) : bytes,
    isServers: outcome.isTooLarge,
  }
  yield* unseal({ ...outbox, limit }, batch)
  return true
}

/** Puts the messages back, and begins an epoch above this store's and the one that fenced it. */
function* unseal(outbox: OutboxRecord, batch: SealedBatch): StoreProgram<void> {
  yield* unsealBatch(batch, outbox.contentType)
  yield* beginEpoch(outbox)
}

function* beginEpoch(outbox: OutboxRecord): StoreProgram<void> {
  const epoch = epochAbove(Math.max(outbox.epoch, outbox.failure?.currentEpoch ?? 0))
  yield* writeOutbox({ ...withoutFailure(outbox), epoch, nextSeq: 0 })
}

function* fail(
  outbox: OutboxRecord,
  failure: OutboxFailure,
): StoreProgram<Extract<Settlement, { kind: "failed" }>> {
  yield* writeOutbox({ ...outbox, failure })
  return { kind: "failed", failure }
}

/**
 * What the program decides about a batch that failed: `resend` it under a new number, `skip` it, or `retry` it under the same.
 */
export type Resumption = "resend" | "skip" | "retry"

/** The failure that a program decides about, and the time of its opener by a clock that nobody sets. */
export interface KnownFailure {
  readonly failure: OutboxFailure | undefined
  readonly knownForMs: number
  /** When it opened the outbox, by the store's clock. */
  readonly openedAtMs: number
  readonly openForMs: number
}

/** The store's clock was set if it differs by more than this from the opener's, in milliseconds. */
const CLOCK_SLACK_MS = 5_000

/**
 * Applies the program's decision.
 *
 * @param known - another opener may have gone on since, and then nothing is done
 * @returns how long a request with the batch may still arrive, in milliseconds: what the program found out about the stream can be wrong
 *   by then, and nothing was changed. 0 if it was applied
 */
export function* resumeDelivery(resumption: Resumption, known: KnownFailure): StoreProgram<number> {
  const outbox = yield* readOpened("update")
  const { failure } = outbox
  if (failure === undefined) return 0
  if (resumption === "retry") {
    yield* writeOutbox(withoutFailure(outbox))
    return 0
  }
  const batch = yield* readBatch()
  const isSame = failure.epoch === known.failure?.epoch && failure.seq === known.failure.seq
  if (batch === undefined || !isSame) return 0
  const nowMs = yield* operate({ kind: "now" })
  const attemptsMs = batch.openAttempts.map(({ atMs }) => atMs)
  if (batch.unknown !== undefined) attemptsMs.push(batch.unknown.lastMs)
  const ages = attemptsMs.map((atMs) => Math.abs(nowMs - atMs))
  // A clock that was set cannot determine the age. Nothing is sent after a failure: every attempt is at least as old as that.
  const isSet = Math.abs(nowMs - known.openedAtMs - known.openForMs) > CLOCK_SLACK_MS
  const ageMs = isSet ? known.knownForMs : Math.min(...ages)
  const openMs = ages.length === 0 ? 0 : Math.max(0, ATTEMPT_OPEN_MS - ageMs)
  if (openMs > 0) return openMs
  if (resumption === "resend") yield* unseal(outbox, batch)
  else {
    yield* deleteBatch()
    yield* beginEpoch(outbox)
  }
  return 0
}

/** Everything that is not acknowledged, in order. The first `indeterminateCount` messages may be in the stream. */
export function* readUndelivered(): StoreProgram<{
  messages: Uint8Array[]
  indeterminateCount: number
}> {
  const { contentType, failure } = yield* readOpened()
  const batch = yield* readBatch()
  const sealed = batch === undefined ? [] : messagesOf(batch, contentType)
  const rest = yield* firstMessages(Infinity, Infinity)
  const mayBeStored = failure?.indeterminate === true || isIndeterminate(batch)
  return {
    messages: [...sealed, ...rest].map(({ bytes }) => bytes),
    indeterminateCount: mayBeStored ? sealed.length : 0,
  }
}

/** How far delivery is: see {@link readProgress}. */
export interface Progress {
  /** The ids of the first and the last message that is not acknowledged; Infinity and -1 if there is none. */
  readonly firstId: number
  readonly lastId: number
  readonly isClosed: boolean
  readonly failure: OutboxFailure | undefined
}

/** Reads how far delivery is. */
export function* readProgress(): StoreProgram<Progress> {
  const { isClosed = false, failure } = yield* readOpened()
  const batch = yield* readBatch()
  const [first] = yield* operate({ kind: "messages", afterId: -1, maxCount: 1 })
  const { lastId } = yield* operate({ kind: "size" })
  return {
    firstId: Math.min(batch?.ids[0] ?? Infinity, first?.id ?? Infinity),
    lastId: Math.max(batch?.ids.at(-1) ?? -1, lastId),
    isClosed,
    failure,
  }
}

type FailureReason = Pick<OutboxFailure, "code" | "message" | "indeterminate">

const FORGOTTEN: FailureReason = {
  code: "TIMEOUT",
  message:
    "no response says whether the first batch of an epoch was stored, and by now the server may have forgotten the producer " +
    "and would store it again.",
  indeterminate: true,
}

const FOREIGN: FailureReason = {
  code: "STALE_EPOCH",
  message:
    "the server has batches that this store never sealed: it is a copy or was restored, and another copy is or was in use.",
  indeterminate: true,
}

function failureOf({ epoch, seq }: SealedBatch, reason: FailureReason): OutboxFailure {
  return { epoch, seq, ...reason }
}

/** Whether a batch has the number at which a server that has forgotten the producer would store it a second time. */
function isForgotten(batch: SealedBatch, nowMs: number, retentionMs: number): boolean {
  if (batch.seq > 0 || !isIndeterminate(batch)) return false
  const attemptsMs = batch.openAttempts.map(({ atMs }) => atMs)
  const ageMs = nowMs - Math.min(batch.unknown?.firstMs ?? Infinity, ...attemptsMs)
  // A clock that went back, or was never set, cannot determine the age.
  return ageMs < 0 || ageMs >= retentionMs || freshEpoch(nowMs) === undefined
}

function withoutFailure({ failure: _failure, ...outbox }: OutboxRecord): OutboxRecord {
  return outbox
}

function isIndeterminate(batch: SealedBatch | undefined): boolean {
  return batch !== undefined && (batch.unknown !== undefined || batch.openAttempts.length > 0)
}

function withOutcome(batch: SealedBatch, attemptId: string, isUnknown: boolean): SealedBatch {
  const attempt = batch.openAttempts.find(({ id }) => id === attemptId)
  if (attempt === undefined) return batch
  const openAttempts = batch.openAttempts.filter((open) => open !== attempt)
  if (!isUnknown) return { ...batch, openAttempts }
  const { firstMs = Infinity, lastMs = -Infinity } = batch.unknown ?? {}
  const { atMs } = attempt
  const unknown = { firstMs: Math.min(firstMs, atMs), lastMs: Math.max(lastMs, atMs) }
  return { ...batch, openAttempts, unknown }
}
