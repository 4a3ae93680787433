import { FetchBackoffAbortError } from "../errors/fetch-backoff-abort-error.ts"
import { onAbort } from "../http/abort-watch.ts"
import type { Offset } from "../protocol/offset.ts"
import { encodeBody, takeBody, type AppendPart, type BodySnapshot } from "./append-body.ts"
import type { WriteTerms } from "./append-request.ts"
import { isThenable } from "./promised-body.ts"
import type { AppendResult } from "./write-options.ts"

/** Settles a caller's promise: a rejected promise in place of a result rejects it. */
type Settle = (result: AppendResult | Promise<never>) => void

const hasArrived = Promise.resolve()

/**
 * One caller's write, from the call until its promise is settled. It is settled once; what comes later is void.
 *
 * A call costs this object, the one promise that its caller gets, the one function that settles it, and what the body is
 * taken into: where a hundred thousand wait, half the time is what the collector needs to keep them.
 */
export class AppendCall {
  readonly terms: WriteTerms
  /** Called when the call is settled while it is under way with others. */
  onSettled: (() => void) | undefined
  /** Undefined once the call is settled. */
  #settle: Settle | undefined
  #body: BodySnapshot | undefined
  #part: AppendPart | undefined
  #partType: string | undefined
  #arrived: Promise<void> | undefined
  #unwatch: (() => void)[] | undefined

  /**
   * @param terms - may be one object for all calls that say the same
   * @param settle - settles with what the answer to the request that the write went out with says of it
   */
  constructor(terms: WriteTerms, settle: Settle) {
    this.terms = terms
    this.#settle = settle
  }

  /** Ends the call with the signal. */
  obey(signal: AbortSignal): void {
    const end = () => this.reject(new FetchBackoffAbortError(signal.reason))
    if (signal.aborted) end()
    else if (!this.isSettled) (this.#unwatch ??= []).push(onAbort(signal, end))
  }

  /**
   * Takes the body, or waits for it where it is a promise.
   *
   * @param stream - the stream as messages may show it
   */
  take(value: unknown, stream: string): void {
    if (!isThenable(value)) {
      this.#body = takeBody(value, stream)
      return
    }
    this.#arrived = new Promise((resolve) => {
      this.onSettled = resolve
      // As `await` would: a thenable may throw, answer twice, or give another promise.
      Promise.resolve(value)
        .then((body) => {
          this.#body = takeBody(body, stream)
          resolve()
        })
        .catch((error: unknown) => this.reject(error))
    })
  }

  /** Resolves once the body is there, or the call is settled without. */
  get arrived(): Promise<void> {
    return this.#arrived ?? hasArrived
  }

  /** The body as it was given, once it has arrived. */
  get body(): BodySnapshot | undefined {
    return this.#body
  }

  get isSettled(): boolean {
    return this.#settle === undefined
  }

  /** Whether the write can be sent: its body is there, or it has none. */
  get isReady(): boolean {
    return this.#body !== undefined || !this.terms.hasContent
  }

  /** Whether the write may go out in one request with others. */
  get mayShare(): boolean {
    const { seq, producer, close } = this.terms.marks
    return seq === undefined && producer === undefined && close !== true
  }

  /** About how large the write is: bytes, or UTF-16 units of text. */
  get size(): number {
    const body = this.#body
    if (body?.kind === "bytes") return body.bytes.byteLength
    return body?.kind === "text" || body?.kind === "json" ? body.text.length : 0
  }

  /**
   * Encodes the body for a content type. One that cannot be encoded settles the call.
   *
   * @param stream - the stream as messages may show it
   * @returns whether there is something to send
   */
  encode(contentType: string, stream: string): boolean {
    if (this.isSettled || this.#body === undefined) return false
    if (this.#partType === contentType) return true
    try {
      this.#part = encodeBody(this.#body, contentType, stream)
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
    this.#end({ offset })
  }

  /** Settles the call with an error. */
  reject(error: unknown): void {
    // A promise that nobody asked for any more would be an unhandled rejection.
    if (!this.isSettled) this.#end(Promise.reject(error))
  }

  #end(result: AppendResult | Promise<never>): void {
    const settle = this.#settle
    if (settle === undefined) return
    this.#settle = undefined
    this.#unwatch?.forEach((unwatch) => unwatch())
    settle(result)
    this.onSettled?.()
  }
}
