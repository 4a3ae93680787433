import { FetchBackoffAbortError } from "../errors/fetch-backoff-abort-error.ts"
import { onAbort } from "../http/abort-watch.ts"
import type { Answer } from "../http/request.ts"
import { encodeBody, takeBody, type AppendPart, type BodySnapshot } from "./append-body.ts"
import type { AppendMarks } from "./append-request.ts"

/** What {@link AppendCall} is made of. */
export interface AppendCallOptions {
  /** The body, or a promise of it; undefined where the call only closes the stream. */
  readonly content?: { readonly value: unknown }
  readonly contentType: string | undefined
  readonly marks: AppendMarks
  /** What ends the call: the handle's signal and its own. */
  readonly signals: readonly (AbortSignal | undefined)[]
  /** The stream as messages may show it. */
  readonly stream: string
}

const hasArrived = Promise.resolve()

/** One caller's write, from the call until its promise is settled. It is settled once; what comes later is void. */
export class AppendCall {
  /** Settles with the answer to the request that the write went out with. */
  readonly answered: Promise<Answer>
  /** Resolves once the body is there, or the call is settled without. */
  readonly arrived: Promise<void>
  readonly marks: AppendMarks
  /** What the caller said of the body; undefined stands for the stream's type. */
  readonly contentType: string | undefined
  readonly hasContent: boolean
  /** Called when the call is settled while it is under way with others. */
  onSettled: (() => void) | undefined
  readonly #stream: string
  readonly #unwatch: (() => void)[] = []
  #body: BodySnapshot | undefined
  #encoded: { readonly contentType: string; readonly part: AppendPart } | undefined
  #isSettled = false
  #fulfill!: (answer: Answer) => void
  #refuse!: (error: unknown) => void

  constructor({ content, contentType, marks, signals, stream }: AppendCallOptions) {
    this.answered = new Promise((resolve, reject) => {
      this.#fulfill = resolve
      this.#refuse = reject
    })
    this.marks = marks
    this.contentType = contentType
    this.hasContent = content !== undefined
    this.#stream = stream
    this.arrived = this.#receive(content?.value)
    for (const signal of signals) if (signal !== undefined) this.#obey(signal)
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
    if (this.#encoded?.contentType === contentType) return true
    try {
      const part = encodeBody(this.#body, contentType, this.#stream)
      this.#encoded = { contentType, part }
      return true
    } catch (error) {
      this.reject(error)
      return false
    }
  }

  /** What {@link encode} made; undefined before it. */
  get part(): AppendPart | undefined {
    return this.#encoded?.part
  }

  /** Settles the call with an answer. */
  resolve(answer: Answer): void {
    if (this.#settle()) this.#fulfill(answer)
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
      value.then(
        (body) => {
          this.#body = takeBody(body, this.#stream)
          resolve()
        },
        (error: unknown) => this.reject(error),
      )
    })
  }

  #obey(signal: AbortSignal): void {
    const end = () => this.reject(new FetchBackoffAbortError(signal.reason))
    if (signal.aborted) end()
    else if (!this.#isSettled) this.#unwatch.push(onAbort(signal, end))
  }

  #settle(): boolean {
    if (this.#isSettled) return false
    this.#isSettled = true
    for (const unwatch of this.#unwatch) unwatch()
    this.onSettled?.()
    return true
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    typeof value === "object" &&
    value !== null &&
    "then" in value &&
    typeof value.then === "function"
  )
}
