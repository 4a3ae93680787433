import fastq from "fastq"
import { backoffDelayMs } from "../http/backoff.ts"
import { sleep } from "../http/sleep.ts"
import { describeUrl } from "../protocol/request-url.ts"
import { Attempt, type AttemptSettings } from "./attempt.ts"
import { Backlog } from "./backlog.ts"
import type { Batch } from "./batch.ts"
import type { IdempotentAppendResult } from "./receipts.ts"
import { Delivery } from "./delivery.ts"
import type { PipelineEvents, PipelineSettings } from "./pipeline-owner.ts"
import { countIndeterminate, decideRecovery, type Fate, type Recovery } from "./recovery.ts"
import { Sequencer } from "./sequencer.ts"
import { Turns } from "./turns.ts"
import { canWait, isEarly } from "./verdict.ts"

type Phase = "flowing" | "halting" | "stopped"

/**
 * Carries sealed batches to the server, up to `maxInFlight` side by side, until the fate of each is known.
 *
 * 1. Numbers are given out in order. The server stores a batch only when the one before it is stored.
 * 2. Only the first batch that is not settled is tried again and again. One behind it is sent once; if that fails, or
 *    overtakes another (a gap), it waits for its turn ({@link Turns}).
 * 3. Where a batch cannot be stored under its number, nothing new is sent until every request that is out has its
 *    answer. Then {@link decideRecovery} says how to go on.
 */
export class Pipeline {
  readonly #settings: AttemptSettings & PipelineSettings
  readonly #events: PipelineEvents
  readonly #sequencer: Sequencer
  readonly #backlog = new Backlog()
  readonly #turns = new Turns(this.#backlog)
  readonly #queue: fastq.queue<Delivery>
  #lastOrdinal = -1
  /** Batches behind this ordinal wait for the next epoch. */
  #holdAfter = Infinity
  #carried = 0
  #phase: Phase = "flowing"

  constructor(settings: PipelineSettings, events: PipelineEvents) {
    const { epoch, backoff, autoClaim, maxInFlight } = settings
    const sequencer = new Sequencer(epoch, backoff, describeUrl(settings.endpoint.url))
    this.#settings = { ...settings, highestSeq: () => sequencer.nextSeq - 1 }
    this.#events = events
    this.#sequencer = sequencer
    // A producer that may be fenced asks with one batch first, rather than upload a pipeline in vain.
    this.#queue = fastq(
      (delivery: Delivery, done: fastq.done) => {
        this.#carried++
        void this.#carry(delivery).then(() => {
          this.#carried--
          done(null)
          if (this.#phase === "halting" && this.#carried === 0) void this.#recover()
        })
      },
      autoClaim ? 1 : maxInFlight,
    )
  }

  get epoch(): number {
    return this.#sequencer.epoch
  }

  get nextSeq(): number {
    return this.#sequencer.nextSeq
  }

  /** How many batches were handed to the network and are not settled. */
  get inFlightCount(): number {
    return this.#carried
  }

  /** Whether a batch would be sent at once. */
  get hasRoom(): boolean {
    return this.#phase === "flowing" && this.#backlog.size < this.#queue.concurrency
  }

  /** The ordinal of the newest batch, -1 before there is one. */
  get lastOrdinal(): number {
    return this.#lastOrdinal
  }

  /** The ordinal of the first batch that is not settled, or undefined where all are. */
  get firstUnsettled(): number | undefined {
    return this.#backlog.first?.ordinal
  }

  /** How many messages no request has carried. */
  get unsentCount(): number {
    let count = 0
    for (const { batch, tries } of this.#backlog) if (tries === 0) count += batch.count
    return count
  }

  /** Sends a batch as soon as there is room. */
  push(batch: Batch): void {
    const delivery = new Delivery(batch, ++this.#lastOrdinal)
    this.#backlog.push(delivery)
    if (this.#phase === "flowing") this.#dispatch(delivery)
  }

  /** Keeps back what is pushed from now on, until {@link beginEpoch} or {@link release}. */
  hold(): void {
    this.#holdAfter = this.#lastOrdinal
  }

  /** Starts the next epoch with what was kept back. Everything before must be settled. */
  beginEpoch(): void {
    this.#beginEpoch(this.#sequencer.epoch + 1)
    this.release()
  }

  /** Sends what was kept back in this epoch. */
  release(): void {
    const held = this.#holdAfter
    this.#holdAfter = Infinity
    if (this.#phase !== "flowing") return
    for (const delivery of this.#backlog) if (delivery.ordinal > held) this.#dispatch(delivery)
  }

  /** The batches that are not settled, in order. */
  unsettled(): Batch[] {
    return Array.from(this.#backlog, ({ batch }) => batch)
  }

  /** How many messages, counted from the first that is not settled, may be stored although no answer says so. */
  indeterminateCount(): number {
    const batches = countIndeterminate(this.#fates())
    return this.unsettled()
      .slice(0, batches)
      .reduce((count, batch) => count + batch.count, 0)
  }

  /** Ends everything. The settings' signal must be aborted as well, to end what is under way. */
  stop(): void {
    this.#phase = "stopped"
    this.#acknowledgeProven()
    this.#queue.kill()
    for (const delivery of this.#backlog) {
      if (delivery.isAsking) delivery.inDoubt = true
      delivery.wake?.()
    }
  }

  #dispatch(delivery: Delivery): void {
    if (delivery.ordinal > this.#holdAfter) return
    delivery.number ??= this.#sequencer.take()
    this.#queue.push(delivery)
  }

  async #carry(delivery: Delivery): Promise<void> {
    const { number } = delivery
    while (number !== undefined && this.#isAt("flowing")) {
      await this.#turns.wait(delivery)
      if (!this.#isAt("flowing")) return
      const isFirst = this.#backlog.first === delivery
      const attempt = new Attempt(delivery, this.#settings)
      delivery.callOff = () => {
        attempt.callOff()
      }
      const verdict = await attempt.run({
        number,
        persists: isFirst,
        notBeforeMs: this.#turns.notBeforeMs,
        onBackoff: (delayMs) => {
          this.#turns.postpone(delayMs)
          return this.#phase === "flowing"
        },
      })
      delivery.callOff = undefined
      delivery.isGoing = false
      if (this.#isAt("stopped") || verdict.kind === "interrupted") return
      if (verdict.kind === "acknowledged") {
        if (verdict.result.duplicate && this.#sequencer.isPremature(delivery)) continue
        this.#acknowledge(delivery, verdict.result)
        return
      }
      if (verdict.kind === "refused" && delivery.noteRefusal()) {
        const { backoff } = this.#settings
        this.#turns.postpone(backoffDelayMs(backoff, delivery.doubtfulRefusals, Math.random()))
        continue
      }
      if (isFirst || !canWait(verdict)) {
        delivery.verdict = verdict
        this.#halt()
        return
      }
      delivery.wasEarly ||= isEarly(verdict)
      if (verdict.kind === "transient") this.#turns.postpone(verdict.retryAfterMs)
    }
  }

  #acknowledge(delivery: Delivery, result: IdempotentAppendResult): void {
    if (delivery.number !== undefined) this.#sequencer.acknowledged(delivery.number)
    this.#backlog.remove(delivery)
    this.#events.onAcknowledged(delivery.batch, delivery.ordinal, result)
    this.#queue.concurrency = this.#settings.maxInFlight
    this.#turns.wake()
    this.#events.onProgress()
  }

  #halt(): void {
    this.#phase = "halting"
    this.#queue.kill()
    for (const { callOff, wake } of this.#backlog) {
      callOff?.()
      wake?.()
    }
  }

  async #recover(): Promise<void> {
    this.#acknowledgeProven()
    const recovery = decideRecovery(this.#fates(), {
      autoClaim: this.#settings.autoClaim,
      epoch: this.#sequencer.epoch,
      stream: describeUrl(this.#settings.endpoint.url),
    })
    try {
      const delayMs = this.#prepare(recovery)
      if (delayMs > 0) await sleep(delayMs, this.#settings.signal)
      if (this.#isAt("stopped")) return
      if (recovery.kind !== "resume") {
        const above = recovery.kind === "claim" ? recovery.above : this.#sequencer.epoch
        this.#beginEpoch(above + 1)
      }
    } catch (error) {
      // What #prepare throws is an Error; an abort in the sleep comes with a stop, which has told the owner.
      if (!this.#isAt("stopped")) this.#events.onFailed(error as Error)
      return
    }
    this.#phase = "flowing"
    for (const delivery of this.#backlog) this.#dispatch(delivery)
    this.#events.onProgress()
  }

  /** A batch without an answer is stored all the same where a later one is: the server stores in order. */
  #acknowledgeProven(): void {
    for (;;) {
      const first = this.#backlog.first
      if (first?.verdict?.kind === "fenced" && first.verdict.isForeign === true) return
      if (first?.number === undefined || !this.#sequencer.isProven(first.number)) return
      this.#acknowledge(first, { offset: "", duplicate: true })
    }
  }

  /** @returns how long to wait, in milliseconds @throws the error that ends the producer */
  #prepare(recovery: Recovery): number {
    const first = this.#backlog.first
    switch (recovery.kind) {
      case "fail":
        throw recovery.error
      case "claim": {
        const delayMs = this.#sequencer.noteClaim(Date.now())
        if (delayMs === undefined) throw recovery.error
        return delayMs
      }
      case "split": {
        if (first === undefined) return 0
        const { batch, ordinal } = first
        if (recovery.status === 413) this.#events.onTooLarge(batch.body.byteLength)
        this.#backlog.replaceFirst(batch.split().map((half) => new Delivery(half, ordinal)))
        return this.#sequencer.noteRefusal()
      }
      case "leave-out":
        if (first === undefined) return 0
        if (!this.#sequencer.noteLeftOut()) throw recovery.error
        this.#backlog.remove(first)
        this.#events.onLeftOut(first.batch, first.ordinal, recovery.error)
        return this.#sequencer.noteRefusal()
      case "resume":
        return 0
    }
  }

  #beginEpoch(epoch: number): void {
    this.#sequencer.begin(epoch)
    for (const delivery of this.#backlog) delivery.unnumber()
    // The server takes an epoch up with its first batch only: the others wait for that.
    this.#queue.concurrency = 1
  }

  #fates(): Fate[] {
    return Array.from(this.#backlog, ({ verdict, inDoubt, wasEarly, number, batch }) => ({
      verdict,
      inDoubt,
      wasEarly,
      seq: number?.seq,
      messageCount: batch.count,
    }))
  }

  // A method, as the compiler would take the phase to be what it was before an await.
  #isAt(phase: Phase): boolean {
    return this.#phase === phase
  }
}
