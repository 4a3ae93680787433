import { captureCallerStack } from "../errors/caller-stack.ts"
import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { FetchBackoffAbortError } from "../errors/fetch-backoff-abort-error.ts"
import { invalidMessageError } from "../errors/invalid-message-error.ts"
import { LinkedAbortController } from "../http/abort.ts"
import { extendEndpoint, type Endpoint } from "../http/endpoint.ts"
import { isWorkerd } from "../platform/runtime.ts"
import { takeSnapshot, type MessageSnapshot } from "../protocol/message.ts"
import type { CloseResult, Offset } from "../protocol/offset.ts"
import { describeUrl } from "../protocol/request-url.ts"
import { Accumulator, bytesOf, isSameMessage } from "./accumulator.ts"
import type { IdempotentAppendResult } from "./acknowledgements.ts"
import { asError } from "./outcome.ts"
import {
  resolveProducerOptions,
  type ProducerInput,
  type ProducerSettings,
  type ProducerState,
  type WaitOptions,
} from "./producer-options.ts"
import { Sender } from "./sender.ts"
import { ContentTypeLookup, requestTail } from "./stream-head.ts"
import { rejectedMessageError, type RejectedMessage } from "./recovery.ts"
import { BufferLimit, FlushQueue, quiet, waitFor } from "./waits.ts"

/** How many of the send() calls of a batch know where they were called from. A stack costs 2 µs and half a kilobyte. */
const MAX_TRACED_SENDS = 32

/**
 * A producer's life, and the way of a message through it.
 *
 * Success:
 * 1. `append` checks the message, and the {@link Accumulator} encodes it into the open batch.
 * 2. The batch is sealed when it is due and the {@link Sender} has room, or when it is full.
 * 3. The sender delivers it. The acknowledgement settles the `send()` calls, frees the buffer, and ends flushes.
 *
 * Failure:
 * 4. One message is rejected: `onError`, its `send()` and a `flush` get the error, and the others go through.
 * 5. The sender fails, or a signal is aborted: everything stops, `onError` is called, and all that wait are rejected.
 */
export class Producer {
  readonly #settings: ProducerSettings
  readonly #endpoint: Endpoint
  readonly #contentType: ContentTypeLookup
  readonly #stream: string
  readonly #controller: LinkedAbortController
  readonly #accumulator: Accumulator
  readonly #sender: Sender
  readonly #buffer: BufferLimit
  readonly #flushes = new FlushQueue()
  #state: ProducerState = { kind: "open" }
  readonly #isWorkerd = isWorkerd()
  #opening: Promise<void> | undefined
  #restarting: Promise<void> | undefined
  /** The final message, until it is in a batch. */
  #last: MessageSnapshot | undefined
  #lastOffset: { readonly index: number; readonly offset: Offset } | undefined

  /** @throws DurableStreamError `BAD_REQUEST` that names the option and the value */
  constructor(input: ProducerInput) {
    const { endpoint, producerId, isNewId = false, options = {}, contentType } = input
    const settings = resolveProducerOptions(producerId, options)
    const { headers, fetch, fetchOptions, backoffOptions } = options
    this.#settings = settings
    this.#endpoint = extendEndpoint(endpoint, { headers, fetch, fetchOptions, backoffOptions })
    this.#stream = describeUrl(endpoint.url)
    this.#controller = new LinkedAbortController(endpoint.signal, settings.signal)
    this.#buffer = new BufferLimit(settings.highWaterMarkBytes, settings.maxBufferedBytes)
    this.#accumulator = new Accumulator(
      { ...settings, stream: this.#stream },
      {
        onSealed: (content) => this.#sender.push(content),
        onDue: () => this.#sendDue(),
        onNoRoom: (bytes) => this.#buffer.noteNoRoom(bytes),
      },
    )
    const { signal } = this.#controller
    const { deliveryTimeoutMs } = settings
    this.#contentType = new ContentTypeLookup(
      this.#endpoint,
      contentType,
      deliveryTimeoutMs,
      signal,
    )
    this.#sender = this.#makeSender(isNewId, signal)
    const onAbort = () => this.#fail(new FetchBackoffAbortError(signal.reason))
    signal.addEventListener("abort", onAbort, { once: true })
    // Not before the caller has the producer that onError may speak of.
    if (signal.aborted) void Promise.resolve().then(onAbort)
  }

  /** `closed`, `detached` and `failed` are final. */
  get state(): ProducerState["kind"] {
    return this.#state.kind
  }

  /** What the producer failed with. */
  protected get failure(): Error | undefined {
    return this.#state.kind === "failed" ? this.#state.error : undefined
  }

  /** Makes the first epoch a fresh one above another. Only before the first message. */
  protected startAbove(epoch: number): void {
    this.#sender.startAbove(epoch)
  }

  /**
   * Pending while more than `highWaterMarkBytes` are not acknowledged. Awaiting it before each `append` bounds the memory
   * that a slow server costs. Rejects if the producer has failed.
   */
  get ready(): Promise<void> {
    // A caller that waits for room adds nothing: there is no reason to linger.
    if (this.#buffer.isHigh && this.#accumulator.count > 0) {
      this.#accumulator.makeDue()
      this.#sendDue()
    }
    return this.#buffer.ready
  }

  /** How many bytes of messages are not acknowledged. */
  get bufferedBytes(): number {
    return this.#buffer.bytes
  }

  /** The epoch of the newest batch. It grows by bumps, by `restart`, and when a rejected batch is split. */
  get epoch(): number {
    return this.#sender.epoch
  }

  /** The sequence number of the next batch in this epoch. */
  get nextSeq(): number {
    return this.#sender.nextSeq
  }

  /** How many batches were sent and are not settled. */
  get inFlightCount(): number {
    return this.#sender.inFlightCount
  }

  /** How many messages no request has carried yet. */
  get pendingCount(): number {
    return this.#accumulator.count + this.#sender.unsentCount
  }

  /** How many of the `undelivered()` messages, counted from the first, may be stored although no response says so. */
  get indeterminateCount(): number {
    return this.#sender.indeterminateCount()
  }

  /** The offset after the newest acknowledged batch; undefined before there is one. */
  get lastSuccessfulOffset(): Offset | undefined {
    return this.#lastOffset?.offset
  }

  /**
   * Queues a message. It is copied: later changes of `body` do not reach it. An empty string or empty bytes are no message on a
   * stream that is not JSON: nothing is queued.
   *
   * @param body - on a JSON stream any value that JSON can express, where a string or bytes are exactly one serialized
   *   value; on any other stream a string or bytes
   * @throws DurableStreamError `PARSE_ERROR` or `BAD_REQUEST` for what is no message, `BUFFER_FULL` if `maxBufferedBytes`
   *   would be exceeded, `ALREADY_CLOSED` after `close` or `detach`; nothing is queued then
   * @throws what the producer failed with
   */
  append(body: unknown): void {
    if (this.#state.kind !== "open") throw this.#endedError("append()")
    this.#take(body)
    this.#sendDue()
  }

  /**
   * Queues a message, as `append` does, and reports its acknowledgement. Cheap enough for every message: it shares its request
   * with others all the same. If its batch is rejected and split, it settles once the whole batch is settled.
   *
   * @returns once the message is stored; for an empty body, once the messages ahead of it are settled
   * @throws what `append` throws; what the producer failed with; the error of the message if it was rejected
   */
  send(body: unknown): Promise<IdempotentAppendResult> {
    try {
      if (this.#state.kind !== "open") throw this.#endedError("send()")
      const bytes = this.#take(body)
      if (bytes === 0 && this.#accumulator.contentType !== undefined) return this.#sendNothing()
      const isTraced = this.#accumulator.count <= MAX_TRACED_SENDS
      const acknowledgement = this.#accumulator.acknowledgement(
        isTraced ? captureCallerStack() : undefined,
      )
      this.#sendDue()
      return acknowledgement
    } catch (error) {
      return quiet(Promise.reject(asError(error)))
    }
  }

  /**
   * Sends at once what lingers.
   *
   * @param options - `signal` ends the wait; the producer goes on
   * @returns once everything queued so far is settled
   * @throws what the producer failed with; if a message was rejected that no earlier `flush` reported, its error
   */
  flush({ signal }: WaitOptions = {}): Promise<void> {
    return quiet(waitFor(this.#flush(), signal))
  }

  /**
   * Delivers everything, then closes the stream for good: readers get to its end. Called again it returns the same promise.
   * A stream that somebody else has closed already is closed as well, unless there is a final message.
   *
   * @param finalMessage - stored together with the closure, or not at all
   * @throws StreamClosedError if something was left to store and the stream was closed
   * @throws as `flush` does; if a message was rejected, the stream is not closed and `close` can be called again
   */
  close(finalMessage?: unknown): Promise<CloseResult> {
    const state = this.#state
    const last = finalMessage === undefined ? undefined : takeSnapshot(finalMessage)
    if (typeof last === "object" && "kind" in last && last.kind === "invalid") {
      return quiet(Promise.reject(invalidMessageError(this.#stream, last)))
    }
    if (state.kind === "closing" || state.kind === "closed") {
      if (last === undefined || isSameMessage(state.last, last)) return state.closed
      return this.#refuse("close() with another final message")
    }
    if (state.kind !== "open") return this.#refuse("close()")
    const closed = quiet(this.#close(last))
    this.#state = { kind: "closing", closed, last }
    return closed
  }

  /**
   * Delivers everything, then ends the producer. The stream stays open.
   *
   * @param options - `signal` fails the producer if it is not done by then: `undelivered()` has the rest
   * @throws as `flush` does; the producer has ended all the same
   */
  detach({ signal }: WaitOptions = {}): Promise<void> {
    const state = this.#state
    switch (state.kind) {
      case "open": {
        const detached = quiet(this.#detach(signal))
        this.#state = { kind: "detaching", detached }
        return detached
      }
      case "closing":
      case "closed":
        return quiet(
          state.closed.then(
            () => undefined,
            () => this.detach({ signal }),
          ),
        )
      case "detaching":
      case "detached":
        return state.detached
      case "failed":
        return this.#refuse("detach()")
    }
  }

  /**
   * Delivers everything queued so far, then continues in the next epoch, which fences other producers with this id. What is
   * queued meanwhile belongs to the new epoch.
   *
   * @throws as `flush` does; the epoch does not change then
   */
  restart(): Promise<void> {
    if (this.#state.kind !== "open") return this.#refuse("restart()")
    this.#restarting ??= quiet(
      this.#restart().finally(() => {
        this.#restarting = undefined
      }),
    )
    return this.#restarting
  }

  /** Fails the producer: what is not acknowledged will not be sent again. */
  protected abort(reason: unknown): void {
    this.#fail(new FetchBackoffAbortError(reason))
  }

  /**
   * After a failure: the messages that were not acknowledged, serialized, in order. The first
   * `indeterminateCount` of them may be stored although no response says so. Empty before.
   * `takeOver` makes a producer that sends the others.
   */
  undelivered(): readonly Uint8Array[] {
    if (this.#state.kind !== "failed") return []
    const batches = this.#sender.unsettled()
    const last = this.#last === undefined ? [] : [bytesOf(this.#last)]
    return [
      ...batches.flatMap(({ content }) => content.messages()),
      ...this.#accumulator.held(),
      ...last,
    ]
  }

  #makeSender(isNewId: boolean, stopSignal: AbortSignal): Sender {
    const settings = { ...this.#settings, endpoint: this.#endpoint, isNewId, stopSignal }
    const contentType = () => this.#accumulator.contentType ?? ""
    return new Sender(
      { ...settings, contentType, isTypeGuessed: () => this.#contentType.isGuessed },
      {
        onAcknowledged: ({ content, index }, result) => {
          this.#contentType.confirm()
          if (result.offset !== "" && index >= (this.#lastOffset?.index ?? 0)) {
            this.#lastOffset = { index, offset: result.offset }
          }
          content.acknowledgements.resolve(result)
          this.#buffer.remove(content.messageBytes)
        },
        onRejectedMessage: ({ content, index }, error) => {
          const [message = new Uint8Array(0)] = content.messages()
          const { acknowledgements, closesStream } = content
          const reject = acknowledgements.reject.bind(acknowledgements)
          this.#rejectMessage({ message, index, error, reject, isReported: closesStream })
        },
        onTooLarge: (bodyBytes) => this.#accumulator.lowerBatchLimit(bodyBytes >> 1),
        onTypeRejected: () => this.#askAgain(),
        onProgress: () => {
          this.#sendDue()
          this.#flushes.settle(this.#firstUnsettled())
        },
        onFailed: (error) => this.#fail(error),
      },
    )
  }

  #take(body: unknown): number {
    this.#checkRequest()
    if (this.#accumulator.contentType === undefined) void this.#open()
    const bytes = this.#accumulator.take(body, this.#buffer.bytes)
    this.#buffer.add(bytes)
    return bytes
  }

  /** @throws DurableStreamError if what is queued will not be sent any more */
  #checkRequest(): void {
    if (!this.#isWorkerd || !this.#accumulator.isOverdue) return
    const error = new DurableStreamError(
      `The request in which messages for ${this.#stream} were queued is over, and its timers and connections with it. ` +
        "In Cloudflare Workers, create a producer within the request that uses it, and await its detach().",
      "BAD_REQUEST",
    )
    this.#fail(error)
    throw error
  }

  /** An empty body is no message: its `send()` waits for those before it. */
  async #sendNothing(): Promise<IdempotentAppendResult> {
    const settled = quiet(this.#flushes.wait(this.#newestIndex(), false))
    this.#flushes.settle(this.#firstUnsettled())
    await settled
    return { offset: this.lastSuccessfulOffset ?? "", duplicate: false }
  }

  /** Finds out the content type, once. Resolves when that is over, well or not. */
  #open(): Promise<void> {
    const known = this.#contentType.known
    if (known !== undefined) this.#use(known)
    this.#opening ??= this.#contentType.find().then(
      (found) => this.#use(found ?? this.#accumulator.guessContentType()),
      (error: unknown) => this.#fail(asError(error)),
    )
    return this.#opening
  }

  /** @returns the content type if it is another than what was guessed */
  async #askAgain(): Promise<string | undefined> {
    const found = await this.#contentType.findAgain(this.#accumulator.contentType ?? "")
    if (found === undefined) return undefined
    const content = this.#accumulator.seal()
    if (content !== undefined) this.#sender.push(content)
    this.#accumulator.open(found)
    return found
  }

  #use(contentType: string): void {
    if (this.#accumulator.contentType !== undefined || this.#state.kind === "failed") return
    const { unfit, empty } = this.#accumulator.open(contentType)
    for (const { message, error, reject } of unfit) {
      this.#rejectMessage({ message, index: this.#sender.lastIndex, error, reject })
    }
    for (const acknowledgement of empty) acknowledgement.resolve(this.#sendNothing())
    this.#sendDue()
  }

  /** Seals late: while the window is full, the open batch grows rather than wait as one of many small ones. */
  #sendDue(): void {
    if (!this.#accumulator.isDue || !this.#sender.hasRoom) return
    const content = this.#accumulator.seal()
    if (content !== undefined) this.#sender.push(content)
  }

  async #flush(): Promise<void> {
    this.#checkRequest()
    if (this.#accumulator.contentType === undefined && this.#accumulator.count > 0)
      await this.#open()
    if (this.#state.kind === "failed") throw this.#state.error
    this.#accumulator.makeDue()
    this.#sendDue()
    const flushed = this.#flushes.wait(this.#newestIndex())
    this.#flushes.settle(this.#firstUnsettled())
    return flushed
  }

  async #restart(): Promise<void> {
    if (this.#accumulator.contentType === undefined && this.#accumulator.count > 0)
      await this.#open()
    const content = this.#accumulator.seal()
    if (content !== undefined) this.#sender.push(content)
    this.#sender.hold()
    let isFlushed = false
    try {
      await this.#flush()
      isFlushed = true
    } finally {
      this.#sender.release(isFlushed)
      this.#sendDue()
    }
  }

  /** Always after the call that started it has set the state. */
  async #close(last: MessageSnapshot | undefined): Promise<CloseResult> {
    await Promise.resolve()
    try {
      const offset = await this.#sendClosure(last)
      const finalOffset =
        offset === "" ? await requestTail(this.#endpoint, this.#controller.signal) : offset
      if (this.#state.kind === "closing") this.#end({ ...this.#state, kind: "closed" })
      return { finalOffset }
    } catch (error) {
      if (this.#state.kind === "closing") this.#state = { kind: "open" }
      throw error
    }
  }

  async #sendClosure(last: MessageSnapshot | undefined): Promise<Offset> {
    this.#last = last
    let closed: Promise<IdempotentAppendResult>
    try {
      await this.#flush()
      if (last !== undefined) await this.#open()
      if (this.#state.kind === "failed") throw this.#state.error
      const closing = this.#accumulator.sealClosing(last)
      this.#last = undefined
      this.#buffer.add(closing.content.messageBytes)
      this.#sender.push(closing.content)
      closed = closing.closed
    } catch (error) {
      // Without a failure the final message is the caller's again.
      if (this.state !== "failed") this.#last = undefined
      throw error
    }
    return (await closed).offset
  }

  async #detach(signal: AbortSignal | undefined): Promise<void> {
    await Promise.resolve()
    try {
      await waitFor(this.#flush(), signal)
    } catch (error) {
      if (signal?.aborted === true) this.#fail(asError(error))
      throw error
    } finally {
      if (this.#state.kind === "detaching") this.#end({ ...this.#state, kind: "detached" })
    }
  }

  #rejectMessage({
    message,
    index,
    error: cause,
    reject,
    isReported = false,
  }: RejectedMessage): void {
    const error = rejectedMessageError(this.#stream, message, cause)
    reject(error)
    this.#flushes.reject(index, error, isReported)
    this.#buffer.remove(message.byteLength)
    this.#settings.onError(error)
  }

  #fail(error: Error): void {
    if (["failed", "closed", "detached"].includes(this.state)) return
    this.#end({ kind: "failed", error })
    // If no message is lost, the caller is notified otherwise: of a closure by close(), of an abort by the signal. Handlers
    // reconnect (the Yjs provider's does), which a rejected closure must not make them do.
    if (this.undelivered().length > 0) this.#settings.onError(error)
    for (const { content } of this.#sender.unsettled()) content.acknowledgements.reject(error)
    this.#accumulator.rejectHeld(error)
    this.#flushes.fail(error)
    this.#buffer.fail(error)
  }

  /** Nothing is left of a producer that has ended: no timer, no listener, no request. */
  #end(state: ProducerState): void {
    this.#state = state
    this.#sender.stop()
    const content = this.#accumulator.seal()
    if (content !== undefined) this.#sender.push(content)
    this.#accumulator.makeDue()
    this.#controller.abort()
  }

  #newestIndex(): number {
    return this.#sender.lastIndex + (this.#accumulator.count > 0 ? 1 : 0)
  }

  /** The index of the first batch that is not settled; the open one has the next. */
  #firstUnsettled(): number | undefined {
    return (
      this.#sender.firstUnsettled ?? (this.#accumulator.count > 0 ? this.#newestIndex() : undefined)
    )
  }

  #refuse(call: string): Promise<never> {
    return quiet(Promise.reject(this.#endedError(call)))
  }

  #endedError(call: string): Error {
    if (this.failure !== undefined) return this.failure
    return new DurableStreamError(
      `${call} came after the producer of ${this.#stream} was told to end (it is ${this.state}). Make a new one.`,
      "ALREADY_CLOSED",
    )
  }
}

/** A producer that its owner can end at any time. */
export class AbortableProducer extends Producer {
  override abort(reason: unknown): void {
    super.abort(reason)
  }
}
