import { encodeUtf8 } from "../platform/text.ts"
import { isJsonContentType } from "../protocol/content-type.ts"
import { encodeMessage, type MessageContent } from "../protocol/message.ts"
import { Acknowledgements, type IdempotentAppendResult } from "./acknowledgements.ts"

const OPEN = "[".charCodeAt(0)
const COMMA = ",".charCodeAt(0)
const CLOSE = "]".charCodeAt(0)

/** Text longer than this is encoded by itself: reserving the most it could take would waste more than a copy does. */
const LONG_TEXT = 16 * 1024
const LEAST_CAPACITY = 1024

let encoder: TextEncoder | undefined

/** What a {@link BatchContent} is made of. */
interface BatchContentFields {
  readonly body: Uint8Array
  /** Where each message ends in the body. */
  readonly ends: readonly number[]
  /** Whether the messages are in a JSON array: a byte before each, one after the last. */
  readonly isArray: boolean
  /** The `send()` calls that wait for its messages. */
  readonly acknowledgements: Acknowledgements
  /** Whether the stream is closed with it. Such a batch may be without messages. */
  readonly closesStream: boolean
}

/** The messages of one request, sealed: the same bytes for every attempt, under whatever number. */
export class BatchContent {
  readonly #fields: BatchContentFields

  constructor(fields: BatchContentFields) {
    this.#fields = fields
  }

  get body(): Uint8Array {
    return this.#fields.body
  }

  get acknowledgements(): Acknowledgements {
    return this.#fields.acknowledgements
  }

  get closesStream(): boolean {
    return this.#fields.closesStream
  }

  /** How many messages it has. */
  get count(): number {
    return this.#fields.ends.length
  }

  /** The bytes of its messages, without what is between them. */
  get messageBytes(): number {
    return this.#fields.isArray ? this.body.byteLength - this.count - 1 : this.body.byteLength
  }

  /** The messages, each a view of the body. */
  messages(): Uint8Array[] {
    return this.#fields.ends.map((end, index) => this.body.subarray(this.#startOf(index), end))
  }

  /** The two halves of a batch of at least two messages. */
  split(): [BatchContent, BatchContent] {
    const middle = this.count >> 1
    return [this.#part(0, middle), this.#part(middle, this.count)]
  }

  /**
   * The same messages for a stream of another content type.
   *
   * @returns undefined if they are no messages of such a stream, or nobody knows any more whether they are
   */
  recoded(contentType: string): BatchContent | undefined {
    const isArray = isJsonContentType(contentType)
    if (isArray === this.#fields.isArray || this.count === 0) return this
    // Strings and bytes are messages of every stream, other values are not; JSON is all that is left of both.
    if (!isArray) return undefined
    const builder = new BatchBuilder(true, Infinity)
    for (const message of this.messages()) {
      const content = encodeMessage(message, contentType)
      if (typeof content === "object" && "kind" in content) return undefined
      builder.add(message)
    }
    const { body, ends } = builder.seal().#fields
    return new BatchContent({ ...this.#fields, body, ends, isArray })
  }

  #part(from: number, to: number): BatchContent {
    const frame = this.#fields.isArray ? 1 : 0
    const start = this.#startOf(from) - frame
    const ends = this.#fields.ends.slice(from, to)
    const body = this.body.slice(start, (ends.at(-1) ?? start) + frame)
    if (this.#fields.isArray) {
      body[0] = OPEN
      body[body.length - 1] = CLOSE
    }
    return new BatchContent({
      ...this.#fields,
      body,
      ends: ends.map((end) => end - start),
      acknowledgements: this.acknowledgements.part(from, to),
      closesStream: this.closesStream && to === this.count,
    })
  }

  #startOf(index: number): number {
    const frame = this.#fields.isArray ? 1 : 0
    return index === 0 ? frame : (this.#fields.ends[index - 1] ?? 0) + frame
  }
}

/**
 * The batch that is still open. Each message is encoded straight into the body that will be sent: one encoding and one
 * copy a message, and no object for it beyond the place where it ends.
 */
export class BatchBuilder {
  readonly #isArray: boolean
  /** How many bytes are before each message, and after the last. */
  readonly #frame: 0 | 1
  readonly #limitItems: number
  #limitBytes: number
  #buffer = new Uint8Array(0)
  #length = 0
  #ends: number[] = []
  #acknowledgements = new Acknowledgements()
  /** What the last batch took and an eighth: the next one is likely to take as much, and asks for room beyond its end. */
  #capacityHint = LEAST_CAPACITY

  /**
   * @param isArray - whether the messages are the elements of a JSON array
   * @param limitBytes - what a body of several messages never exceeds, brackets and commas included
   * @param limitItems - how many messages a batch has at most
   */
  constructor(isArray: boolean, limitBytes: number, limitItems = Infinity) {
    this.#isArray = isArray
    this.#frame = isArray ? 1 : 0
    this.#limitBytes = limitBytes
    this.#limitItems = limitItems
  }

  get count(): number {
    return this.#ends.length
  }

  /** Whether nothing can be added: there is no reason to wait for more messages. */
  get isFull(): boolean {
    // A body of several messages ends with the frame, and another message takes a frame and a byte at least.
    return (
      this.count >= this.#limitItems ||
      this.#length + 2 * this.#frame + (this.count > 0 ? 1 : 0) > this.#limitBytes
    )
  }

  /** Makes batches smaller from now on, down to one message each. */
  lowerLimit(limitBytes: number): void {
    this.#limitBytes = Math.max(1, Math.min(this.#limitBytes, limitBytes))
  }

  /**
   * Adds a message; the first one whatever its size.
   *
   * @returns its size in bytes, or undefined if it does not fit: seal first
   */
  add(message: MessageContent): number | undefined {
    if (this.count >= this.#limitItems) return undefined
    const start = this.#length + this.#frame
    const room = this.count === 0 ? Infinity : this.#limitBytes - this.#frame - start
    const isShortText = typeof message === "string" && message.length <= LONG_TEXT
    const size =
      isShortText && typeof TextEncoder !== "undefined"
        ? this.#encode(message, start, room)
        : this.#copy(typeof message === "string" ? encodeUtf8(message) : message, start, room)
    if (size === undefined) return undefined
    if (this.#isArray) this.#buffer[this.#length] = this.count === 0 ? OPEN : COMMA
    this.#length = start + size
    this.#ends.push(this.#length)
    return size
  }

  /** Promises the acknowledgement of the message that was added last. */
  acknowledgement(callerStack?: object): Promise<IdempotentAppendResult> {
    return this.#acknowledgements.add(Math.max(0, this.count - 1), callerStack)
  }

  /**
   * Takes out what was added as content that never changes.
   *
   * @param closesStream - whether the stream is closed with it
   */
  seal(closesStream = false): BatchContent {
    const length = this.count === 0 ? 0 : this.#length + this.#frame
    if (this.#isArray && length > 0) this.#buffer[this.#length] = CLOSE
    const view = this.#buffer.subarray(0, length)
    const content = new BatchContent({
      // A batch can wait for long: it keeps no more memory than it needs.
      body: this.#buffer.byteLength - length > length / 8 ? view.slice() : view,
      ends: this.#ends,
      isArray: this.#isArray && length > 0,
      acknowledgements: this.#acknowledgements,
      closesStream,
    })
    this.#capacityHint = Math.max(
      LEAST_CAPACITY,
      Math.min(length + (length >> 3), this.#limitBytes),
    )
    this.#buffer = new Uint8Array(0)
    this.#length = 0
    this.#ends = []
    this.#acknowledgements = new Acknowledgements()
    return content
  }

  #encode(text: string, start: number, room: number): number | undefined {
    if (text.length > room) return undefined
    // No character takes more than three bytes a UTF-16 unit.
    const most = Math.min(text.length * 3, room)
    this.#reserve(start + most + this.#frame)
    encoder ??= new TextEncoder()
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
