import type { Endpoint } from "../http/endpoint.ts"
import type { Offset } from "../protocol/offset.ts"
import { describeUrl } from "../protocol/request-url.ts"
import { Backpressure } from "./backpressure.ts"
import type { ClosingBatch } from "./batch-builder.ts"
import type { Batch } from "./batch.ts"
import { FlushQueue } from "./flush-queue.ts"
import { Intake } from "./intake.ts"
import { Linger } from "./linger.ts"
import { rejectedMessageError } from "./rejected-message-error.ts"
import type { HeldMessage } from "./message.ts"
import { Pipeline } from "./pipeline.ts"
import type { ProducerSettings } from "./producer-options.ts"
import type { StreamEnd } from "./producer-state.ts"
import { StreamDiscovery } from "./stream-discovery.ts"
import type { IdempotentAppendResult } from "./receipts.ts"
import { askForTail } from "./stream-head.ts"

/** What a flow is made with. */
export interface FlowSettings extends ProducerSettings {
  readonly endpoint: Endpoint
  /** The stream's content type, where somebody knows it. */
  readonly contentType: () => string | undefined
  /** Whether nobody can have used the producer's id before. */
  readonly isNewId: boolean
  /** Aborted when the flow stops. */
  readonly stopSignal: AbortSignal
}

/** What a flow tells its owner. */
export interface FlowEvents {
  /** One message was refused; the others go on. */
  onLeftOut(error: Error): void
  /** Nothing more will be sent. The owner stops the flow. */
  onFailed(error: Error): void
}

/** The way of the messages: taken in, sealed into batches, delivered, acknowledged. */
export class MessageFlow {
  readonly #settings: FlowSettings
  readonly #events: FlowEvents
  readonly #stream: string
  readonly #intake: Intake
  readonly #pipeline: Pipeline
  readonly #discovery: StreamDiscovery
  readonly #backpressure: Backpressure
  readonly #linger: Linger
  readonly #flushes = new FlushQueue()
  /** The open batch shall go as soon as there is room. */
  #isDue = false
  #failure: Error | undefined
  /** What shall be stored with the closure, until it is on its way. */
  #last: HeldMessage | undefined
  #lastOffset: { readonly ordinal: number; readonly offset: Offset } | undefined

  constructor(settings: FlowSettings, events: FlowEvents) {
    const { endpoint, stopSignal } = settings
    this.#settings = settings
    this.#events = events
    this.#stream = describeUrl(endpoint.url)
    this.#backpressure = new Backpressure(settings.highWaterMarkBytes, settings.maxBufferedBytes)
    this.#linger = new Linger(
      settings.lingerMs,
      () => {
        this.#isDue = true
        this.#sendIfDue()
      },
      () => {
        const batch = this.#intake.seal()
        if (batch !== undefined) this.#send(batch)
      },
    )
    const onRefused = this.#backpressure.refused.bind(this.#backpressure)
    const intakeEvents = { onFull: this.#send.bind(this), onRefused }
    this.#intake = new Intake({ ...settings, stream: this.#stream }, intakeEvents)
    const onFailed = events.onFailed.bind(events)
    this.#discovery = new StreamDiscovery(settings, this.#open.bind(this), onFailed)
    const attempts = {
      contentType: () => this.#intake.contentType ?? "",
      tailBefore: () => this.#discovery.tailBefore,
      signal: stopSignal,
    }
    this.#pipeline = new Pipeline(
      { ...settings, ...attempts, backoff: endpoint.backoff },
      {
        onAcknowledged: (batch, ordinal, result) => {
          this.#acknowledged(batch, ordinal, result)
        },
        onLeftOut: (batch, ordinal, error) => {
          const [message = new Uint8Array(0)] = batch.messages()
          const reject = batch.receipts.reject.bind(batch.receipts)
          this.#leaveOut({ message, ordinal, error, reject, isTold: batch.closesStream })
        },
        onTooLarge: (bodyBytes) => {
          this.#intake.lowerBatchLimit(bodyBytes >> 1)
        },
        onProgress: () => {
          this.#sendIfDue()
          this.#flushes.settle(this.#firstUnsettled())
        },
        onFailed,
      },
    )
  }

  get ready(): Promise<void> {
    // Whoever waits for room is the company that lingering waits for.
    if (this.#backpressure.isHigh && this.#intake.count > 0) {
      this.#isDue = true
      this.#sendIfDue()
    }
    return this.#backpressure.ready
  }

  get bufferedBytes(): number {
    return this.#backpressure.bytes
  }

  get epoch(): number {
    return this.#pipeline.epoch
  }

  get nextSeq(): number {
    return this.#pipeline.nextSeq
  }

  get inFlightCount(): number {
    return this.#pipeline.inFlightCount
  }

  get pendingCount(): number {
    return this.#intake.count + this.#pipeline.unsentCount
  }

  get indeterminateCount(): number {
    return this.#pipeline.indeterminateCount()
  }

  get lastOffset(): Offset | undefined {
    return this.#lastOffset?.offset
  }

  /**
   * Takes a message in; it is sent with others after a while.
   *
   * @throws DurableStreamError where it is no message of this stream, or `BUFFER_FULL`
   */
  take(value: unknown): void {
    if (this.#intake.contentType === undefined) void this.#discovery.run()
    this.#backpressure.add(this.#intake.take(value, this.#backpressure.bytes))
    this.#waitForMore()
  }

  /** Promises what becomes of the message that was taken in last. */
  receipt(): Promise<IdempotentAppendResult> {
    return this.#intake.receipt()
  }

  /** Resolves once everything taken so far is acknowledged, rejects once all of it is settled and some was left out. */
  async flush(): Promise<void> {
    if (this.#intake.contentType === undefined && this.#intake.count > 0)
      await this.#discovery.run()
    if (this.#failure !== undefined) throw this.#failure
    this.#isDue = this.#intake.count > 0
    this.#sendIfDue()
    const done = this.#flushes.wait(this.#pipeline.lastOrdinal + (this.#intake.count > 0 ? 1 : 0))
    this.#flushes.settle(this.#firstUnsettled())
    return done
  }

  /** Delivers everything taken so far, then starts the next epoch with what was taken since. */
  async startEpoch(): Promise<void> {
    if (this.#intake.contentType === undefined && this.#intake.count > 0)
      await this.#discovery.run()
    const batch = this.#intake.seal()
    if (batch !== undefined) this.#send(batch)
    this.#pipeline.hold()
    try {
      await this.flush()
      this.#pipeline.beginEpoch()
    } finally {
      this.#pipeline.release()
    }
  }

  /**
   * Delivers everything, then closes the stream.
   *
   * @param last - stored together with the closure or not at all
   */
  async close(last: HeldMessage | undefined): Promise<StreamEnd> {
    const { closed } = await this.#sendClosure(last)
    const { offset } = await closed
    const { endpoint, stopSignal } = this.#settings
    return { finalOffset: offset === "" ? await askForTail(endpoint, stopSignal) : offset }
  }

  /** Stops for good: nothing is sent any more, no timer is left. */
  stop(): void {
    this.#linger.stop()
    this.#pipeline.stop()
    const batch = this.#intake.seal()
    if (batch !== undefined) this.#pipeline.push(batch)
  }

  /** Tells everybody who waits that it came to nothing. The flow must be stopped. */
  fail(error: Error): void {
    this.#failure = error
    for (const unsettled of this.#pipeline.unsettled()) unsettled.receipts.reject(error)
    this.#intake.rejectHeld(error)
    this.#flushes.fail(error)
    this.#backpressure.fail(error)
  }

  /** The messages that were not acknowledged, in order. The flow must be stopped. */
  undelivered(): Uint8Array[] {
    const batches = this.#pipeline.unsettled()
    const last = this.#last === undefined ? [] : [this.#last.bytes]
    return [...batches.flatMap((batch) => batch.messages()), ...this.#intake.held(), ...last]
  }

  async #sendClosure(last: HeldMessage | undefined): Promise<ClosingBatch> {
    this.#last = last
    try {
      await this.flush()
      if (last !== undefined) await this.#discovery.run()
      if (this.#failure !== undefined) throw this.#failure
      const closing = this.#intake.sealClosing(last)
      this.#last = undefined
      this.#backpressure.add(closing.batch.messageBytes)
      this.#pipeline.push(closing.batch)
      return closing
    } catch (error) {
      // Without a failure the last message is its sender's again.
      if (this.#failure === undefined) this.#last = undefined
      throw error
    }
  }

  #open(contentType: string): void {
    if (this.#intake.contentType !== undefined || this.#failure !== undefined) return
    for (const { message, error, reject } of this.#intake.open(contentType)) {
      const ordinal = this.#pipeline.lastOrdinal
      this.#leaveOut({ message, ordinal, error, reject })
    }
    // What was waited for may have been left out, all of it.
    this.#isDue &&= this.#intake.count > 0
    this.#sendIfDue()
    this.#waitForMore()
  }

  /** Gives what was taken in a while to wait for company. */
  #waitForMore(): void {
    if (!this.#isDue && this.#intake.count > 0) this.#linger.start()
  }

  /** Seals late: while every slot is taken, the open batch grows rather than queue up. */
  #sendIfDue(): void {
    if (!this.#isDue || !this.#pipeline.hasRoom) return
    const batch = this.#intake.seal()
    if (batch !== undefined) this.#send(batch)
  }

  #send(batch: Batch): void {
    this.#linger.stop()
    this.#isDue = false
    this.#pipeline.push(batch)
  }

  #acknowledged(batch: Batch, ordinal: number, result: IdempotentAppendResult): void {
    if (result.offset !== "" && ordinal >= (this.#lastOffset?.ordinal ?? 0)) {
      this.#lastOffset = { ordinal, offset: result.offset }
    }
    batch.receipts.resolve(result)
    this.#backpressure.remove(batch.messageBytes)
  }

  #leaveOut({ message, ordinal, error: cause, reject, isTold = false }: LeftOut): void {
    const error = rejectedMessageError(this.#stream, message, cause)
    reject(error)
    this.#flushes.leftOut(ordinal, error, isTold)
    this.#backpressure.remove(message.byteLength)
    this.#events.onLeftOut(error)
  }

  /** The ordinal of the first batch that is not settled; the open one has the next. */
  #firstUnsettled(): number | undefined {
    const { firstUnsettled, lastOrdinal } = this.#pipeline
    return firstUnsettled ?? (this.#intake.count > 0 ? lastOrdinal + 1 : undefined)
  }
}

interface LeftOut {
  readonly message: Uint8Array
  readonly ordinal: number
  readonly error: Error
  readonly reject: (error: Error) => void
  /** Whether whoever waits for it cannot but hear of it. */
  readonly isTold?: boolean
}
