import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { isJsonContentType } from "../protocol/content-type.ts"
import { BatchBuilder, sealClosingBatch, type ClosingBatch } from "./batch-builder.ts"
import type { Batch } from "./batch.ts"
import { Deferred } from "./deferred.ts"
import {
  byteLengthOf,
  holdMessage,
  releaseMessage,
  toMessage,
  type HeldMessage,
  type Message,
} from "./message.ts"
import type { IdempotentAppendResult } from "./receipts.ts"

/** A message that turned out to be none once the stream's content type was known. */
export interface Unfit {
  readonly message: Uint8Array
  readonly error: DurableStreamError
  readonly reject: (error: Error) => void
}

interface Held {
  readonly message: HeldMessage
  receipt: Deferred<IdempotentAppendResult> | undefined
}

/** What an {@link Intake} works within. */
export interface IntakeLimits {
  /** The stream as messages may show it. */
  readonly stream: string
  readonly maxBatchBytes: number
  readonly maxBufferedBytes: number
}

/** What an {@link Intake} tells its owner. */
export interface IntakeEvents {
  /** A message does not fit into the open batch, which is given away. */
  onFull(batch: Batch): void
  /** There is no room for a message of so many bytes; it was not taken in. */
  onRefused(bytes: number): void
}

/** Where messages come in: checked, encoded into the open batch, or held while the content type is not known. */
export class Intake {
  readonly #limits: IntakeLimits
  readonly #events: IntakeEvents
  #content: { readonly type: string; readonly isJson: boolean } | undefined
  #builder: BatchBuilder | undefined
  #held: Held[] = []

  constructor(limits: IntakeLimits, events: IntakeEvents) {
    this.#limits = limits
    this.#events = events
  }

  /** The stream's content type, once it is known. */
  get contentType(): string | undefined {
    return this.#content?.type
  }

  /** How many messages are not sealed into a batch yet. */
  get count(): number {
    return (this.#builder?.count ?? 0) + this.#held.length
  }

  /**
   * Takes a message in.
   *
   * @param bufferedBytes - what is in already
   * @returns its size in bytes
   * @throws DurableStreamError where it is no message of this stream, or `BUFFER_FULL`; nothing is taken in then
   */
  take(value: unknown, bufferedBytes: number): number {
    const { stream } = this.#limits
    if (this.#content === undefined) {
      const message = holdMessage(value, stream)
      this.#checkRoom(message.bytes, bufferedBytes)
      this.#held.push({ message, receipt: undefined })
      return message.bytes.byteLength
    }
    const message = toMessage(value, this.#content.isJson, stream)
    this.#checkRoom(message, bufferedBytes)
    return this.#add(message)
  }

  /** Promises what becomes of the message that was taken in last. */
  receipt(): Promise<IdempotentAppendResult> {
    const held = this.#held.at(-1)
    if (held === undefined && this.#builder !== undefined) return this.#builder.receipt()
    const receipt = new Deferred<IdempotentAppendResult>()
    if (held !== undefined) held.receipt = receipt
    return receipt.promise
  }

  /**
   * Tells what the stream is. The messages that were held go into batches.
   *
   * @returns those that do not
   */
  open(contentType: string): Unfit[] {
    const { stream, maxBatchBytes } = this.#limits
    const isJson = isJsonContentType(contentType)
    this.#content = { type: contentType, isJson }
    this.#builder = new BatchBuilder(isJson, maxBatchBytes)
    const held = this.#held
    this.#held = []
    const unfit: Unfit[] = []
    for (const { message, receipt } of held) {
      try {
        this.#add(releaseMessage(message, isJson, stream))
        receipt?.resolve(this.#builder.receipt())
      } catch (error) {
        const reject = (told: Error) => receipt?.reject(told)
        // releaseMessage throws nothing else.
        unfit.push({ message: message.bytes, error: error as DurableStreamError, reject })
      }
    }
    return unfit
  }

  /** Takes out the open batch, or undefined where it is empty. */
  seal(): Batch | undefined {
    return this.#builder === undefined || this.#builder.count === 0
      ? undefined
      : this.#builder.seal()
  }

  /**
   * Makes the batch that closes the stream.
   *
   * @throws DurableStreamError where the message is none of this stream
   */
  sealClosing(last: HeldMessage | undefined): ClosingBatch {
    const isJson = this.#content?.isJson ?? false
    const message = last && releaseMessage(last, isJson, this.#limits.stream)
    return sealClosingBatch(message, isJson)
  }

  /** Makes batches smaller from now on. */
  lowerBatchLimit(bytes: number): void {
    this.#builder?.lowerLimit(bytes)
  }

  /** The messages that wait for the content type. */
  held(): Uint8Array[] {
    return this.#held.map(({ message }) => message.bytes)
  }

  /** Tells those who wait for a held message that it will not be sent. */
  rejectHeld(error: unknown): void {
    for (const { receipt } of this.#held) receipt?.reject(error)
  }

  #add(message: Message): number {
    const builder = this.#builder
    if (builder === undefined) return 0
    for (;;) {
      const size = builder.add(message)
      if (size !== undefined) return size
      this.#events.onFull(builder.seal())
    }
  }

  #checkRoom(message: Message, bufferedBytes: number): void {
    const { maxBufferedBytes, stream } = this.#limits
    const roomBytes = maxBufferedBytes - bufferedBytes
    // Most messages need not be measured: no text takes more than three bytes a UTF-16 unit.
    if (message.length * 3 <= roomBytes) return
    const messageBytes = byteLengthOf(message)
    if (messageBytes <= roomBytes) return
    this.#events.onRefused(messageBytes)
    const why =
      bufferedBytes === 0
        ? `A message for ${stream} is larger than maxBufferedBytes (${maxBufferedBytes}) and was not queued.`
        : `${bufferedBytes} bytes wait to be acknowledged by ${stream}, and this message would exceed maxBufferedBytes ` +
          `(${maxBufferedBytes}). It was not queued: await ready, then append it again.`
    throw new DurableStreamError(why, "BUFFER_FULL")
  }
}
