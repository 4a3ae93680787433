/** Where a response body ended up; "open" at the end of a run is a leak. */
export type BodyState = "open" | "read" | "cancelled" | "errored"

/**
 * A response body that is handed out chunk by chunk as it is read and that knows what became of it: read to its end,
 * cancelled, errored, or left lying.
 */
export class TrackedBody {
  readonly stream: ReadableStream<Uint8Array<ArrayBuffer>>
  readonly #queue: Uint8Array<ArrayBuffer>[] = []
  readonly #onSettled: (state: BodyState) => void
  #controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>> | undefined
  #state: BodyState = "open"
  /** How much of it was read. */
  readBytes = 0
  #wanted = false
  #ended = false

  constructor(onSettled: (state: BodyState) => void) {
    this.#onSettled = onSettled
    this.stream = new ReadableStream(
      {
        start: (controller) => void (this.#controller = controller),
        pull: () => {
          this.#wanted = true
          this.#flush()
        },
        cancel: () => this.#settle("cancelled"),
      },
      // Nothing is taken before it is asked for: what was taken was read.
      { highWaterMark: 0 },
    )
  }

  get state(): BodyState {
    return this.#state
  }

  write(bytes: Uint8Array): void {
    if (this.#state !== "open" || this.#ended || bytes.length === 0) return
    this.#queue.push(bytes.slice())
    this.#flush()
  }

  /** The body ends well once everything written has been read. */
  end(): void {
    this.#ended = true
    this.#flush()
  }

  /** The body breaks off; what was not read yet is gone, as with a socket that is reset. */
  fail(error: unknown): void {
    if (this.#state !== "open") return
    this.#settle("errored")
    this.#controller?.error(error)
  }

  #flush(): void {
    if (this.#state !== "open") return
    const next = this.#wanted ? this.#queue.shift() : undefined
    if (next) {
      this.#wanted = false
      this.readBytes += next.byteLength
      this.#controller?.enqueue(next)
    }
    if (this.#ended && this.#queue.length === 0 && this.#state === "open") {
      this.#settle("read")
      this.#controller?.close()
    }
  }

  #settle(state: BodyState): void {
    if (this.#state !== "open") return
    this.#state = state
    this.#onSettled(state)
  }
}
