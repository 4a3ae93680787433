import { addCallerStack } from "../errors/caller-stack.ts"
import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { invalidMessageError } from "../errors/invalid-message-error.ts"
import { monotonicMs } from "../platform/clock.ts"
import { onPageLifecycle } from "../platform/page-lifecycle.ts"
import { encodeUtf8 } from "../platform/text.ts"
import { isJsonContentType } from "../protocol/content-type.ts"
import {
  DEFAULT_CONTENT_TYPE,
  encodeMessage,
  takeSnapshot,
  type MessageContent,
  type MessageSnapshot,
} from "../protocol/message.ts"
import type { IdempotentAppendResult } from "./acknowledgements.ts"
import { BatchBuilder, type BatchContent } from "./batch-content.ts"
import { Deferred } from "./waits.ts"

const JSON_TYPE = "application/json"

/** What an {@link Accumulator} works within. */
export interface AccumulatorSettings {
  /** The stream as error messages show it. */
  readonly stream: string
  readonly maxBatchBytes: number
  readonly maxBatchItems: number
  readonly lingerMs: number
  readonly maxBufferedBytes: number
}

/** What an {@link Accumulator} notifies its owner of. */
export interface AccumulatorEvents {
  /** A batch cannot wait: it is full, or the page is being left. */
  onSealed(content: BatchContent): void
  /** The linger of the open batch is over. */
  onDue(): void
  /** There is no room for a message of so many bytes; it was not queued. */
  onNoRoom(bytes: number): void
}

/** A message that turned out to be none once the stream's content type was known. */
export interface UnfitMessage {
  readonly message: Uint8Array
  readonly error: DurableStreamError
  readonly reject: (error: Error) => void
}

/** What became of the messages that waited for the content type and are in no batch. */
export interface OpenResult {
  readonly unfit: readonly UnfitMessage[]
  /** The `send()` calls of empty bodies. */
  readonly empty: readonly Deferred<IdempotentAppendResult>[]
}

interface HeldMessage {
  readonly message: MessageSnapshot
  readonly byteLength: number
  acknowledgement: Deferred<IdempotentAppendResult> | undefined
  callerStack: object | undefined
}

/**
 * Collects messages: checks them, encodes them into the open batch, and lets that linger until more have come. While the
 * content type is not known, messages are held.
 */
export class Accumulator {
  readonly #settings: AccumulatorSettings
  readonly #events: AccumulatorEvents
  #contentType: string | undefined
  #builder: BatchBuilder | undefined
  #held: HeldMessage[] = []
  #isDue = false
  #endLinger: (() => void) | undefined
  #lingerEndsMs = Infinity

  constructor(settings: AccumulatorSettings, events: AccumulatorEvents) {
    this.#settings = settings
    this.#events = events
  }

  /** The stream's content type; undefined until {@link open}. */
  get contentType(): string | undefined {
    return this.#contentType
  }

  /** How many messages are in no sealed batch. */
  get count(): number {
    return (this.#builder?.count ?? 0) + this.#held.length
  }

  /** Whether the open batch is to be sealed as soon as it can be sent. */
  get isDue(): boolean {
    return this.#isDue
  }

  /** Whether the linger should have ended a second ago: its timer is gone. */
  get isOverdue(): boolean {
    return this.#endLinger !== undefined && monotonicMs() > this.#lingerEndsMs + 1000
  }

  /**
   * Takes a message.
   *
   * @param bufferedBytes - what is not acknowledged already
   * @returns its size in bytes; 0 for an empty body of a stream that is not JSON, which is no message
   * @throws DurableStreamError if it is no message of this stream, or `BUFFER_FULL`; nothing is taken then
   */
  take(value: unknown, bufferedBytes: number): number {
    if (this.#contentType === undefined) return this.#hold(value, bufferedBytes)
    const message = this.#encode(takeSnapshot(value, false), this.#contentType)
    if (message.length === 0) return 0
    this.#checkRoom(message, bufferedBytes)
    return this.#add(message)
  }

  /** Promises the acknowledgement of the message that was taken last. */
  acknowledgement(callerStack: object | undefined): Promise<IdempotentAppendResult> {
    const held = this.#held.at(-1)
    if (held === undefined && this.#builder !== undefined) {
      return this.#builder.acknowledgement(callerStack)
    }
    const acknowledgement = new Deferred<IdempotentAppendResult>()
    if (held !== undefined) Object.assign(held, { acknowledgement, callerStack })
    return acknowledgement.promise
  }

  /** What the content type is likely to be, by the messages that wait for it: JSON only if all of them are. */
  guessContentType(): string {
    const isKind = (message: MessageSnapshot, kind: string) =>
      typeof message === "object" && "kind" in message && message.kind === kind
    const hasValue = this.#held.some(({ message }) => isKind(message, "value"))
    const isJson = this.#held.every(
      ({ message }) => !isKind(encodeMessage(message, JSON_TYPE), "invalid"),
    )
    return hasValue && isJson ? JSON_TYPE : DEFAULT_CONTENT_TYPE
  }

  /** Notes the content type. The held messages go into batches. */
  open(contentType: string): OpenResult {
    const { maxBatchBytes, maxBatchItems } = this.#settings
    const isJson = isJsonContentType(contentType)
    this.#contentType = contentType
    this.#builder = new BatchBuilder(isJson, maxBatchBytes, maxBatchItems)
    const unfit: UnfitMessage[] = []
    const empty: Deferred<IdempotentAppendResult>[] = []
    for (const { message, acknowledgement, callerStack } of this.#held.splice(0)) {
      try {
        const content = this.#encode(message, contentType)
        if (content.length > 0) {
          this.#add(content)
          acknowledgement?.resolve(this.#builder.acknowledgement(callerStack))
        } else if (acknowledgement !== undefined) empty.push(acknowledgement)
      } catch (error) {
        unfit.push({
          message: bytesOf(message),
          // #encode throws nothing else.
          error: error as DurableStreamError,
          reject: (reason) => {
            addCallerStack(reason, callerStack)
            acknowledgement?.reject(reason)
          },
        })
      }
    }
    if (this.count === 0) this.#endWaiting()
    return { unfit, empty }
  }

  /** Takes out the open batch; undefined if it is empty. */
  seal(): BatchContent | undefined {
    if (this.#builder === undefined || this.#builder.count === 0) return undefined
    this.#endWaiting()
    return this.#builder.seal()
  }

  /**
   * Makes the batch that closes the stream.
   *
   * @param last - the final message, if there is one
   * @throws DurableStreamError if it is no message of this stream
   */
  sealClosing(last: MessageSnapshot | undefined): {
    readonly content: BatchContent
    readonly closed: Promise<IdempotentAppendResult>
  } {
    const contentType = this.#contentType ?? DEFAULT_CONTENT_TYPE
    const builder = new BatchBuilder(isJsonContentType(contentType), Infinity)
    const message = last === undefined ? "" : this.#encode(last, contentType)
    if (message.length > 0) builder.add(message)
    const closed = builder.acknowledgement()
    return { content: builder.seal(true), closed }
  }

  /** Ends the linger of the open batch. */
  makeDue(): void {
    this.#isDue = this.count > 0
    this.#endLinger?.()
  }

  /** Makes batches smaller from now on. */
  lowerBatchLimit(bytes: number): void {
    this.#builder?.lowerLimit(bytes)
  }

  /** The messages that wait for the content type. */
  held(): Uint8Array[] {
    return this.#held.map(({ message }) => bytesOf(message))
  }

  /** Settles the `send()` calls of held messages. */
  rejectHeld(error: unknown): void {
    for (const { acknowledgement, callerStack } of this.#held) {
      addCallerStack(error, callerStack)
      acknowledgement?.reject(error)
    }
  }

  #hold(value: unknown, bufferedBytes: number): number {
    const message = takeSnapshot(value)
    if (typeof message === "object" && "kind" in message && message.kind === "invalid") {
      throw invalidMessageError(this.#settings.stream, message)
    }
    const { byteLength } = bytesOf(message)
    this.#checkRoom(message, bufferedBytes)
    this.#held.push({ message, byteLength, acknowledgement: undefined, callerStack: undefined })
    this.#linger()
    return byteLength
  }

  #encode(message: MessageSnapshot, contentType: string): MessageContent {
    const content = encodeMessage(message, contentType)
    if (typeof content === "object" && "kind" in content) {
      throw invalidMessageError(this.#settings.stream, content)
    }
    return content
  }

  #add(message: MessageContent): number {
    const builder = this.#builder
    if (builder === undefined) return 0
    for (;;) {
      const size = builder.add(message)
      if (size === undefined) {
        this.#endWaiting()
        this.#events.onSealed(builder.seal())
        continue
      }
      // The owner sends it, once it has the acknowledgement of the message.
      if (builder.isFull) this.makeDue()
      else this.#linger()
      return size
    }
  }

  /** Gives the open batch a while to grow: one timer at a time, and none in a page that is left. */
  #linger(): void {
    if (this.#endLinger !== undefined || this.#isDue) return
    this.#lingerEndsMs = monotonicMs() + this.#settings.lingerMs
    const timer = setTimeout(() => {
      this.makeDue()
      this.#events.onDue()
    }, this.#settings.lingerMs)
    const unwatch = onPageLifecycle((event) => {
      const content = event === "hidden" || event === "departing" ? this.seal() : undefined
      if (content !== undefined) this.#events.onSealed(content)
    })
    this.#endLinger = () => {
      this.#endLinger = undefined
      clearTimeout(timer)
      unwatch()
    }
  }

  #endWaiting(): void {
    this.#isDue = false
    this.#endLinger?.()
  }

  #checkRoom(message: MessageSnapshot, bufferedBytes: number): void {
    const { maxBufferedBytes, stream } = this.#settings
    const roomBytes = maxBufferedBytes - bufferedBytes
    // Most messages need not be measured: no text takes more than three bytes for a UTF-16 unit.
    const isText = typeof message === "string"
    if ((isText || message instanceof Uint8Array) && message.length * 3 <= roomBytes) return
    const messageBytes = bytesOf(message).byteLength
    if (messageBytes <= roomBytes) return
    this.#events.onNoRoom(messageBytes)
    const why =
      bufferedBytes === 0
        ? `A message for ${stream} is larger than maxBufferedBytes (${maxBufferedBytes}) and was not queued.`
        : `${bufferedBytes} bytes for ${stream} are not acknowledged, and this message would exceed maxBufferedBytes ` +
          `(${maxBufferedBytes}). It was not queued: await ready, then append it again.`
    throw new DurableStreamError(why, "BUFFER_FULL")
  }
}

/** A message in bytes, as it would be sent. */
export function bytesOf(message: MessageSnapshot): Uint8Array {
  if (typeof message === "string") return encodeUtf8(message)
  if (!("kind" in message)) return message
  return encodeUtf8(message.kind === "value" ? message.json : "")
}

/** Whether two messages are the same bytes. */
export function isSameMessage(one: MessageSnapshot | undefined, other: MessageSnapshot): boolean {
  if (one === undefined) return false
  const [a, b] = [bytesOf(one), bytesOf(other)]
  return a.byteLength === b.byteLength && a.every((byte, index) => byte === b[index])
}
