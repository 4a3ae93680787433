import type { Offset } from "../protocol/offset.ts"
import type { Deferred } from "./deferred.ts"

/** What became of a message that was stored. */
export interface IdempotentAppendResult {
  /**
   * Where the stream went on after the batch that carried the message. An empty string where the server did not say,
   * as it may for a duplicate.
   */
  offset: Offset
  /** True where an earlier attempt had stored the message already and its answer was lost. It is stored once. */
  duplicate: boolean
}

/** What identifies a batch to the server, together with the producer's id. */
export interface BatchNumber {
  readonly epoch: number
  readonly seq: number
}

/** Somebody who waits for one message of a batch. */
export interface Waiter {
  /** Which message of the batch. */
  readonly index: number
  readonly deferred: Deferred<IdempotentAppendResult>
}

/** What a {@link Batch} is made of. */
export interface BatchContent {
  /** The body of the request. Never changed once it is sealed. */
  readonly body: Uint8Array
  /** Where each message ends in the body. */
  readonly ends: readonly number[]
  /** Whether the messages stand in a JSON array: a byte in front of each, one after the last. */
  readonly isArray: boolean
  readonly waiters: readonly Waiter[]
  /** Whether the stream is closed with this batch. Such a batch may be without messages. */
  readonly closesStream: boolean
}

const OPEN = "[".charCodeAt(0)
const CLOSE = "]".charCodeAt(0)

/** Messages that go out in one request, sealed: for every attempt, under whatever number, the same bytes. */
export class Batch {
  readonly body: Uint8Array
  readonly closesStream: boolean
  readonly #ends: readonly number[]
  readonly #isArray: boolean
  readonly #waiters: readonly Waiter[]

  constructor({ body, ends, isArray, waiters, closesStream }: BatchContent) {
    this.body = body
    this.closesStream = closesStream
    this.#ends = ends
    this.#isArray = isArray
    this.#waiters = waiters
  }

  /** How many messages it carries. */
  get count(): number {
    return this.#ends.length
  }

  /** The bytes of its messages, without what stands between them. */
  get messageBytes(): number {
    return this.#isArray ? this.body.byteLength - this.count - 1 : this.body.byteLength
  }

  /** The messages, each a view of the body. */
  messages(): Uint8Array[] {
    return this.#ends.map((end, index) => this.body.subarray(this.#startOf(index), end))
  }

  /** Settles everybody who waits for a message. One result serves them all. */
  resolve(result: IdempotentAppendResult): void {
    for (const { deferred } of this.#waiters) deferred.resolve(result)
  }

  reject(error: unknown): void {
    for (const { deferred } of this.#waiters) deferred.reject(error)
  }

  /** The same messages, stored together with the closure of the stream or not at all. */
  closing(waiters: readonly Waiter[]): Batch {
    return new Batch({
      body: this.body,
      ends: this.#ends,
      isArray: this.#isArray,
      waiters,
      closesStream: true,
    })
  }

  /** The two halves of a batch of at least two messages, to be sent under new numbers. */
  split(): [Batch, Batch] {
    const middle = this.count >> 1
    return [this.#part(0, middle), this.#part(middle, this.count)]
  }

  #part(from: number, to: number): Batch {
    const frame = this.#isArray ? 1 : 0
    const start = this.#startOf(from) - frame
    const ends = this.#ends.slice(from, to)
    const body = this.body.slice(start, (ends.at(-1) ?? start) + frame)
    if (this.#isArray) {
      body[0] = OPEN
      body[body.length - 1] = CLOSE
    }
    return new Batch({
      body,
      ends: ends.map((end) => end - start),
      isArray: this.#isArray,
      waiters: this.#waiters
        .filter(({ index }) => index >= from && index < to)
        .map(({ index, deferred }) => ({ index: index - from, deferred })),
      closesStream: this.closesStream && to === this.count,
    })
  }

  #startOf(index: number): number {
    const frame = this.#isArray ? 1 : 0
    return index === 0 ? frame : (this.#ends[index - 1] ?? 0) + frame
  }
}
