import { addCallerStack, captureCallerStack } from "../errors/caller-stack.ts"
import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { checkMessage } from "../errors/invalid-message-error.ts"
import { matchingMessage } from "../errors/schema-error.ts"
import type { Endpoint } from "../http/endpoint.ts"
import { monotonicMs } from "../platform/clock.ts"
import { onPageLifecycle } from "../platform/page-lifecycle.ts"
import { isWorkerd } from "../platform/runtime.ts"
import { encodeUtf8 } from "../platform/text.ts"
import { isJsonContentType } from "../protocol/content-type.ts"
import {
  DEFAULT_CONTENT_TYPE,
  encodeMessage,
  takeSnapshot,
  type MessageContent,
  type MessageSnapshot,
} from "../protocol/message.ts"
import { describeUrl } from "../protocol/request-url.ts"
import type { IdempotentAppendResult } from "./acknowledgements.ts"
import { BatchBuilder, type BatchContent } from "./batch-content.ts"
import type { ProducerSettings } from "./producer-options.ts"
import { BufferLimit, Deferred } from "./waits.ts"

const JSON_TYPE = "application/json"

/** How many of the send() calls of a batch know where they were called from. A stack costs 2 µs and half a kilobyte. */
const MAX_TRACED_SENDS = 32

export interface AccumulatorOwner {
  readonly stream: string
  /** A batch cannot wait: it is full, or the page is being left. */
  onSealed(content: BatchContent): void
  /** The linger of the open batch is over. */
  onDue(): void
}

/** A message that waits for the content type. */
export interface HeldMessage {
  readonly message: MessageSnapshot
  /** That of the `send()` call that waits for it. */
  acknowledgement?: Deferred<IdempotentAppendResult>
  callerStack?: object | undefined
  /** Why it turned out to be no message once the content type was known; none if it was empty. */
  error?: Error
}

/**
 * Collects messages: checks them, encodes them into the open batch, and lets that linger until more have come. While the
 * content type is not known, messages are held.
 */
export class Accumulator {
  readonly buffer: BufferLimit
  readonly #settings: ProducerSettings
  readonly #owner: AccumulatorOwner
  readonly #isWorkerd = isWorkerd()
  #contentType: string | undefined
  #builder: BatchBuilder | undefined
  #held: HeldMessage[] = []
  #isDue = false
  #endLinger: (() => void) | undefined
  #lingerEndsMs = Infinity

  constructor(settings: ProducerSettings, owner: AccumulatorOwner) {
    this.#settings = settings
    this.#owner = owner
    this.buffer = new BufferLimit(settings.highWaterMarkBytes, settings.maxBufferedBytes)
  }

  get contentType(): string | undefined {
    return this.#contentType
  }

  get count(): number {
    return (this.#builder?.count ?? 0) + this.#held.length
  }

  /** Whether the open batch is to be sealed as soon as it can be sent. */
  get isDue(): boolean {
    return this.#isDue
  }

  /** The error of a worker's request that is over: the linger should have ended a second ago, and its timer is gone. */
  get lostError(): DurableStreamError | undefined {
    const isWaiting = this.#isWorkerd && this.#endLinger !== undefined
    if (!isWaiting || monotonicMs() <= this.#lingerEndsMs + 1000) return undefined
    return new DurableStreamError(
      `The request in which messages for ${this.#owner.stream} were queued is over, and its timers and connections with it. ` +
        "In Cloudflare Workers, create a producer within the request that uses it, and await its detach().",
      "BAD_REQUEST",
    )
  }

  get held(): readonly HeldMessage[] {
    return this.#held
  }

  /**
   * Takes a message.
   *
   * @returns false for an empty body of a stream that is not JSON, which is no message
   * @throws DurableStreamError if it is no message of this stream, or `BUFFER_FULL`; nothing is taken then
   */
  take(value: unknown): boolean {
    if (this.#contentType === undefined) {
      const message = checkMessage(takeSnapshot(value), this.#owner.stream)
      this.#checkRoom(message)
      this.#held.push({ message })
      this.buffer.add(bytesOf(message).byteLength)
      this.#linger()
      return true
    }
    const message = this.#encode(takeSnapshot(value, false), this.#contentType)
    if (message.length === 0) return false
    this.#checkRoom(message)
    this.buffer.add(this.#add(message))
    return true
  }

  /** Promises the acknowledgement of the message that was taken last. */
  acknowledgement(): Promise<IdempotentAppendResult> {
    const callerStack = this.count <= MAX_TRACED_SENDS ? captureCallerStack() : undefined
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

  /** Notes the content type. The held messages go into batches. @returns those that do not */
  open(contentType: string): HeldMessage[] {
    const { maxBatchBytes, maxBatchItems } = this.#settings
    this.#contentType = contentType
    const isJson = isJsonContentType(contentType)
    const builder = (this.#builder = new BatchBuilder(isJson, maxBatchBytes, maxBatchItems))
    const unfit = this.#held.splice(0).filter((held) => {
      try {
        const content = this.#encode(held.message, contentType)
        if (content.length === 0) return true
        this.#add(content)
        held.acknowledgement?.resolve(builder.acknowledgement(held.callerStack))
        return false
      } catch (error) {
        // #encode throws nothing else.
        held.error = error as Error
        return true
      }
    })
    if (this.count === 0) this.#endWaiting()
    return unfit
  }

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
    if (message.length > 0) this.buffer.add(builder.add(message) ?? 0)
    const closed = builder.acknowledgement()
    return { content: builder.seal(true), closed }
  }

  makeDue(): void {
    this.#isDue = this.count > 0
    this.#endLinger?.()
  }

  lowerBatchLimit(bytes: number): void {
    this.#builder?.lowerLimit(bytes)
  }

  #encode(message: MessageSnapshot, contentType: string): MessageContent {
    return checkMessage(encodeMessage(message, contentType), this.#owner.stream)
  }

  #add(message: MessageContent): number {
    const builder = this.#builder
    if (builder === undefined) return 0
    for (;;) {
      const size = builder.add(message)
      if (size === undefined) {
        this.#endWaiting()
        this.#owner.onSealed(builder.seal())
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
    const { lingerMs } = this.#settings
    this.#lingerEndsMs = monotonicMs() + lingerMs
    const timer = setTimeout(() => {
      this.makeDue()
      this.#owner.onDue()
    }, lingerMs)
    const unwatch = onPageLifecycle((event) => {
      const content = event === "hidden" || event === "departing" ? this.seal() : undefined
      if (content !== undefined) this.#owner.onSealed(content)
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

  #checkRoom(message: MessageSnapshot): void {
    const { bytes, maxBytes } = this.buffer
    const roomBytes = maxBytes - bytes
    // Most messages need not be measured: no text takes more than three bytes for a UTF-16 unit.
    const isText = typeof message === "string"
    if ((isText || message instanceof Uint8Array) && message.length * 3 <= roomBytes) return
    const messageBytes = bytesOf(message).byteLength
    if (messageBytes <= roomBytes) return
    this.buffer.noteNoRoom(messageBytes)
    const { stream } = this.#owner
    throw new DurableStreamError(
      bytes === 0
        ? `A message for ${stream} is larger than maxBufferedBytes (${maxBytes}) and was not queued.`
        : `${bytes} bytes for ${stream} are not acknowledged, and this message would exceed maxBufferedBytes ` +
            `(${maxBytes}). It was not queued: await ready, then append it again.`,
      "BUFFER_FULL",
    )
  }
}

export function rejectHeld({ acknowledgement, callerStack }: HeldMessage, error: unknown): void {
  addCallerStack(error, callerStack)
  acknowledgement?.reject(error)
}

/** A message that matches the schema, as it is sent. @throws as `matchingMessage` does */
export function matchingNow({ schema, url }: Endpoint, body: unknown): unknown {
  if (schema === undefined) return body
  const message = matchingMessage(schema, url, body)
  if (!(message instanceof Promise)) return message
  message.catch(() => undefined)
  throw new DurableStreamError(
    `The option schema must be synchronous for a producer of ${describeUrl(url)}, whose append() does not wait. ` +
      "Validate the message before.",
    "BAD_REQUEST",
  )
}

/** A message in bytes, as it would be sent. */
export function bytesOf(message: MessageSnapshot): Uint8Array {
  if (typeof message === "string") return encodeUtf8(message)
  if (!("kind" in message)) return message
  return encodeUtf8(message.kind === "value" ? message.json : "")
}
