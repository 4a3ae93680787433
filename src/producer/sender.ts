import fastq from "fastq"
import { backoffDelayMs } from "../http/backoff.ts"
import { warnOfOutage, type RetryNotice } from "../http/retry-loop.ts"
import { MAX_TIMER_MS, sleep } from "../http/abort.ts"
import type { Endpoint } from "../http/endpoint.ts"
import { monotonicMs } from "../platform/clock.ts"
import { debug } from "../platform/console.ts"
import { onOnline } from "../platform/network.ts"
import { describeUrl } from "../protocol/request-url.ts"
import type { IdempotentAppendResult } from "./acknowledgements.ts"
import { Attempt } from "./attempt.ts"
import { recodeContent, splitContent, type BatchContent } from "./batch-content.ts"
import { applyEvent, QUEUED, type Batch } from "./batch.ts"
import { Epochs, type BatchNumber } from "./epochs.ts"
import {
  maybeOutOfOrder,
  outcomeOfError,
  outcomeOfResponse,
  type FinalOutcome,
  type SendOutcome,
} from "./outcome.ts"
import { Pace } from "./pace.ts"
import type { ProducerSettings } from "./producer-options.ts"
import {
  countIndeterminate,
  decideRecovery,
  deliveryTimeoutError,
  maybeStored,
  type Recovery,
} from "./recovery.ts"

/** A timer that fires so late was held up: the machine was suspended. */
export const SUSPENDED_MS = 5000

/**
 * - `draining`: a batch was rejected. Nothing is sent; once no request is pending, the recovery begins.
 * - `recovering`: nothing is sent until it ends, which can take a back-off or a request.
 */
type Phase = "sending" | "draining" | "recovering" | "stopped"

export interface SenderOwner {
  readonly endpoint: Endpoint
  /** Ends every request. */
  readonly stopSignal: AbortSignal
  /** A batch failed and is sent again. */
  onRetry(notice: RetryNotice): void
  /** Whether no other producer can have used the id. */
  readonly isNewId: boolean
  onAcknowledged(batch: Batch, result: IdempotentAppendResult): void
  /** The server rejected a batch of one message; the others go through. */
  onRejectedMessage(batch: Batch, error: Error): void
  /** A batch was too large and is sent in halves. */
  onTooLarge(bodyBytes: number): void
  /** The content type may be a wrong guess. @returns the right one, if it is another */
  onTypeRejected(): Promise<string | undefined>
  /** There may be room, and waits may be over. */
  onProgress(): void
  onFailed(error: Error): void
}

/**
 * Sends sealed batches, up to `maxInFlight` at a time, until each is settled.
 *
 * Success:
 * 1. A sealed batch waits until it is among the first `maxInFlight` that are not settled: in the window.
 * 2. {@link Sender.#next} decides which batch of the window is sent next. It gets its number with its first request.
 * 3. Acknowledged, it leaves, and the window moves on.
 *
 * Failure ({@link Sender.#settle}):
 * 4. It can be repeated: after a back-off the first batch is sent again, alone. The others follow once one is acknowledged.
 * 5. It came before an earlier batch: it is sent again behind that one. The window stays open.
 * 6. It is final: nothing is sent until no request is pending. Then {@link decideRecovery} says how to continue.
 * 7. The first batch is not settled within `deliveryTimeoutMs` of its first attempt: the sender fails. If the machine was
 *    suspended meanwhile, it makes one more attempt before.
 */
export class Sender {
  /** The index of the newest batch, -1 before there is one. */
  lastIndex = -1
  /** That of every batch; known before the first one. */
  contentType = ""
  /** Whether the content type is a guess that no response has confirmed. */
  isTypeGuessed = false
  readonly #settings: ProducerSettings
  readonly #owner: SenderOwner
  readonly #epochs: Epochs
  readonly #pace: Pace
  /** Makes the requests: at most a window of them at a time. */
  readonly #requests: fastq.queue<() => Promise<void>>
  /** Whether another producer can have the same id and epoch. */
  readonly #mayShareEpoch: boolean
  /** The batches that are not settled, in order. */
  readonly #batches: Batch[] = []
  #phase: Phase = "sending"
  /** Only the first batch is sent until one is acknowledged: after a failure, and to begin an epoch. */
  #isProbing: boolean
  /** Batches from this index on are for the next epoch: a restart waits for those before. */
  #heldFrom = Infinity
  #notBeforeMs = 0
  #sendOrder = 0
  /** The first batch that was accepted as new: no other producer has used the numbers from there on. */
  #firstNewIndex = Infinity
  #lastError: Error | undefined
  /** Since when, and how often, nothing but failures came. */
  #outage: { readonly sinceMs: number; tries: number; hasWarned: boolean } | undefined
  #endWait: (() => void) | undefined
  /** The batch whose deadline passed while the machine was suspended gets one more attempt, until then. */
  #extension: { readonly batch: Batch; readonly deadlineMs: number } | undefined

  constructor(settings: ProducerSettings, owner: SenderOwner) {
    const { backoff, url } = owner.endpoint
    this.#settings = settings
    this.#owner = owner
    this.#epochs = new Epochs(settings.epoch, backoff, describeUrl(url))
    this.#pace = new Pace(settings.maxInFlight)
    this.#requests = fastq((request: () => Promise<void>, done: fastq.done) => {
      void request().finally(() => done(null))
    }, settings.maxInFlight)
    this.#mayShareEpoch = settings.epoch !== undefined && !owner.isNewId
    // The server takes up an epoch with its first batch only. One that may be fenced does not upload a window in vain.
    this.#isProbing = settings.autoClaim
  }

  get epoch(): number {
    return this.#epochs.epoch
  }

  get nextSeq(): number {
    return this.#epochs.nextSeq
  }

  get inFlightCount(): number {
    return this.#batches.filter(({ state }) => state.kind !== "queued").length
  }

  /** How many messages no request under their number has carried. */
  get unsentCount(): number {
    const unsent = this.#batches.filter(({ state }) => state.kind === "queued")
    return unsent.reduce((count, { content }) => count + content.ends.length, 0)
  }

  get indeterminateCount(): number {
    return countIndeterminate(this.#batches, this.#mayShareEpoch)
  }

  get hasRoom(): boolean {
    const places = this.#isProbing ? 1 : this.#settings.maxInFlight
    const isOpen = this.#phase === "sending" && this.#heldFrom === Infinity
    return isOpen && this.#batches.length < places
  }

  get unsettled(): readonly Batch[] {
    return this.#batches
  }

  push(content: BatchContent): void {
    this.#batches.push({ content, index: ++this.lastIndex, state: QUEUED, attempt: undefined })
    this.#sendAll()
  }

  beginAbove(epoch: number): void {
    this.#epochs.beginAbove(epoch)
  }

  /** Keeps back what is pushed from now on, until {@link release}. */
  hold(): void {
    this.#heldFrom = this.lastIndex + 1
  }

  /** Sends what was kept back. @param inNextEpoch - needs everything before to be settled @throws as `beginAbove` of Epochs */
  release(inNextEpoch: boolean): void {
    this.#heldFrom = Infinity
    try {
      if (!inNextEpoch) return
      this.#epochs.beginAbove()
      this.#isProbing = true
    } finally {
      this.#sendAll()
    }
  }

  /** Ends everything. The owner's signal must be aborted as well, to end what is pending. */
  stop(): void {
    if (this.#phase === "stopped") return
    this.#phase = "stopped"
    this.#acknowledgeImplicitly()
    for (const batch of this.#batches) {
      if (batch.state.kind === "in-flight" && batch.attempt?.effect !== "unknown") {
        applyEvent(batch, { kind: "fail", effect: "none" })
      }
      applyEvent(batch, { kind: "abandon" })
    }
    this.#endWait?.()
  }

  /**
   * The one place that decides which batch may be sent next.
   *
   * 1. Batches are sent in order: the first one without a pending request is the candidate, and no other.
   * 2. The first batch may always be sent; another one only behind batches whose requests are pending, fewer than
   *    `maxInFlight`, and not while the sender is probing.
   * 3. One that was sent before is sent again only if the one before it was, so that what a server never takes is not
   *    repeated in a loop.
   * 4. Nothing is sent behind a batch whose pending request is older than that of the batch before it: it will be out of
   *    order, and so would be what follows.
   */
  #next(): Batch | undefined {
    const pendingLimit = this.#isProbing ? 1 : this.#settings.maxInFlight
    let previousOrder = 0
    for (const [position, batch] of this.#batches.entries()) {
      const { state, index } = batch
      const sendOrder = "sendOrder" in state ? state.sendOrder : 0
      if (state.kind !== "in-flight") {
        const isInTurn = position === 0 || (position < pendingLimit && sendOrder <= previousOrder)
        return isInTurn && index < this.#heldFrom ? batch : undefined
      }
      if (sendOrder < previousOrder) return undefined
      previousOrder = sendOrder
    }
    return undefined
  }

  /** Sends what may be sent now, and waits for what may be sent later, or for the first batch's deadline. */
  #sendAll(): void {
    this.#endWait?.()
    let atMs = Infinity
    while (this.#phase === "sending") {
      const batch = this.#next()
      if (batch === undefined) break
      const nowMs = monotonicMs()
      const mayBeSentAtMs = Math.max(this.#notBeforeMs, this.#pace.nextSendMs)
      if (mayBeSentAtMs > nowMs) {
        atMs = mayBeSentAtMs
        break
      }
      this.#send(batch, nowMs)
    }
    const wakeMs = Math.min(atMs, this.#deadlineMs)
    // What is sent may end everything at once.
    if (this.#isAt("stopped") || wakeMs === Infinity) return
    this.#endWait?.()
    const delayMs = Math.max(0, wakeMs - monotonicMs())
    const timer = setTimeout(() => this.#onTimer(), Math.min(delayMs, MAX_TIMER_MS))
    // What failed without a network is sent as soon as there is one.
    const sendNow = () => {
      this.#notBeforeMs = 0
      this.#sendAll()
    }
    const unwatch = atMs < Infinity ? onOnline(sendNow) : undefined
    this.#endWait = () => {
      this.#endWait = undefined
      clearTimeout(timer)
      unwatch?.()
    }
  }

  /** When the first batch must be settled, by the monotonic clock. */
  get #deadlineMs(): number {
    const [first] = this.#batches
    if (first === undefined || !("firstSentAtMs" in first.state)) return Infinity
    if (this.#extension?.batch === first) return this.#extension.deadlineMs
    return first.state.firstSentAtMs + this.#settings.deliveryTimeoutMs
  }

  #onTimer(): void {
    const [first] = this.#batches
    const lateMs = monotonicMs() - this.#deadlineMs
    // Timers can be ahead of the clock after the machine was suspended.
    if (first !== undefined && lateMs >= 0 && !this.#acknowledgeImplicitly()) {
      if (lateMs < SUSPENDED_MS || this.#extension?.batch === first) {
        this.#expire()
        return
      }
      const { deliveryTimeoutMs } = this.#settings
      const extensionMs = Math.min(this.#owner.endpoint.requestTimeoutMs, deliveryTimeoutMs)
      this.#extension = { batch: first, deadlineMs: monotonicMs() + extensionMs }
      // The connection of a request from before is likely to be gone.
      first.attempt?.cancel()
      this.#notBeforeMs = 0
    }
    this.#goOn()
  }

  #send(batch: Batch, nowMs: number): void {
    const { state } = batch
    const isFirst = this.#batches[0] === batch
    const number = state.kind === "retrying" ? state.number : this.#epochs.take()
    const isClean = state.kind !== "retrying" || state.earlier === "none"
    applyEvent(batch, { kind: "send", number, sendOrder: ++this.#sendOrder, nowMs })
    this.#pace.noteSend(nowMs)
    const attempt = new Attempt(this.#owner.stopSignal)
    batch.attempt = attempt
    this.#requests.push(async () => {
      const outcome = await this.#request(batch, attempt, number, isClean)
      // What was acknowledged implicitly meanwhile is settled.
      if (batch.attempt !== attempt) return
      batch.attempt = undefined
      if (this.#isAt("stopped")) return
      if (outcome.kind !== "cancelled") this.#pace.noteResponse(monotonicMs() - nowMs)
      this.#settle(batch, outcome, isFirst)
      this.#goOn()
    })
  }

  /** After a change: recovers once nothing is pending that the recovery waits for, else sends what may be sent. */
  #goOn(): void {
    const isDrained = this.#batches.every(({ attempt }) => attempt === undefined)
    if (this.#isAt("draining") && isDrained) void this.#recover()
    else this.#sendAll()
  }

  /** Makes one request for a batch. Never rejects. */
  async #request(
    { content, index }: Batch,
    attempt: Attempt,
    number: BatchNumber,
    isClean: boolean,
  ): Promise<SendOutcome> {
    const { endpoint } = this.#owner
    const { closesStream, ends } = content
    try {
      const { producerId } = this.#settings
      const { contentType } = this
      const response = await attempt.run(endpoint, { content, number, producerId, contentType })
      // Nothing of this producer's was new to the server yet.
      const mayBeForeign = isClean && this.#mayShareEpoch && index <= this.#firstNewIndex
      const highestSentSeq = this.#epochs.nextSeq - 1
      const sent = { url: endpoint.url, number, closesStream, highestSentSeq, mayBeForeign }
      return outcomeOfResponse(response, sent)
    } catch (error) {
      if (attempt.isCancelled) return { kind: "cancelled", effect: attempt.effect }
      return outcomeOfError(error, closesStream && ends.length === 0)
    }
  }

  /** @param isFirst - whether everything before the batch was settled when it was sent */
  #settle(batch: Batch, outcome: SendOutcome, isFirst: boolean): void {
    switch (outcome.kind) {
      case "acknowledged":
        this.#acknowledge(batch, outcome.result)
        return
      case "cancelled":
        applyEvent(batch, { kind: "fail", effect: outcome.effect })
        return
      case "retryable":
        this.#retry(batch, outcome)
        return
      default:
        if (!isFirst && maybeOutOfOrder(outcome) && batch.state.kind === "in-flight") {
          this.#pace.noteOutOfOrder(batch.state.sendOrder, this.#sendOrder)
          applyEvent(batch, { kind: "fail", effect: "out-of-order" })
        } else this.#reject(batch, outcome)
    }
  }

  #acknowledge(batch: Batch, result: IdempotentAppendResult): void {
    if ("number" in batch.state) this.#epochs.noteAcknowledged(batch.state.number)
    if (!result.duplicate) this.#firstNewIndex = Math.min(this.#firstNewIndex, batch.index)
    applyEvent(batch, { kind: "acknowledge" })
    this.#isProbing = false
    this.isTypeGuessed = false
    this.#outage = undefined
    this.#batches.splice(this.#batches.indexOf(batch), 1)
    this.#owner.onAcknowledged(batch, result)
    this.#owner.onProgress()
  }

  #retry(batch: Batch, { error, failure }: Extract<SendOutcome, { kind: "retryable" }>): void {
    const { backoff, url, warnOnRetry } = this.#owner.endpoint
    const { effect, retryAfterMs, reason } = failure
    const nowMs = monotonicMs()
    if (batch.state.kind !== "in-flight") return
    const { failureCount, firstSentAtMs: sinceMs } = batch.state
    this.#lastError = error
    const outage = (this.#outage ??= { sinceMs, tries: 0, hasWarned: !warnOnRetry })
    outage.tries++
    outage.hasWarned ||= warnOfOutage(url, reason, outage.tries, nowMs - outage.sinceMs)
    if (failureCount >= Math.min(backoff.maxRetries, failure.maxRetries)) {
      this.#reject(batch, { kind: "failed", error, effect })
      return
    }
    applyEvent(batch, { kind: "fail", effect })
    const delayMs = backoffDelayMs(backoff, failureCount + 1, Math.random(), retryAfterMs)
    this.#notBeforeMs = Math.max(this.#notBeforeMs, nowMs + delayMs)
    this.#isProbing = true
    this.#owner.onRetry({ attempt: outage.tries, delayMs, error })
    if (backoff.debug) debug(`retry in ${Math.round(delayMs)} ms: ${error.message}`)
    if (this.#extension?.batch === batch) this.#expire()
  }

  #reject(batch: Batch, outcome: FinalOutcome): void {
    applyEvent(batch, { kind: "reject", outcome })
    this.#phase = "draining"
  }

  async #recover(): Promise<void> {
    this.#phase = "recovering"
    this.#acknowledgeImplicitly()
    let recovery = this.#decideRecovery()
    try {
      if (recovery.kind === "ask-type") {
        const isRecoded = this.#recode(await this.#owner.onTypeRejected())
        this.isTypeGuessed = false
        if (this.#isAt("stopped")) return
        if (!isRecoded) recovery = this.#decideRecovery()
      }
      if (recovery.kind !== "resume") {
        const delayMs = this.#prepare(recovery)
        if (delayMs > 0) await sleep(delayMs, this.#owner.stopSignal)
        if (this.#isAt("stopped")) return
        this.#epochs.beginAbove(recovery.kind === "bump" ? recovery.above : this.#epochs.epoch)
        for (const batch of this.#batches) applyEvent(batch, { kind: "renumber" })
        this.#isProbing = true
      }
    } catch (error) {
      // What #prepare throws is an Error; an abort in the sleep comes with a stop, which the owner made.
      if (!this.#isAt("stopped")) this.#owner.onFailed(error as Error)
      return
    }
    this.#phase = "sending"
    this.#owner.onProgress()
    this.#sendAll()
  }

  #decideRecovery(): Recovery {
    return decideRecovery(this.#batches, {
      autoClaim: this.#settings.autoClaim,
      epoch: this.#epochs.epoch,
      isTypeGuessed: this.isTypeGuessed,
      isShared: this.#mayShareEpoch && this.#firstNewIndex === Infinity,
      stream: describeUrl(this.#owner.endpoint.url),
    })
  }

  /** Puts every batch in the form that a content type asks for. @returns whether that is possible */
  #recode(contentType: string | undefined): boolean {
    if (contentType === undefined) return false
    const contents = this.#batches.map(({ content }) => recodeContent(content, contentType))
    if (contents.includes(undefined)) return false
    this.contentType = contentType
    for (const [index, batch] of this.#batches.entries()) {
      batch.content = contents[index] ?? batch.content
    }
    return true
  }

  /** @returns how long to wait, in milliseconds @throws the error that fails the producer */
  #prepare(recovery: Recovery): number {
    const [first, ...others] = this.#batches
    if (recovery.kind === "fail") throw recovery.error
    // The first batch is certainly not stored, and the server stores in order.
    for (const batch of others) applyEvent(batch, { kind: "prove-not-stored" })
    if (recovery.kind === "bump") {
      const delayMs = this.#epochs.noteBump()
      if (delayMs === undefined) throw recovery.error
      return delayMs
    }
    if (first === undefined) return 0
    const { content } = first
    if (recovery.kind === "split") {
      const newBatch = (half: BatchContent) => ({ ...first, content: half, state: QUEUED })
      this.#batches.splice(0, 1, ...splitContent(content).map(newBatch))
      if (recovery.isTooLarge) this.#owner.onTooLarge(content.body.byteLength)
      return this.#epochs.noteRejection()
    }
    if (recovery.kind === "drop") {
      if (!this.#epochs.noteRejectedMessage()) throw recovery.error
      this.#batches.shift()
      this.#owner.onRejectedMessage(first, recovery.error)
      return this.#epochs.noteRejection()
    }
    return 0
  }

  /** A batch without a response is stored if a later one is: the server stores in order. @returns whether there was one */
  #acknowledgeImplicitly(): boolean {
    const isForeign = this.#batches.some(
      ({ state }) => state.kind === "rejected" && state.outcome.kind === "foreign-duplicate",
    )
    if (isForeign) return false
    for (let hasFound = false; ; hasFound = true) {
      const [first] = this.#batches
      if (first === undefined || !("number" in first.state)) return hasFound
      const { kind, earlier, number } = first.state
      // One that is certainly not stored was skipped by a server that does not keep to the order.
      const isSkipped = kind !== "in-flight" && earlier === "none"
      if (isSkipped || !this.#epochs.isImplicitlyAcknowledged(number)) return hasFound
      first.attempt?.cancel()
      first.attempt = undefined
      this.#acknowledge(first, { offset: "", duplicate: true })
    }
  }

  #expire(): void {
    const { deliveryTimeoutMs } = this.#settings
    this.stop()
    const [first] = this.#batches
    const isIndeterminate = first !== undefined && maybeStored(first.state)
    const { url } = this.#owner.endpoint
    const last = this.#lastError
    this.#owner.onFailed(deliveryTimeoutError(url, deliveryTimeoutMs, isIndeterminate, last))
  }

  // A method, as the compiler would take the phase to be what it was before a call or an await.
  #isAt(phase: Phase): boolean {
    return this.#phase === phase
  }
}
