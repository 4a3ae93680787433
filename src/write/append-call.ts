import { FetchBackoffAbortError } from "../errors/fetch-backoff-abort-error.ts"
import { onAbort } from "../http/abort-watch.ts"
import type { Offset } from "../protocol/offset.ts"
import { encodeBody, takeBody, type AppendPart, type BodySnapshot } from "./append-body.ts"
import type { AppendMarks } from "./append-request.ts"
import { isThenable } from "./promised-body.ts"
import type { AppendResult } from "./write-options.ts"

/** A write to be queued. */
export interface QueuedWrite {
  /** The body, or a promise of it; undefined where the stream is only closed. */
  readonly content?: { readonly value: unknown }
  /** Default: the stream's. */
  readonly contentType: string | undefined
  readonly marks: AppendMarks
}

const hasArrived = Promise.resolve()

/**
 * One caller's write, from the call until its promise is settled. It is settled once; what comes later is void.
 *
 * A call costs this object, the one promise that its caller gets and what the body is taken into: where a hundred thousand
 * wait, half the time is what the collector needs to keep them.
 */
export class AppendCall {
  /** Settles with what the answer to the request that the write went out with says of it. */
  readonly answered: Promise<AppendResult>
  /** Resolves once the body is there, or the call is settled without. */
  readonly arrived: Promise<void>
  readonly marks: AppendMarks
  /** What the caller said of the body; undefined stands for the stream's type. */
  readonly contentType: string | undefined
  readonly hasContent: boolean
  /** Called when the call is settled while it is under way with others. */
  onSettled: (() => void) | undefined
  readonly #stream: string
  #body: BodySnapshot | undefined
  #part: AppendPart | undefined
  #partType: string | undefined
  #isSettled = false
  #unwatch: (() => void)[] | undefined
  #fulfill!: (result: AppendResult) => void
  #refuse!: (error: unknown) => void

  /**
   * @param write - what is written
   * @param stream - the stream as messages may show it
   */
  constructor({ content, contentType, marks }: QueuedWrite, stream: string) {
    this.answered = new Promise((resolve, reject) => {
      this.#fulfill = resolve
      this.#refuse = reject
    })
    this.marks = marks
    this.contentType = contentType
    this.hasContent = content !== undefined
    this.#stream = stream
    this.arrived = this.#receive(content?.value)
  }

  /** Ends the call with the signal. */
  obey(signal: AbortSignal): void {
    const end = () => this.reject(new FetchBackoffAbortError(signal.reason))
    if (signal.aborted) end()
    else if (!this.#isSettled) (this.#unwatch ??= []).push(onAbort(signal, end))
  }

  /** The body as it was given, once it has arrived. */
  get body(): BodySnapshot | undefined {
    return this.#body
  }

  get isSettled(): boolean {
    return this.#isSettled
  }

  /** Whether the write can be sent: its body is there, or it has none. */
  get isReady(): boolean {
    return this.#body !== undefined || !this.hasContent
  }

  /** Whether the write may go out in one request with others. */
  get mayShare(): boolean {
    const { seq, producer, close } = this.marks
    return seq === undefined && producer === undefined && close !== true
  }

  /** About how large the write is: bytes, or UTF-16 units of text. */
  get size(): number {
    if (this.#body === undefined || this.#body.kind === "refused") return 0
    return this.#body.kind === "bytes" ? this.#body.bytes.byteLength : this.#body.text.length
  }

  /**
   * Encodes the body for a content type. One that cannot be encoded settles the call.
   *
   * @returns whether there is something to send
   */
  encode(contentType: string): boolean {
    if (this.#isSettled || this.#body === undefined) return false
    if (this.#partType === contentType) return true
    try {
      this.#part = encodeBody(this.#body, contentType, this.#stream)
      this.#partType = contentType
      return true
    } catch (error) {
      this.reject(error)
      return false
    }
  }

  /** What {@link encode} made; undefined before it. */
  get part(): AppendPart | undefined {
    return this.#part
  }

  /** Settles the call: it is stored, and this is where the stream goes on. */
  resolve(offset: Offset): void {
    if (this.#settle()) this.#fulfill({ offset })
  }

  /** Settles the call with an error. */
  reject(error: unknown): void {
    if (this.#settle()) this.#refuse(error)
  }

  #receive(value: unknown): Promise<void> {
    if (!this.hasContent) return hasArrived
    if (!isThenable(value)) {
      this.#body = takeBody(value, this.#stream)
      return hasArrived
    }
    return new Promise((resolve) => {
      this.onSettled = resolve
      // As `await` would: a thenable may throw, answer twice, or give another promise.
      Promise.resolve(value)
        .then((body) => {
          this.#body = takeBody(body, this.#stream)
          resolve()
        })
        .catch((error: unknown) => this.reject(error))
    })
  }

  #settle(): boolean {
    if (this.#isSettled) return false
    this.#isSettled = true
    this.#unwatch?.forEach((unwatch) => unwatch())
    this.onSettled?.()
    return true
  }
}
