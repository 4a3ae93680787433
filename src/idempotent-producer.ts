import type { DurableStream } from "./durable-stream.ts"
import { DurableStreamError } from "./errors/durable-stream-error.ts"
import { StaleEpochError } from "./errors/stale-epoch-error.ts"
import { endpointOf } from "./http/endpoint.ts"
import { supportAsyncDispose } from "./platform/async-dispose.ts"
import type { Offset } from "./protocol/offset.ts"
import type { IdempotentAppendResult } from "./producer/acknowledgements.ts"
import { Producer, type ProducerState, type WaitOptions } from "./producer/producer.ts"
import type { IdempotentProducerOptions } from "./producer/producer-options.ts"
import type { CloseResult } from "./write/write-options.ts"

/**
 * Writes messages to a stream so that each is stored exactly once and in order, regardless of the network: in batches,
 * several in flight at a time, retried until the server has acknowledged them.
 *
 * - **Stored once.** 5xx, 429, network failures and lost responses are retried with the same `(epoch, seq)` and the same
 *   bytes, which the server stores once, until `deliveryTimeoutMs`.
 * - **Fenced.** If another producer with the same id has a higher epoch, this one fails with `StaleEpochError`. With
 *   `autoClaim` it bumps its epoch and sends what is not stored. If a batch is indeterminate it fails nevertheless, rather
 *   than store a message twice. A producer that was fenced ten times within an hour gives up.
 * - **Rejected.** A batch that the server rejects (400, 413, 422) is split until the message at fault is found. That one is
 *   reported: to `onError`, to its `send()`, to the next `flush()`, each time with `details.message`, its bytes. The others
 *   go through, in a new epoch: read `epoch` before you store it. An indeterminate batch is not split: the producer fails.
 * - **Failed.** What cannot be delivered fails the producer: `onError` is called once, unless no message is lost; `flush`,
 *   `send` and `close` reject with the error, `append` throws it, and `undelivered()` has what was not acknowledged, in order.
 *   Nothing is dropped silently.
 *
 * Use one producer for an id at a time, with `autoClaim` and without an `epoch`: each then has an epoch of its own. A pair of
 * id and explicit epoch belongs to one producer, from its start to its end. No promise of these methods raises an
 * unhandled rejection.
 *
 * In Cloudflare Workers, create a producer within the request that uses it, and await its `detach()` there or in
 * `ctx.waitUntil`: when a request is over, its timers and connections are gone, and no other request can wait for them.
 *
 * @example
 * ```ts
 * import { DurableStream, IdempotentProducer } from "@durable-streams/client"
 *
 * const orders = await DurableStream.connect({ url: "https://streams.example.com/orders" })
 * const producer = new IdempotentProducer(orders, "checkout-1", { autoClaim: true })
 * for (let id = 0; id < 10_000; id++) {
 *   await producer.ready
 *   producer.append({ id })
 * }
 * await producer.detach()
 * ```
 */
export class IdempotentProducer {
  readonly #stream: DurableStream
  readonly #producerId: string
  readonly #options: IdempotentProducerOptions
  readonly #producer: Producer
  #indeterminateBefore: readonly Uint8Array[] = []

  /**
   * Makes a producer. No request is made before the first message. If the handle does not know the stream's content type by
   * then, one HEAD determines it; what is appended meanwhile is checked afterwards.
   *
   * @param stream - the handle; its headers, params, fetch, signal and backoff apply to every request
   * @param producerId - identifies this writer to the server; not empty
   * @param options - see {@link IdempotentProducerOptions}
   * @throws DurableStreamError `BAD_REQUEST` that names the option and its value; InvalidSignalError
   */
  constructor(stream: DurableStream, producerId: string, options: IdempotentProducerOptions = {}) {
    const endpoint = endpointOf(stream)
    if (endpoint === undefined) {
      throw new DurableStreamError(
        "The argument stream must be a DurableStream: new IdempotentProducer(stream, producerId).",
        "BAD_REQUEST",
      )
    }
    supportAsyncDispose(this)
    this.#stream = stream
    this.#producerId = producerId
    this.#options = options
    const contentType = () => stream.contentType
    this.#producer = new Producer({ endpoint, producerId, options, contentType })
  }

  /**
   * Makes the successor of a failed producer, with the same stream and id. It has a fresh epoch above every epoch that the
   * failed one was fenced by or used, and everything that is certainly not stored is queued in it, in order. What may be
   * stored is not sent: {@link IdempotentProducer.indeterminate} has it. Look at the stream, then append what is missing.
   *
   * @param failed - a producer with the state `failed`
   * @param options - replace those of the failed one; its `signal` is not taken over
   * @throws DurableStreamError `BAD_REQUEST` if the producer has not failed
   */
  static takeOver(
    failed: IdempotentProducer,
    options: Omit<IdempotentProducerOptions, "epoch" | "autoClaim"> = {},
  ): IdempotentProducer {
    const { failure } = failed.#producer
    if (failure === undefined) {
      throw new DurableStreamError(
        `Only a failed producer can be taken over; this one is ${failed.state}.`,
        "BAD_REQUEST",
      )
    }
    const successor = new IdempotentProducer(failed.#stream, failed.#producerId, {
      ...failed.#options,
      signal: undefined,
      ...options,
      epoch: undefined,
      autoClaim: true,
    })
    const currentEpoch = failure instanceof StaleEpochError ? failure.currentEpoch : 0
    successor.#producer.startAbove(Math.max(currentEpoch, failed.epoch))
    successor.#indeterminateBefore = failed.indeterminate()
    for (const message of failed.undelivered().slice(failed.indeterminateCount)) {
      successor.append(message)
    }
    return successor
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
    this.#producer.append(body)
  }

  /**
   * Queues a message, as `append` does, and reports its acknowledgement. Cheap enough for every message: it shares its request
   * with others all the same. If its batch is rejected and split, it settles once the whole batch is settled.
   *
   * @returns once the message is stored; for an empty body, once the messages ahead of it are settled
   * @throws what `append` throws; what the producer failed with; the error of the message if it was rejected
   */
  send(body: unknown): Promise<IdempotentAppendResult> {
    return this.#producer.send(body)
  }

  /**
   * Pending while more than `highWaterMarkBytes` are not acknowledged. Awaiting it before each `append` bounds the memory
   * that a slow server costs. Rejects if the producer has failed.
   */
  get ready(): Promise<void> {
    return this.#producer.ready
  }

  /**
   * Sends at once what lingers.
   *
   * @param options - `signal` ends the wait; the producer goes on
   * @returns once everything queued so far is settled
   * @throws what the producer failed with; if a message was rejected that no earlier `flush` reported, its error
   */
  flush(options?: WaitOptions): Promise<void> {
    return this.#producer.flush(options)
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
    return this.#producer.close(finalMessage)
  }

  /**
   * Delivers everything, then ends the producer. The stream stays open.
   *
   * @param options - `signal` fails the producer if it is not done by then: `undelivered()` has the rest
   * @throws as `flush` does; the producer has ended all the same
   */
  detach(options?: WaitOptions): Promise<void> {
    return this.#producer.detach(options)
  }

  /**
   * Delivers everything queued so far, then continues in the next epoch, which fences other producers with this id. What is
   * queued meanwhile belongs to the new epoch.
   *
   * @throws as `flush` does; the epoch does not change then
   */
  restart(): Promise<void> {
    return this.#producer.restart()
  }

  /**
   * After a failure: the messages that were not acknowledged, serialized, in order. The first
   * {@link IdempotentProducer.indeterminateCount} of them may be stored although no response says so. Empty before.
   * {@link IdempotentProducer.takeOver} makes a producer that sends the others.
   */
  undelivered(): readonly Uint8Array[] {
    return this.#producer.undelivered()
  }

  /**
   * The messages that may be stored although no response says so: after a failure the first of `undelivered()`, and in a
   * producer made by `takeOver` those of the failed one before.
   */
  indeterminate(): readonly Uint8Array[] {
    const own = this.#producer.undelivered().slice(0, this.indeterminateCount)
    return [...this.#indeterminateBefore, ...own]
  }

  /** As {@link IdempotentProducer.detach}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#producer.detach()
  }

  /** Keeps Vue from wrapping the producer in a proxy, which cannot reach private members. */
  get [Symbol.toStringTag](): string {
    return "IdempotentProducer"
  }

  /** A producer is not iterable. The key keeps valtio from wrapping it in a proxy. */
  get [Symbol.iterator](): undefined {
    return undefined
  }

  /** The epoch of the newest batch. It grows by bumps, by `restart`, and when a rejected batch is split. */
  get epoch(): number {
    return this.#producer.epoch
  }

  /** The sequence number of the next batch in this epoch. */
  get nextSeq(): number {
    return this.#producer.nextSeq
  }

  /** How many messages no request has carried yet. */
  get pendingCount(): number {
    return this.#producer.pendingCount
  }

  /** How many batches were sent and are not settled. */
  get inFlightCount(): number {
    return this.#producer.inFlightCount
  }

  /** How many bytes of messages are not acknowledged. */
  get bufferedBytes(): number {
    return this.#producer.bufferedBytes
  }

  /** How many of the `undelivered()` messages, counted from the first, may be stored although no response says so. */
  get indeterminateCount(): number {
    return this.#producer.indeterminateCount
  }

  /** The offset after the newest acknowledged batch; undefined before there is one. */
  get lastSuccessfulOffset(): Offset | undefined {
    return this.#producer.lastOffset
  }

  /** `closed`, `detached` and `failed` are final. */
  get state(): ProducerState["kind"] {
    return this.#producer.state
  }
}
