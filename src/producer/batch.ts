import type { Receipts } from "./receipts.ts"

/** What identifies a batch to the server, together with the producer's id. */
export interface BatchNumber {
  readonly epoch: number
  readonly seq: number
}

/** What a {@link Batch} is made of. */
export interface BatchContent {
  /** The body of the request. Never changed once it is sealed. */
  readonly body: Uint8Array
  /** Where each message ends in the body. */
  readonly ends: readonly number[]
  /** Whether the messages stand in a JSON array: a byte in front of each, one after the last. */
  readonly isArray: boolean
  readonly receipts: Receipts
  /** Whether the stream is closed with this batch. Such a batch may be without messages. */
  readonly closesStream: boolean
}

const OPEN = "[".charCodeAt(0)
const CLOSE = "]".charCodeAt(0)

/** Messages that go out in one request, sealed: for every attempt, under whatever number, the same bytes. */
export class Batch {
  readonly body: Uint8Array
  readonly closesStream: boolean
  /** Those who wait for its messages. */
  readonly receipts: Receipts
  readonly #ends: readonly number[]
  readonly #isArray: boolean

  constructor({ body, ends, isArray, receipts, closesStream }: BatchContent) {
    this.body = body
    this.closesStream = closesStream
    this.#ends = ends
    this.#isArray = isArray
    this.receipts = receipts
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

  /** The same messages, stored together with the closure of the stream or not at all. */
  closing(receipts: Receipts): Batch {
    return new Batch({
      body: this.body,
      ends: this.#ends,
      isArray: this.#isArray,
      receipts,
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
      receipts: this.receipts.part(from, to),
      closesStream: this.closesStream && to === this.count,
    })
  }

  #startOf(index: number): number {
    const frame = this.#isArray ? 1 : 0
    return index === 0 ? frame : (this.#ends[index - 1] ?? 0) + frame
  }
}
