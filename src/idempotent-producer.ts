import type { DurableStream } from "./durable-stream.ts"
import { DurableStreamError } from "./errors/durable-stream-error.ts"
import { endpointOf } from "./http/endpoint-of.ts"
import type { Endpoint } from "./http/endpoint.ts"
import { asyncDispose } from "./platform/async-dispose.ts"
import type { Offset } from "./protocol/offset.ts"
import type { IdempotentAppendResult } from "./producer/receipts.ts"
import { ProducerCore } from "./producer/producer-core.ts"
import type { IdempotentProducerOptions } from "./producer/producer-options.ts"
import type { ProducerState } from "./producer/producer-state.ts"
import type { CloseResult } from "./write/write-options.ts"

/**
 * Writes messages to a stream so that each is stored exactly once and in order, whatever the network does: in batches,
 * several under way side by side, tried again until the server has acknowledged them.
 *
 * - **Stored once.** 5xx, 429, network failures and lost answers are tried again with the same `(epoch, seq)` and the same
 *   bytes, which the server stores once, until `deliveryTimeoutMs`.
 * - **Fenced.** Where another producer with the same id has taken a higher epoch, this one fails with `StaleEpochError`; with
 *   `autoClaim` it takes the next epoch and sends again what is not stored. Where nobody knows what is stored it fails all
 *   the same, rather than store a message twice. A producer that was fenced ten times within an hour gives up.
 * - **Refused.** A batch that the server refuses (400, 413) is split until the message at fault is found. That one is left out
 *   and told of: to `onError`, to its `send()`, to the next `flush()`, each time with `details.message`, its bytes. The
 *   others go on, in a new epoch: read `epoch` before you store it.
 * - **Failed.** What cannot be delivered fails the producer: `onError` is called once, unless no message is lost; `flush`,
 *   `send` and `close` reject with the error, `append` throws it, `undelivered()` has what was not acknowledged, in order.
 *   Nothing is dropped in silence.
 *
 * Use one producer for an id at a time. One that takes over from a process that is gone needs a higher `epoch`, or
 * `autoClaim`. No promise of these methods raises an unhandled rejection.
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
  readonly #core: ProducerCore

  /**
   * Makes a producer. No request is made before the first message. Where the handle does not know the stream's content type
   * by then, one HEAD finds it out; what is appended meanwhile is checked afterwards.
   *
   * @param stream - the handle; its headers, params, fetch, signal and backoff hold for every request
   * @param producerId - identifies this writer to the server; not empty
   * @param options - see {@link IdempotentProducerOptions}
   * @throws DurableStreamError `BAD_REQUEST` that names the option and its value; InvalidSignalError
   */
  constructor(stream: DurableStream, producerId: string, options?: IdempotentProducerOptions) {
    this.#core = new ProducerCore({
      endpoint: endpointOfHandle(stream),
      producerId,
      options,
      contentType: () => stream.contentType,
    })
  }

  /**
   * Queues a message. It is copied: what happens to `body` later does not reach it.
   *
   * @param body - on a JSON stream any value that JSON can express, where a string or bytes are exactly one value serialized
   *   already; on any other a string or bytes, not empty
   * @throws DurableStreamError `PARSE_ERROR` or `BAD_REQUEST` for what is no message, `BUFFER_FULL` where
   *   `maxBufferedBytes` would be exceeded, `ALREADY_CLOSED` after `close` or `detach`; nothing is queued then
   * @throws what the producer failed with
   */
  append(body: unknown): void {
    this.#core.append(body)
  }

  /**
   * Queues a message, as `append` does, and tells what became of it. Cheap enough for every message: it shares its request
   * with others all the same. Where its batch is refused and split, it is told once the whole batch is settled.
   *
   * @returns once the message is stored
   * @throws what `append` throws; what the producer failed with; the error of the message where it was refused
   */
  send(body: unknown): Promise<IdempotentAppendResult> {
    return this.#core.send(body)
  }

  /**
   * Pending while more than `highWaterMarkBytes` are not acknowledged. Awaiting it before each `append` bounds the memory
   * that a slow server costs. Rejects where the producer has failed.
   */
  get ready(): Promise<void> {
    return this.#core.ready
  }

  /**
   * Sends at once what waits for company.
   *
   * @returns once everything queued so far is settled
   * @throws what the producer failed with; where a message was left out that no earlier `flush` told of, its error
   */
  flush(): Promise<void> {
    return this.#core.flush()
  }

  /**
   * Delivers everything, then closes the stream for good: readers get to its end. Called again it gives the same promise.
   * A stream that somebody else has closed already is closed as well, unless there is a last message.
   *
   * @param finalMessage - stored together with the closure, or not at all
   * @throws StreamClosedError where something was left to store and the stream was closed
   * @throws as `flush` does; where a message was left out, the stream is not closed and `close` can be called again
   */
  close(finalMessage?: unknown): Promise<CloseResult> {
    return this.#core.close(finalMessage)
  }

  /**
   * Delivers everything, then ends the producer. The stream stays open.
   *
   * @throws as `flush` does; the producer has ended all the same
   */
  detach(): Promise<void> {
    return this.#core.detach()
  }

  /**
   * Delivers everything queued so far, then goes on in the next epoch, which fences other producers with this id. What is
   * queued meanwhile belongs to the new epoch.
   *
   * @throws as `flush` does; the epoch stays as it is then
   */
  restart(): Promise<void> {
    return this.#core.restart()
  }

  /**
   * After a failure: the messages that were not acknowledged, serialized, in order, so that another producer can take over.
   * The first {@link IdempotentProducer.indeterminateCount} of them may be stored although no answer says so. Empty before.
   */
  undelivered(): readonly Uint8Array[] {
    return this.#core.undelivered()
  }

  /** As {@link IdempotentProducer.detach}, for `await using`. */
  [asyncDispose](): Promise<void> {
    return this.#core.detach()
  }

  /** The epoch of the newest batch. It grows by claims, by `restart`, and where a refused batch was split. */
  get epoch(): number {
    return this.#core.flow.epoch
  }

  /** The sequence number of the next batch in this epoch. */
  get nextSeq(): number {
    return this.#core.flow.nextSeq
  }

  /** How many messages no request has carried yet. */
  get pendingCount(): number {
    return this.#core.flow.pendingCount
  }

  /** How many batches were sent, or wait to be sent again, and are not settled. */
  get inFlightCount(): number {
    return this.#core.flow.inFlightCount
  }

  /** How many bytes of messages are not acknowledged. */
  get bufferedBytes(): number {
    return this.#core.flow.bufferedBytes
  }

  /** How many of the `undelivered()` messages, counted from the first, may be stored although no answer says so. */
  get indeterminateCount(): number {
    return this.#core.flow.indeterminateCount
  }

  /** Where the stream went on after the newest acknowledged batch; undefined before there is one. */
  get lastSuccessfulOffset(): Offset | undefined {
    return this.#core.flow.lastOffset
  }

  /** What the producer is at. `closed`, `detached` and `failed` are final. */
  get state(): ProducerState["kind"] {
    return this.#core.state
  }
}

function endpointOfHandle(stream: unknown): Endpoint {
  const endpoint = endpointOf(stream)
  if (endpoint !== undefined) return endpoint
  throw new DurableStreamError(
    "The argument stream must be a DurableStream: new IdempotentProducer(stream, producerId).",
    "BAD_REQUEST",
  )
}
