import fastq from "fastq"
import { backoffDelayMs } from "../http/backoff.ts"
import { warnOfOutage } from "../http/retry-loop.ts"
import { MAX_TIMER_MS, sleep } from "../http/abort.ts"
import { monotonicMs } from "../platform/clock.ts"
import { debug } from "../platform/console.ts"
import { onOnline } from "../platform/network.ts"
import { describeUrl } from "../protocol/request-url.ts"
import type { IdempotentAppendResult } from "./acknowledgements.ts"
import { Attempt, type SenderSettings } from "./attempt.ts"
import type { BatchContent } from "./batch-content.ts"
import { Batch, type SenderEvents } from "./batch.ts"
import { Deadline } from "./deadline.ts"
import { Epochs } from "./epochs.ts"
import { maybeOutOfOrder, type FinalOutcome, type SendOutcome } from "./outcome.ts"
import { Pace } from "./pace.ts"
import {
  countIndeterminate,
  decideRecovery,
  deliveryTimeoutError,
  type BatchView,
  type Recovery,
} from "./recovery.ts"

type Phase = "sending" | "draining" | "stopped"

/**
 * Sends sealed batches, up to `maxInFlight` at a time, until each is settled.
 *
 * Success:
 * 1. A sealed batch waits in a queue until the window has a place for it.
 * 2. {@link Sender.#next} decides which batch of the window is sent next. It gets its number with its first request.
 * 3. Acknowledged, it leaves the window, and the queue gives its place to another one.
 *
 * Failure ({@link Sender.#settle}):
 * 4. It can be repeated: after a back-off the first batch is sent again, alone. The others follow once one is acknowledged.
 * 5. It came before an earlier batch: it is sent again behind that one. The window stays open.
 * 6. It is final: nothing is sent until no request is pending. Then {@link decideRecovery} says how to continue.
 * 7. The first batch is not settled within `deliveryTimeoutMs` of its first attempt: the sender fails. If the machine was
 *    suspended meanwhile, it makes one more attempt before.
 */
export class Sender {
  readonly #settings: SenderSettings
  readonly #events: SenderEvents
  readonly #stream: string
  readonly #epochs: Epochs
  readonly #pace: Pace
  readonly #queue: fastq.queue<Batch>
  /** The batches that are being delivered, in order. */
  #window: Batch[] = []
  /** The places of the window that the queue has given away. */
  readonly #places: fastq.done[] = []
  readonly #attempts = new Map<Batch, Attempt>()
  /** Batches for the next epoch, while a restart waits for those before. */
  #held: Batch[] | undefined
  #phase: Phase = "sending"
  /** Only the first batch is sent until one is acknowledged: after a failure, and to begin an epoch. */
  #isProbing: boolean
  #notBeforeMs = 0
  #lastIndex = -1
  #sendOrder = 0
  #unsentCount = 0
  /** The first batch that was accepted as new: no other producer has used the numbers from there on. */
  #firstNewIndex = Infinity
  #lastError: Error | undefined
  /** Since when, and how often, nothing but failures came. */
  #outage: { readonly sinceMs: number; tries: number; hasWarned: boolean } | undefined
  #endWait: (() => void) | undefined
  /** That of the first batch. */
  readonly #deadline = new Deadline<Batch>((wasSuspended) => this.#onDeadline(wasSuspended))
  /** The deadline has passed while the machine was suspended, and the first batch gets one more attempt. */
  #isLastAttempt = false

  constructor(settings: SenderSettings, events: SenderEvents) {
    const { endpoint, epoch, autoClaim, maxInFlight } = settings
    this.#settings = settings
    this.#events = events
    this.#stream = describeUrl(endpoint.url)
    this.#epochs = new Epochs({ epoch, backoff: endpoint.backoff, stream: this.#stream })
    this.#pace = new Pace(maxInFlight)
    // The server takes up an epoch with its first batch only. One that may be fenced does not upload a window in vain.
    this.#isProbing = autoClaim
    this.#queue = fastq((batch: Batch, done: fastq.done) => {
      this.#places.push(done)
      this.#window.push(batch)
      this.#sendAll()
    }, maxInFlight)
  }

  get epoch(): number {
    return this.#epochs.epoch
  }

  get nextSeq(): number {
    return this.#epochs.nextSeq
  }

  /** How many batches were sent and are not settled. */
  get inFlightCount(): number {
    return this.#window.reduce((count, batch) => count + (batch.isUnsent ? 0 : 1), 0)
  }

  /** How many messages no request under their number has carried. */
  get unsentCount(): number {
    return this.#unsentCount
  }

  /** Whether a batch would be sent at once. */
  get hasRoom(): boolean {
    const places = this.#isProbing ? 1 : this.#settings.maxInFlight
    return this.#phase === "sending" && this.#held === undefined && this.#window.length < places
  }

  /** The index of the newest batch, -1 before there is one. */
  get lastIndex(): number {
    return this.#lastIndex
  }

  /** The index of the first batch that is not settled; undefined if all are. */
  get firstUnsettled(): number | undefined {
    return (this.#window[0] ?? this.#held?.[0])?.index
  }

  /** Begins with a fresh epoch above another one. */
  startAbove(epoch: number): void {
    this.#epochs.beginAbove(epoch)
  }

  /** Sends a batch as soon as there is a place for it. */
  push(content: BatchContent): void {
    const batch = new Batch(content, ++this.#lastIndex)
    this.#unsentCount += content.count
    if (this.#held !== undefined) this.#held.push(batch)
    else this.#enqueue(batch)
  }

  /** Keeps back what is pushed from now on, until {@link release}. */
  hold(): void {
    this.#held ??= []
  }

  /** Sends what was kept back. @param inNextEpoch - needs everything before to be settled @throws as `beginNext` of Epochs */
  release(inNextEpoch: boolean): void {
    const held = this.#held ?? []
    this.#held = undefined
    try {
      if (inNextEpoch) {
        this.#epochs.beginNext()
        this.#isProbing = true
      }
    } finally {
      for (const batch of held) this.#enqueue(batch)
    }
  }

  /** The batches that are not settled, in order. */
  unsettled(): Batch[] {
    return [...this.#window, ...this.#queue.getQueue(), ...(this.#held ?? [])]
  }

  /** How many messages, from the first that is not settled, may be stored although no response says so. */
  indeterminateCount(): number {
    return this.#window
      .slice(0, countIndeterminate(this.#views()))
      .reduce((count, { content }) => count + content.count, 0)
  }

  /** Ends everything. The settings' signal must be aborted as well, to end what is pending. */
  stop(): void {
    if (this.#phase === "stopped") return
    this.#phase = "stopped"
    this.#acknowledgeImplicitly()
    for (const batch of this.#window) {
      const isPending = this.#attempts.get(batch)?.isRequestPending === true
      if (batch.state.kind === "in-flight" && !isPending)
        batch.apply({ kind: "fail", effect: "none" })
      batch.apply({ kind: "abandon" })
    }
    this.#window.push(...this.#queue.getQueue())
    this.#queue.kill()
    this.#endWait?.()
    this.#deadline.clear()
  }

  #enqueue(batch: Batch): void {
    if (this.#phase === "stopped") this.#window.push(batch)
    else this.#queue.push(batch)
  }

  /**
   * The one place that decides which batch may be sent next.
   *
   * 1. Batches are sent in order: the first one without a pending request is the candidate, and no other.
   * 2. The first batch of the window may always be sent; another one only behind a batch whose request is pending, and not
   *    while the sender is probing.
   * 3. One that was sent before is sent again only if the one before it was, so that what a server never takes is not
   *    repeated in a loop.
   * 4. Nothing is sent behind a batch whose pending request is older than that of the batch before it: it will be out of
   *    order, and so would be what follows.
   */
  #next(): Batch | undefined {
    let previous: Batch | undefined
    let pendingCount = 0
    for (const batch of this.#window) {
      if (batch.state.kind === "in-flight") {
        if (previous !== undefined && batch.sendOrder < previous.sendOrder) return undefined
        pendingCount++
        previous = batch
        continue
      }
      if (previous === undefined) return batch
      if (this.#isProbing || pendingCount >= this.#settings.maxInFlight) return undefined
      return batch.sendOrder > previous.sendOrder ? undefined : batch
    }
    return undefined
  }

  /** Sends what may be sent now, and sets a timer for what may be sent later. */
  #sendAll(): void {
    this.#endWait?.()
    while (this.#phase === "sending") {
      const batch = this.#next()
      if (batch === undefined) break
      const nowMs = monotonicMs()
      const atMs = Math.max(this.#notBeforeMs, this.#pace.nextSendMs)
      if (atMs > nowMs) {
        this.#wait(atMs - nowMs)
        break
      }
      this.#send(batch, nowMs)
    }
    this.#watchDeadline()
  }

  #wait(delayMs: number): void {
    const timer = setTimeout(() => this.#sendAll(), Math.min(delayMs, MAX_TIMER_MS))
    // What failed without a network is sent as soon as there is one.
    const unwatch = onOnline(() => {
      this.#notBeforeMs = 0
      this.#sendAll()
    })
    this.#endWait = () => {
      this.#endWait = undefined
      clearTimeout(timer)
      unwatch()
    }
  }

  #send(batch: Batch, nowMs: number): void {
    if (batch.isUnsent) this.#unsentCount -= batch.content.count
    const isFirst = this.#window[0] === batch
    const number = batch.state.kind === "retrying" ? batch.state.number : this.#epochs.take()
    const isClean = batch.state.kind !== "retrying" || batch.state.earlier === "none"
    batch.apply({ kind: "send", number })
    batch.noteSend(++this.#sendOrder, nowMs)
    this.#pace.noteSend(nowMs)
    const attempt = new Attempt(this.#settings)
    this.#attempts.set(batch, attempt)
    const context = () => ({
      highestSentSeq: this.#epochs.nextSeq - 1,
      mayBeForeign: isClean && this.#mayBeForeign(batch),
    })
    void attempt.run({ content: batch.content, number, context }).then((outcome) => {
      // What was acknowledged implicitly meanwhile is settled.
      if (this.#attempts.get(batch) !== attempt) return
      this.#attempts.delete(batch)
      if (this.#phase === "stopped") return
      if (outcome.kind !== "cancelled") this.#pace.noteResponse(monotonicMs() - nowMs)
      this.#settle(batch, outcome, isFirst)
      if (this.#phase === "draining" && this.#attempts.size === 0) void this.#recover()
      else this.#sendAll()
    })
  }

  /** Another producer can have used the number if the epoch is not fresh, and nothing before was new to the server. */
  #mayBeForeign(batch: Batch): boolean {
    return !this.#epochs.choosesFresh && batch.index <= this.#firstNewIndex
  }

  /** @param isFirst - whether everything before the batch was settled when it was sent */
  #settle(batch: Batch, outcome: SendOutcome, isFirst: boolean): void {
    switch (outcome.kind) {
      case "acknowledged":
        this.#acknowledge(batch, outcome.result)
        return
      case "cancelled":
        batch.apply({ kind: "fail", effect: outcome.effect })
        return
      case "retryable":
        this.#retry(batch, outcome)
        return
      default:
        if (!isFirst && maybeOutOfOrder(outcome)) {
          batch.apply({ kind: "out-of-order" })
          this.#pace.noteOutOfOrder(batch.sendOrder, this.#sendOrder)
        } else this.#reject(batch, outcome)
    }
  }

  #acknowledge(batch: Batch, result: IdempotentAppendResult): void {
    if ("number" in batch.state) this.#epochs.noteAcknowledged(batch.state.number)
    if (!result.duplicate) this.#firstNewIndex = Math.min(this.#firstNewIndex, batch.index)
    batch.apply({ kind: "acknowledge" })
    this.#isProbing = false
    this.#outage = undefined
    this.#remove(batch)
    this.#events.onAcknowledged(batch, result)
    this.#events.onProgress()
  }

  #retry(batch: Batch, { error, failure }: Extract<SendOutcome, { kind: "retryable" }>): void {
    const { backoff, url, warnOnRetry } = this.#settings.endpoint
    const { effect, retryAfterMs, reason } = failure
    const nowMs = monotonicMs()
    this.#lastError = error
    const outage = (this.#outage ??= {
      sinceMs: batch.firstSentAtMs ?? nowMs,
      tries: 0,
      hasWarned: !warnOnRetry,
    })
    outage.tries++
    outage.hasWarned ||= warnOfOutage(url, reason, outage.tries, nowMs - outage.sinceMs)
    if (batch.failureCount >= Math.min(backoff.maxRetries, failure.maxRetries)) {
      this.#reject(batch, { kind: "failed", error, effect })
      return
    }
    batch.apply({ kind: "fail", effect })
    const delayMs = backoffDelayMs(backoff, batch.failureCount, Math.random(), retryAfterMs)
    this.#notBeforeMs = Math.max(this.#notBeforeMs, nowMs + delayMs)
    this.#isProbing = true
    if (backoff.debug) {
      debug(`retry in ${Math.round(delayMs)} ms: ${error.message}`)
    }
    if (this.#isLastAttempt && this.#window[0] === batch) this.#expire()
  }

  #reject(batch: Batch, outcome: FinalOutcome): void {
    batch.apply({ kind: "reject", outcome })
    this.#phase = "draining"
  }

  /** Gives the places of settled batches back. The halves of a batch share one. */
  #remove(batch: Batch): void {
    this.#window.splice(this.#window.indexOf(batch), 1)
    while (this.#places.length > this.#window.length) this.#places.pop()?.(null)
  }

  async #recover(): Promise<void> {
    this.#acknowledgeImplicitly()
    let recovery = this.#decideRecovery()
    try {
      if (recovery.kind === "ask-type") {
        const isRecoded = this.#recode(await this.#events.onTypeRejected())
        if (this.#isAt("stopped")) return
        if (!isRecoded) recovery = this.#decideRecovery()
      }
      if (recovery.kind !== "resume" && recovery.kind !== "fail") {
        // The first batch is certainly not stored, and the server stores in order.
        for (const batch of this.#window.slice(1)) batch.apply({ kind: "prove-not-stored" })
      }
      const delayMs = this.#prepare(recovery)
      if (delayMs > 0) await sleep(delayMs, this.#settings.stopSignal)
      if (this.#isAt("stopped")) return
      if (recovery.kind !== "resume") {
        this.#renumber(recovery.kind === "bump" ? recovery.above : this.#epochs.epoch)
      }
    } catch (error) {
      // What #prepare throws is an Error; an abort in the sleep comes with a stop, which the owner made.
      if (!this.#isAt("stopped")) this.#events.onFailed(error as Error)
      return
    }
    this.#phase = "sending"
    this.#events.onProgress()
    this.#sendAll()
  }

  #decideRecovery(): Recovery {
    return decideRecovery(this.#views(), {
      autoClaim: this.#settings.autoClaim,
      epoch: this.#epochs.epoch,
      isTypeGuessed: this.#settings.isTypeGuessed(),
      stream: this.#stream,
    })
  }

  /** Puts every batch in the form that a content type asks for. @returns whether that is possible */
  #recode(contentType: string | undefined): boolean {
    if (contentType === undefined) return false
    const batches = this.unsettled()
    const contents = batches.map(({ content }) => content.recoded(contentType))
    if (contents.includes(undefined)) return false
    for (const [index, batch] of batches.entries()) batch.recode(contents[index] ?? batch.content)
    return true
  }

  /** @returns how long to wait, in milliseconds @throws the error that fails the producer */
  #prepare(recovery: Recovery): number {
    const [first] = this.#window
    switch (recovery.kind) {
      case "fail":
        throw recovery.error
      case "bump": {
        const delayMs = this.#epochs.noteBump(monotonicMs())
        if (delayMs === undefined) throw recovery.error
        return delayMs
      }
      case "split": {
        if (first === undefined) return 0
        const { content, index } = first
        if (recovery.isTooLarge) this.#events.onTooLarge(content.body.byteLength)
        this.#window.splice(0, 1, ...content.split().map((half) => new Batch(half, index)))
        this.#unsentCount += content.count
        return this.#epochs.noteRejection()
      }
      case "drop":
        if (first === undefined) return 0
        if (!this.#epochs.noteRejectedMessage()) throw recovery.error
        this.#remove(first)
        this.#events.onRejectedMessage(first, recovery.error)
        return this.#epochs.noteRejection()
      case "ask-type":
      case "resume":
        return 0
    }
  }

  #renumber(above: number): void {
    this.#epochs.beginAbove(above)
    for (const batch of this.#window) {
      if (!batch.isUnsent) this.#unsentCount += batch.content.count
      batch.apply({ kind: "renumber" })
    }
    this.#isProbing = true
  }

  /** A batch without a response is stored if a later one is: the server stores in order. @returns whether there was one */
  #acknowledgeImplicitly(): boolean {
    const isForeign = this.#window.some(
      ({ state }) => state.kind === "rejected" && state.outcome.kind === "foreign-duplicate",
    )
    if (isForeign) return false
    let count = 0
    for (;;) {
      const [first] = this.#window
      if (first === undefined || !("number" in first.state)) break
      // One that is certainly not stored was skipped by a server that does not keep to the order.
      if (first.state.kind !== "in-flight" && first.state.earlier === "none") break
      if (!this.#epochs.isImplicitlyAcknowledged(first.state.number)) break
      this.#attempts.get(first)?.cancel()
      this.#attempts.delete(first)
      this.#acknowledge(first, { offset: "", duplicate: true })
      count++
    }
    return count > 0
  }

  #watchDeadline(): void {
    const [first] = this.#window
    if (this.#phase === "stopped" || this.#deadline.subject === first) return
    this.#isLastAttempt = false
    if (first?.firstSentAtMs === undefined) this.#deadline.clear()
    else this.#deadline.set(first, first.firstSentAtMs + this.#settings.deliveryTimeoutMs)
  }

  #onDeadline(wasSuspended: boolean): void {
    const [first] = this.#window
    if (first === undefined) return
    if (this.#acknowledgeImplicitly()) this.#sendAll()
    else if (!wasSuspended || this.#isLastAttempt) this.#expire()
    else {
      const { endpoint, deliveryTimeoutMs } = this.#settings
      const extensionMs = Math.min(endpoint.requestTimeoutMs, deliveryTimeoutMs)
      this.#deadline.set(first, monotonicMs() + extensionMs)
      this.#isLastAttempt = true
      // The connection of a request from before is likely to be gone.
      this.#attempts.get(first)?.cancel()
      this.#notBeforeMs = 0
      this.#sendAll()
    }
  }

  #expire(): void {
    const { endpoint, deliveryTimeoutMs } = this.#settings
    this.stop()
    const isIndeterminate = countIndeterminate(this.#views()) > 0
    this.#events.onFailed(
      deliveryTimeoutError(endpoint.url, deliveryTimeoutMs, isIndeterminate, this.#lastError),
    )
  }

  #views(): BatchView[] {
    return this.#window.map(({ state, content }) => ({ state, messageCount: content.count }))
  }

  // A method, as the compiler would take the phase to be what it was before an await.
  #isAt(phase: Phase): boolean {
    return this.#phase === phase
  }
}
