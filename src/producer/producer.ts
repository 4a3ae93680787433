import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { FetchBackoffAbortError } from "../errors/fetch-backoff-abort-error.ts"
import { checkMessage } from "../errors/invalid-message-error.ts"
import { LinkedAbortController } from "../http/abort.ts"
import { extendEndpoint, type Endpoint } from "../http/endpoint.ts"
import { warnOfUnknownOptions } from "../http/unknown-options.ts"
import { findTail } from "../http/stream-head.ts"
import type { RetryNotice } from "../http/retry-loop.ts"
import { mediaType } from "../protocol/content-type.ts"
import { takeSnapshot, type MessageSnapshot } from "../protocol/message.ts"
import type { MessageFor } from "../protocol/standard-schema.ts"
import type { CloseResult, Offset } from "../protocol/offset.ts"
import { describeUrl } from "../protocol/request-url.ts"
import { Accumulator, bytesOf, matchingNow, rejectHeld } from "./accumulator.ts"
import type { IdempotentAppendResult } from "./acknowledgements.ts"
import { messageBytesOf, messagesOf, settleContent, type BatchContent } from "./batch-content.ts"
import type { Batch } from "./batch.ts"
import { Connection } from "./connection.ts"
import { findContentType } from "./content-type.ts"
import { asError } from "./outcome.ts"
import {
  resolveProducerOptions,
  type IdempotentProducerOptions,
  type ProducerConnectionState,
  type ProducerSettings,
  type ProducerState,
  type WaitOptions,
} from "./producer-options.ts"
import { rejectedMessageError } from "./recovery.ts"
import { Sender } from "./sender.ts"
import { FlushQueue, quiet, waitFor } from "./waits.ts"

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
export class Producer<TBody = unknown> {
  readonly #handle: { readonly contentType?: string | undefined }
  readonly #settings: ProducerSettings
  readonly #endpoint: Endpoint
  readonly #streamName: string
  readonly #controller: LinkedAbortController
  readonly #accumulator: Accumulator
  readonly #sender: Sender
  readonly #flushes = new FlushQueue()
  readonly #connection: Connection
  #state: ProducerState = { kind: "open" }
  #opening: Promise<void> | undefined
  #restarting: Promise<void> | undefined
  /** The final message, until it is in a batch. */
  #last: MessageSnapshot | undefined
  #lastOffset: { readonly index: number; readonly offset: Offset } | undefined

  /** @throws DurableStreamError `BAD_REQUEST` that names the option and the value */
  constructor(
    endpoint: Endpoint,
    handle: { readonly contentType?: string | undefined },
    producerId: string,
    options: IdempotentProducerOptions,
    isNewId = false,
  ) {
    const settings = resolveProducerOptions(producerId, options)
    warnOfUnknownOptions(options)
    const { headers, fetch, fetchOptions, backoffOptions, schema } = options
    this.#handle = handle
    this.#settings = settings
    this.#connection = new Connection(settings.observe)
    const overrides = { headers, fetch, fetchOptions, backoffOptions, schema }
    this.#endpoint = extendEndpoint(endpoint, overrides)
    this.#streamName = describeUrl(endpoint.url)
    this.#controller = new LinkedAbortController(endpoint.signal, settings.signal)
    const { signal } = this.#controller
    this.#accumulator = new Accumulator(settings, {
      stream: this.#streamName,
      onSealed: (content) => this.#sender.push(content),
      onDue: () => this.#sendDue(),
    })
    this.#sender = new Sender(settings, {
      endpoint: this.#endpoint,
      stopSignal: signal,
      onRetry: (notice) => this.#onRetry(notice),
      isNewId,
      onAcknowledged: (batch, result) => this.#onAcknowledged(batch, result),
      onRejectedMessage: ({ content, index }, error) => {
        const [message = new Uint8Array(0)] = messagesOf(content)
        const reject = (reason: Error) => settleContent(content, { error: reason })
        this.#rejectMessage(message, index, error, reject, content.closesStream)
      },
      onTooLarge: (bodyBytes) => this.#accumulator.lowerBatchLimit(bodyBytes >> 1),
      onTypeRejected: () => this.#askAgain(),
      onProgress: () => {
        this.#sendDue()
        this.#showConnection()
        this.#flushes.settle(this.#firstUnsettled)
      },
      onFailed: (error) => this.#fail(error),
    })
    const onAbort = () => this.#fail(new FetchBackoffAbortError(signal.reason))
    signal.addEventListener("abort", onAbort, { once: true })
    // Not before the caller has the producer that onError may speak of.
    if (signal.aborted) void Promise.resolve().then(onAbort)
  }

  /** `closed`, `detached` and `failed` are final. */
  get state(): ProducerState["kind"] {
    return this.#state.kind
  }

  /** What the connection is at. `observe` has each change. */
  get connection(): ProducerConnectionState {
    return this.#connection.state
  }

  /**
   * Pending while more than `highWaterMarkBytes` are not acknowledged. Awaiting it before each `append` bounds the memory
   * that a slow server costs. Rejects if the producer has failed.
   */
  get ready(): Promise<void> {
    const { buffer, count } = this.#accumulator
    // A caller that waits for room adds nothing: there is no reason to linger.
    if (buffer.isHigh && count > 0) {
      this.#accumulator.makeDue()
      this.#sendDue()
    }
    return buffer.ready
  }

  /** How many bytes of messages are not acknowledged. */
  get bufferedBytes(): number {
    return this.#accumulator.buffer.bytes
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
    return this.#sender.indeterminateCount
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
   *   would be exceeded, `SCHEMA` if it does not match the schema, `ALREADY_CLOSED` after `close` or `detach`; nothing is queued then
   * @throws what the producer failed with
   */
  append(body: MessageFor<TBody>): void {
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
  send(body: MessageFor<TBody>): Promise<IdempotentAppendResult> {
    try {
      if (this.#state.kind !== "open") throw this.#endedError("send()")
      if (!this.#take(body)) return this.#sendNothing()
      const acknowledgement = this.#accumulator.acknowledgement()
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
  close(finalMessage?: MessageFor<TBody>): Promise<CloseResult> {
    const state = this.#state
    let last: MessageSnapshot | undefined
    try {
      if (finalMessage !== undefined) {
        last = checkMessage(
          takeSnapshot(matchingNow(this.#endpoint, finalMessage)),
          this.#streamName,
        )
      }
    } catch (error) {
      return quiet(Promise.reject(asError(error)))
    }
    if (state.kind === "closing" || state.kind === "closed") {
      const [before, now] = [state.last, last].map((message) => message && String(bytesOf(message)))
      if (last === undefined || now === before) return state.closed
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
        return quiet(state.closed.catch(() => this.detach({ signal })).then(() => undefined))
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
    this.#restarting ??= quiet(this.#restart())
    return this.#restarting
  }

  /**
   * After a failure: the messages that were not acknowledged, serialized, in order. The first
   * `indeterminateCount` of them may be stored although no response says so. Empty before.
   * `takeOver` makes a producer that sends the others.
   */
  undelivered(): readonly Uint8Array[] {
    if (this.#state.kind !== "failed") return []
    const sealed = this.#sender.unsettled.flatMap(({ content }) => messagesOf(content))
    const held = this.#accumulator.held.map(({ message }) => bytesOf(message))
    return [...sealed, ...held, ...(this.#last === undefined ? [] : [bytesOf(this.#last)])]
  }

  protected get failure(): Error | undefined {
    return this.#state.kind === "failed" ? this.#state.error : undefined
  }

  /** Makes the first epoch a fresh one above another. Only before the first message. */
  protected beginAbove(epoch: number): void {
    this.#sender.beginAbove(epoch)
  }

  #take(body: unknown): boolean {
    this.#checkRequest()
    if (this.#accumulator.contentType === undefined) void this.#open()
    const isTaken = this.#accumulator.take(matchingNow(this.#endpoint, body))
    if (this.#connection.isIdle) this.#showConnection()
    return isTaken
  }

  /** @throws DurableStreamError if what is queued will not be sent any more */
  #checkRequest(): void {
    const error = this.#accumulator.lostError
    if (error === undefined) return
    this.#fail(error)
    throw error
  }

  /** An empty body is no message: its `send()` waits for those before it. */
  async #sendNothing(): Promise<IdempotentAppendResult> {
    await this.#settled(false)
    return { offset: this.lastSuccessfulOffset ?? "", duplicate: false }
  }

  /** Finds out the content type, once, if a message needs it. Resolves when that is over, well or not. */
  #open(): Promise<void> {
    // What a schema validates is JSON.
    const ofSchema = this.#endpoint.schema && "application/json"
    const { contentType: known = ofSchema } = this.#handle
    if (known !== undefined) this.#use(known)
    if (this.#accumulator.contentType !== undefined) return Promise.resolve()
    this.#opening ??= this.#findType().then(
      (found) => this.#use(found ?? this.#accumulator.guessContentType(), found === undefined),
      (error: unknown) => this.#fail(asError(error)),
    )
    return this.#opening
  }

  #findType(isNeeded = false): Promise<string | undefined> {
    const { deliveryTimeoutMs } = this.#settings
    const { signal } = this.#controller
    const onRetry = (notice: RetryNotice) => this.#onRetry(notice)
    return findContentType(this.#endpoint, deliveryTimeoutMs, signal, isNeeded, onRetry)
  }

  async #askAgain(): Promise<string | undefined> {
    // If the server does not tell, its rejection says more than the failed HEAD.
    const found = await this.#findType(true).catch(() => undefined)
    const guess = mediaType(this.#accumulator.contentType)
    if (found === undefined || mediaType(found) === guess) return undefined
    this.#push(this.#accumulator.seal())
    this.#accumulator.open(found)
    return found
  }

  #use(contentType: string, isGuessed = false): void {
    if (this.#accumulator.contentType !== undefined || this.#state.kind === "failed") return
    this.#connection.noteSuccess()
    this.#showConnection()
    this.#sender.contentType = contentType
    this.#sender.isTypeGuessed = isGuessed
    for (const held of this.#accumulator.open(contentType)) {
      const { message, error, acknowledgement } = held
      if (error === undefined) acknowledgement?.resolve(this.#sendNothing())
      else {
        const reject = (reason: Error) => rejectHeld(held, reason)
        this.#rejectMessage(bytesOf(message), this.#sender.lastIndex, error, reject)
      }
    }
    this.#sendDue()
  }

  #push(content: BatchContent | undefined): void {
    if (content === undefined) return
    this.#sender.push(content)
    if (this.#connection.isIdle) this.#showConnection()
  }

  /** Seals late: while the window is full, the open batch grows rather than wait as one of many small ones. */
  #sendDue(): void {
    if (this.#accumulator.isDue && this.#sender.hasRoom) this.#push(this.#accumulator.seal())
  }

  async #flush(): Promise<void> {
    this.#checkRequest()
    if (this.#accumulator.held.length > 0) await this.#open()
    if (this.#state.kind === "failed") throw this.#state.error
    this.#accumulator.makeDue()
    this.#sendDue()
    return this.#settled()
  }

  #settled(isReport = true): Promise<void> {
    const newestIndex = this.#sender.lastIndex + (this.#accumulator.count > 0 ? 1 : 0)
    const settled = this.#flushes.wait(newestIndex, isReport)
    this.#flushes.settle(this.#firstUnsettled)
    return settled
  }

  async #restart(): Promise<void> {
    if (this.#accumulator.held.length > 0) await this.#open()
    this.#push(this.#accumulator.seal())
    this.#sender.hold()
    let isFlushed = false
    try {
      await this.#flush()
      isFlushed = true
    } finally {
      this.#restarting = undefined
      this.#sender.release(isFlushed)
      this.#sendDue()
    }
  }

  /** Always after the call that started it has set the state. */
  async #close(last: MessageSnapshot | undefined): Promise<CloseResult> {
    await Promise.resolve()
    try {
      const offset = await this.#sendClosure(last)
      const finalOffset = offset || (await findTail(this.#endpoint, this.#controller.signal))
      if (this.#state.kind === "closing") this.#end({ ...this.#state, kind: "closed" })
      return { finalOffset }
    } catch (error) {
      if (this.#state.kind === "closing") this.#state = { kind: "open" }
      throw error
    }
  }

  async #sendClosure(last: MessageSnapshot | undefined): Promise<Offset> {
    this.#last = last
    try {
      await this.#flush()
      if (last !== undefined) await this.#open()
      if (this.#state.kind === "failed") throw this.#state.error
      const { content, closed } = this.#accumulator.sealClosing(last)
      this.#last = undefined
      this.#push(content)
      return (await closed).offset
    } catch (error) {
      // Without a failure the final message is the caller's again.
      if (this.state !== "failed") this.#last = undefined
      throw error
    }
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

  #onRetry(notice: RetryNotice): void {
    this.#connection.noteRetry(notice)
    this.#showConnection()
    this.#settings.observe({ kind: "retry", ...notice })
  }

  #showConnection(): void {
    this.#connection.update(this.#state, this.#firstUnsettled === Infinity)
  }

  #onAcknowledged({ content, index }: Batch, result: IdempotentAppendResult): void {
    this.#connection.noteSuccess()
    if (result.offset !== "" && index >= (this.#lastOffset?.index ?? 0)) {
      this.#lastOffset = { index, offset: result.offset }
    }
    settleContent(content, { result })
    this.#accumulator.buffer.remove(messageBytesOf(content))
    this.#showConnection()
    this.#settings.observe({ kind: "acknowledged", messageCount: content.ends.length, ...result })
  }

  /**
   * Reports a message that was rejected.
   *
   * @param reject - rejects its `send()` call
   * @param isReported - whether the call that waits for it reports it anyway: a close does
   */
  #rejectMessage(
    message: Uint8Array,
    index: number,
    cause: Error,
    reject: (error: Error) => void,
    isReported = false,
  ): void {
    const error = rejectedMessageError(this.#streamName, message, cause)
    reject(error)
    this.#flushes.reject(index, error, isReported)
    this.#accumulator.buffer.remove(message.byteLength)
    this.#settings.onError(error)
  }

  #fail(error: Error): void {
    if (["failed", "closed", "detached"].includes(this.state)) return
    this.#end({ kind: "failed", error })
    // If no message is lost, the caller is notified otherwise: of a closure by close(), of an abort by the signal. Handlers
    // reconnect (the Yjs provider's does), which a rejected closure must not make them do.
    if (this.undelivered().length > 0) this.#settings.onError(error)
    for (const { content } of this.#sender.unsettled) settleContent(content, { error })
    for (const held of this.#accumulator.held) rejectHeld(held, error)
    this.#flushes.fail(error)
    this.#accumulator.buffer.fail(error)
  }

  /** Nothing is left of a producer that has ended: no timer, no listener, no request. */
  #end(state: ProducerState): void {
    this.#state = state
    this.#sender.stop()
    this.#push(this.#accumulator.seal())
    this.#accumulator.makeDue()
    this.#controller.abort()
    this.#showConnection()
  }

  /** The index of the first batch that is not settled; the open one has the next. */
  get #firstUnsettled(): number {
    const { unsettled, lastIndex } = this.#sender
    return unsettled[0]?.index ?? (this.#accumulator.count > 0 ? lastIndex + 1 : Infinity)
  }

  #refuse(call: string): Promise<never> {
    return quiet(Promise.reject(this.#endedError(call)))
  }

  #endedError(call: string): Error {
    if (this.failure !== undefined) return this.failure
    return new DurableStreamError(
      `${call} came after the producer of ${this.#streamName} was told to end (it is ${this.state}). Make a new one.`,
      "ALREADY_CLOSED",
    )
  }
}
