import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { isJsonContentType } from "../protocol/content-type.ts"
import { BatchBuilder, sealClosingBatch } from "./batch-builder.ts"
import type { Batch, IdempotentAppendResult } from "./batch.ts"
import type { Deferred } from "./deferred.ts"
import {
  byteLengthOf,
  holdMessage,
  releaseMessage,
  toMessage,
  type HeldMessage,
  type Message,
} from "./message.ts"

/** Somebody who waits for a message to be stored. */
export type MessageWaiter = Deferred<IdempotentAppendResult> | undefined

/** A message that turned out to be none once the stream's content type was known. */
export interface Unfit {
  readonly message: Uint8Array
  readonly error: DurableStreamError
  readonly waiter: MessageWaiter
}

interface Held {
  readonly message: HeldMessage
  readonly waiter: MessageWaiter
}

/** What an {@link Intake} works within. */
export interface IntakeLimits {
  /** The stream as messages may show it. */
  readonly stream: string
  readonly maxBatchBytes: number
  readonly maxBufferedBytes: number
}

/** Where messages come in: checked, encoded into the open batch, or held while the content type is not known. */
export class Intake {
  readonly #limits: IntakeLimits
  readonly #onFull: (batch: Batch) => void
  #content: { readonly type: string; readonly isJson: boolean } | undefined
  #builder: BatchBuilder | undefined
  #held: Held[] = []

  /** @param onFull - takes the open batch where a message does not fit into it */
  constructor(limits: IntakeLimits, onFull: (batch: Batch) => void) {
    this.#limits = limits
    this.#onFull = onFull
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
  take(value: unknown, waiter: MessageWaiter, bufferedBytes: number): number {
    const { stream } = this.#limits
    if (this.#content === undefined) {
      const message = holdMessage(value, stream)
      this.#checkRoom(message.bytes, bufferedBytes)
      this.#held.push({ message, waiter })
      return message.bytes.byteLength
    }
    const message = toMessage(value, this.#content.isJson, stream)
    this.#checkRoom(message, bufferedBytes)
    return this.#add(message, waiter)
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
    for (const { message, waiter } of held) {
      try {
        this.#add(releaseMessage(message, isJson, stream), waiter)
      } catch (error) {
        // releaseMessage throws nothing else.
        unfit.push({ message: message.bytes, error: error as DurableStreamError, waiter })
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
  sealClosing(last: HeldMessage | undefined, waiter: Deferred<IdempotentAppendResult>): Batch {
    const isJson = this.#content?.isJson ?? false
    const message = last && releaseMessage(last, isJson, this.#limits.stream)
    return sealClosingBatch(message, isJson, waiter)
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
    for (const { waiter } of this.#held) waiter?.reject(error)
  }

  #add(message: Message, waiter: MessageWaiter): number {
    const builder = this.#builder
    if (builder === undefined) return 0
    for (;;) {
      const size = builder.add(message, waiter)
      if (size !== undefined) return size
      this.#onFull(builder.seal())
    }
  }

  #checkRoom(message: Message, bufferedBytes: number): void {
    const { maxBufferedBytes, stream } = this.#limits
    const roomBytes = maxBufferedBytes - bufferedBytes
    // Most messages need not be measured: no text takes more than three bytes a UTF-16 unit.
    if (message.length * 3 <= roomBytes || byteLengthOf(message) <= roomBytes) return
    throw new DurableStreamError(
      `${bufferedBytes} bytes wait to be acknowledged by ${stream}, and this message would exceed maxBufferedBytes ` +
        `(${maxBufferedBytes}). It was not queued: await ready, then append it again.`,
      "BUFFER_FULL",
    )
  }
}
