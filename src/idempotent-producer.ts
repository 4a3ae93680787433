import type { DurableStream } from "./durable-stream.ts"
import { DurableStreamError } from "./errors/durable-stream-error.ts"
import { StaleEpochError } from "./errors/stale-epoch-error.ts"
import { endpointOf } from "./http/endpoint.ts"
import { supportAsyncDispose } from "./platform/async-dispose.ts"
import type { IdempotentProducerOptions } from "./producer/producer-options.ts"
import { Producer } from "./producer/producer.ts"

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
export class IdempotentProducer<TBody = unknown> extends Producer<TBody> {
  readonly #arguments: readonly [DurableStream<unknown, TBody>, string, IdempotentProducerOptions]
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
  constructor(
    stream: DurableStream<unknown, TBody>,
    producerId: string,
    options: IdempotentProducerOptions = {},
  ) {
    const endpoint = endpointOf(stream)
    if (endpoint === undefined) {
      throw new DurableStreamError(
        "The argument stream must be a DurableStream: new IdempotentProducer(stream, producerId).",
        "BAD_REQUEST",
      )
    }
    super(endpoint, stream, producerId, options)
    supportAsyncDispose(this)
    this.#arguments = [stream, producerId, options]
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
  static takeOver<TBody>(
    failed: IdempotentProducer<TBody>,
    options: Omit<IdempotentProducerOptions, "epoch" | "autoClaim"> = {},
  ): IdempotentProducer<TBody> {
    const { failure } = failed
    const [stream, producerId, givenOptions] = failed.#arguments
    if (failure === undefined) {
      throw new DurableStreamError(
        `Only a failed producer can be taken over; this one is ${failed.state}.`,
        "BAD_REQUEST",
      )
    }
    const successor = new IdempotentProducer(stream, producerId, {
      ...givenOptions,
      signal: undefined,
      ...options,
      epoch: undefined,
      autoClaim: true,
    })
    const currentEpoch = failure instanceof StaleEpochError ? failure.currentEpoch : 0
    successor.beginAbove(Math.max(currentEpoch, failed.epoch))
    successor.#indeterminateBefore = failed.indeterminate()
    for (const message of failed.undelivered().slice(failed.indeterminateCount)) {
      // It is serialized, as every producer takes it.
      successor.append(message)
    }
    return successor
  }

  /**
   * The messages that may be stored although no response says so: after a failure the first of `undelivered()`, and in a
   * producer made by `takeOver` those of the failed one before.
   */
  indeterminate(): readonly Uint8Array[] {
    const own = this.undelivered().slice(0, this.indeterminateCount)
    return [...this.#indeterminateBefore, ...own]
  }

  /** As {@link IdempotentProducer.detach}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.detach()
  }

  /** Keeps Vue from wrapping the producer in a proxy, which cannot reach private members. */
  get [Symbol.toStringTag](): string {
    return "IdempotentProducer"
  }

  /** A producer is not iterable. The key keeps valtio from wrapping it in a proxy. */
  get [Symbol.iterator](): undefined {
    return undefined
  }
}
