import { encodeUtf8 } from "../platform/text.ts"
import { isJsonContentType } from "../protocol/content-type.ts"
import { encodeMessage, type MessageContent } from "../protocol/message.ts"
import {
  Acknowledgements,
  type IdempotentAppendResult,
  type MessageOutcome,
} from "./acknowledgements.ts"

const OPEN = "[".charCodeAt(0)
const COMMA = ",".charCodeAt(0)
const CLOSE = "]".charCodeAt(0)

/** Text longer than this is encoded by itself: reserving the most it could take would waste more than a copy does. */
const LONG_TEXT = 16 * 1024
const LEAST_CAPACITY = 1024

let encoder: TextEncoder | undefined

/** The messages of one request, sealed: the same bytes for every attempt, under whatever number. */
export interface BatchContent {
  readonly body: Uint8Array
  /** Where each message ends in the body. A batch that closes the stream may be without messages. */
  readonly ends: readonly number[]
  /** How many bytes are before each message, and after the last: 1 in a JSON array. */
  readonly frame: 0 | 1
  readonly closesStream: boolean
  /** The `send()` calls that wait for its messages, and the place of its first message among theirs. */
  readonly acknowledgements: Acknowledgements | undefined
  readonly firstIndex: number
}

export function messagesOf({ body, ends, frame }: BatchContent): Uint8Array[] {
  return ends.map((end, index) => body.subarray((ends[index - 1] ?? 0) + frame, end))
}

export function messageBytesOf({ body, ends, frame }: BatchContent): number {
  return body.byteLength - frame * (ends.length + 1)
}

export function settleContent(content: BatchContent, outcome: MessageOutcome): void {
  const { acknowledgements, firstIndex, ends } = content
  acknowledgements?.note(firstIndex, firstIndex + Math.max(1, ends.length), outcome)
}

export function splitContent(content: BatchContent): [BatchContent, BatchContent] {
  const middle = content.ends.length >> 1
  return [partOf(content, 0, middle), partOf(content, middle, content.ends.length)]
}

function partOf(content: BatchContent, from: number, to: number): BatchContent {
  const { ends, frame, firstIndex, closesStream } = content
  const start = ends[from - 1] ?? 0
  const body = content.body.slice(start, (ends[to - 1] ?? 0) + frame)
  if (frame === 1) {
    body[0] = OPEN
    body[body.length - 1] = CLOSE
  }
  return {
    ...content,
    body,
    ends: ends.slice(from, to).map((end) => end - start),
    firstIndex: firstIndex + from,
    closesStream: closesStream && to === ends.length,
  }
}

/**
 * The same messages for a stream of another content type.
 *
 * @returns undefined if they are no messages of such a stream, or nobody knows any more whether they are
 */
export function recodeContent(
  content: BatchContent,
  contentType: string,
): BatchContent | undefined {
  const isJson = isJsonContentType(contentType)
  if (isJson === (content.frame === 1) || content.ends.length === 0) return content
  // Strings and bytes are messages of every stream, other values are not; JSON is all that is left of both.
  if (!isJson) return undefined
  const builder = new BatchBuilder(true, Infinity)
  for (const message of messagesOf(content)) {
    const encoded = encodeMessage(message, contentType)
    if (typeof encoded === "object" && "kind" in encoded) return undefined
    builder.add(message)
  }
  const { body, ends, frame } = builder.seal()
  return { ...content, body, ends, frame }
}

/**
 * The batch that is still open. Each message is encoded straight into the body that will be sent: one encoding and one
 * copy a message, and no object for it beyond the place where it ends.
 */
export class BatchBuilder {
  readonly #frame: 0 | 1
  readonly #limitItems: number
  #limitBytes: number
  #buffer = new Uint8Array(0)
  #length = 0
  #ends: number[] = []
  #acknowledgements: Acknowledgements | undefined
  /** What the last batch took and an eighth: the next one is likely to take as much, and asks for room beyond its end. */
  #capacityHint = LEAST_CAPACITY

  /** @param limitBytes - what a body of several messages never exceeds, brackets and commas included */
  constructor(isArray: boolean, limitBytes: number, limitItems = Infinity) {
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
    const least = this.#length + 2 * this.#frame + (this.count > 0 ? 1 : 0)
    return this.count >= this.#limitItems || least > this.#limitBytes
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
    if (this.#frame === 1) this.#buffer[this.#length] = this.count === 0 ? OPEN : COMMA
    this.#length = start + size
    this.#ends.push(this.#length)
    return size
  }

  acknowledgement(callerStack?: object): Promise<IdempotentAppendResult> {
    this.#acknowledgements ??= new Acknowledgements()
    return this.#acknowledgements.add(Math.max(0, this.count - 1), callerStack)
  }

  seal(closesStream = false): BatchContent {
    const frame = this.count === 0 ? 0 : this.#frame
    const length = this.#length + frame
    if (frame === 1) this.#buffer[this.#length] = CLOSE
    const view = this.#buffer.subarray(0, length)
    const acknowledgements = this.#acknowledgements
    if (acknowledgements !== undefined) acknowledgements.messageCount = Math.max(1, this.count)
    const content: BatchContent = {
      // A batch can wait for long: it keeps no more memory than it needs.
      body: this.#buffer.byteLength - length > length / 8 ? view.slice() : view,
      ends: this.#ends,
      frame,
      closesStream,
      acknowledgements,
      firstIndex: 0,
    }
    const likely = Math.min(length + (length >> 3), this.#limitBytes)
    this.#capacityHint = Math.max(LEAST_CAPACITY, likely)
    this.#buffer = new Uint8Array(0)
    this.#length = 0
    this.#ends = []
    this.#acknowledgements = undefined
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
