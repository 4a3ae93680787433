import { Batch } from "./batch.ts"
import type { Message } from "./message.ts"
import { Receipts, type IdempotentAppendResult } from "./receipts.ts"

const OPEN = "[".charCodeAt(0)
const COMMA = ",".charCodeAt(0)
const CLOSE = "]".charCodeAt(0)

/** Text longer than this is encoded by itself: reserving the most it could take would waste more than a copy does. */
const LONG_TEXT = 16 * 1024
const LEAST_CAPACITY = 1024

const encoder = new TextEncoder()

/**
 * The batch that is still open. Each message is encoded straight into the body that will be sent: one encoding and one
 * copy a message, and no object for it beyond the place where it ends.
 */
export class BatchBuilder {
  readonly #isArray: boolean
  /** What stands in front of a message, and after the last one, in bytes. */
  readonly #frame: 0 | 1
  #limitBytes: number
  #buffer = new Uint8Array(0)
  #length = 0
  #ends: number[] = []
  #receipts = new Receipts()
  /** What the last batch took and an eighth: the next one is likely to take as much, and asks for room beyond its end. */
  #capacityHint = LEAST_CAPACITY

  /**
   * @param isArray - whether the messages are the elements of a JSON array
   * @param limitBytes - what a body of several messages never exceeds, brackets and commas included
   */
  constructor(isArray: boolean, limitBytes: number) {
    this.#isArray = isArray
    this.#frame = isArray ? 1 : 0
    this.#limitBytes = limitBytes
  }

  get count(): number {
    return this.#ends.length
  }

  /** Makes batches smaller from now on, down to one message each. */
  lowerLimit(limitBytes: number): void {
    this.#limitBytes = Math.max(1, Math.min(this.#limitBytes, limitBytes))
  }

  /**
   * Adds a message, whatever its size where it is the first.
   *
   * @returns its size in bytes, or undefined where it does not fit beside what is there: seal first
   */
  add(message: Message): number | undefined {
    const start = this.#length + this.#frame
    const room = this.count === 0 ? Infinity : this.#limitBytes - this.#frame - start
    const size =
      typeof message === "string" && message.length <= LONG_TEXT
        ? this.#encode(message, start, room)
        : this.#copy(typeof message === "string" ? encoder.encode(message) : message, start, room)
    if (size === undefined) return undefined
    if (this.#isArray) this.#buffer[this.#length] = this.count === 0 ? OPEN : COMMA
    this.#length = start + size
    this.#ends.push(this.#length)
    return size
  }

  /** Promises what becomes of the message that was added last. */
  receipt(): Promise<IdempotentAppendResult> {
    return this.#receipts.add(this.count - 1)
  }

  /** Takes out what is there as a batch that never changes again. */
  seal(): Batch {
    const length = this.#length + this.#frame
    if (this.#isArray) this.#buffer[this.#length] = CLOSE
    const view = this.#buffer.subarray(0, length)
    // A batch can wait for long: it keeps no more memory than it needs.
    const body = this.#buffer.byteLength - length > length / 8 ? view.slice() : view
    const batch = new Batch({
      body,
      ends: this.#ends,
      isArray: this.#isArray,
      receipts: this.#receipts,
      closesStream: false,
    })
    this.#capacityHint = Math.max(
      LEAST_CAPACITY,
      Math.min(length + (length >> 3), this.#limitBytes),
    )
    this.#buffer = new Uint8Array(0)
    this.#length = 0
    this.#ends = []
    this.#receipts = new Receipts()
    return batch
  }

  #encode(text: string, start: number, room: number): number | undefined {
    if (text.length > room) return undefined
    // No character takes more than three bytes a UTF-16 unit.
    const most = Math.min(text.length * 3, room)
    this.#reserve(start + most + this.#frame)
    const { read, written } = encoder.encodeInto(text, this.#buffer.subarray(start, start + most))
    return read < text.length ? undefined : written
  }

  #copy(bytes: Uint8Array, start: number, room: number): number | undefined {
    if (bytes.byteLength > room) return undefined
    this.#reserve(start + bytes.byteLength + this.#frame)
    this.#buffer.set(bytes, start)
    return bytes.byteLength
  }

  #reserve(capacity: number): void {
    const { byteLength } = this.#buffer
    if (capacity <= byteLength) return
    const grown = Math.max(capacity, this.#capacityHint, Math.min(byteLength * 2, this.#limitBytes))
    const buffer = new Uint8Array(grown)
    buffer.set(this.#buffer.subarray(0, this.#length))
    this.#buffer = buffer
  }
}

/** A batch that closes its stream, and what becomes of it. */
export interface ClosingBatch {
  readonly batch: Batch
  readonly closed: Promise<IdempotentAppendResult>
}

/**
 * Makes the batch that closes the stream.
 *
 * @param message - the last message, if there is one
 */
export function sealClosingBatch(message: Message | undefined, isArray: boolean): ClosingBatch {
  const receipts = new Receipts()
  const closed = receipts.add(0)
  if (message === undefined) {
    const body = new Uint8Array(0)
    return {
      batch: new Batch({ body, ends: [], isArray: false, receipts, closesStream: true }),
      closed,
    }
  }
  const builder = new BatchBuilder(isArray, Infinity)
  builder.add(message)
  return { batch: builder.seal().closing(receipts), closed }
}
