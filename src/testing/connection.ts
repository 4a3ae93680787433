import type { ModelClock, ModelResponse } from "./messages.ts"

const BODILESS = [204, 205, 304]

/** One call of `fetch`, from the request to the end of the response's body, with the abort semantics of `fetch`. */
export class Connection {
  readonly #signal: AbortSignal | undefined
  readonly #resolve: (response: Response) => void
  readonly #reject: (error: unknown) => void
  readonly #onOver: () => void
  readonly #gone = new AbortController()
  #body: ReadableStreamDefaultController<Uint8Array> | undefined
  #stopBody: () => void = () => undefined

  constructor(fields: {
    /** Not aborted yet. */
    signal: AbortSignal | undefined
    resolve: (response: Response) => void
    reject: (error: unknown) => void
    /** Called once nothing more happens on this connection. */
    onOver: () => void
  }) {
    this.#signal = fields.signal
    this.#resolve = fields.resolve
    this.#reject = fields.reject
    this.#onOver = fields.onOver
    this.#signal?.addEventListener("abort", this.#onAbort)
  }

  /** Aborted once nothing more happens on this connection. */
  get gone(): AbortSignal {
    return this.#gone.signal
  }

  /** Resolves after a time, or once the connection is gone. */
  async wait(delayMs: number, clock: ModelClock): Promise<void> {
    if (this.#isOver) return
    let stop = (): void => undefined
    await new Promise<void>((resolve) => {
      stop = clock.after(delayMs, resolve)
      this.gone.addEventListener("abort", () => resolve())
    })
    stop()
  }

  /** The connection breaks, before the headers or in the body. */
  fail(error: unknown): void {
    if (this.#isOver) return
    this.#finish()
    if (this.#body === undefined) this.#reject(error)
    else this.#body.error(error)
  }

  /**
   * The response arrives.
   *
   * @param response - as the server gives it
   * @param isHead - whether it responds to HEAD: then it has no body, whatever its headers say
   * @param cutAfterBytes - the connection breaks after so many bytes of the body
   */
  respond(response: ModelResponse, isHead: boolean, cutAfterBytes = Infinity): void {
    const { status, headers, body } = response
    if (this.#isOver) return
    if (body.kind === "none" || isHead || BODILESS.includes(status)) {
      this.#finish()
      this.#resolve(new Response(null, { status, headers }))
      return
    }
    const stream = new ReadableStream<Uint8Array>({
      start: (controller) => void (this.#body = controller),
      cancel: () => this.#finish(),
    })
    this.#resolve(new Response(stream, { status, headers }))
    let remaining = cutAfterBytes
    const write = (bytes: Uint8Array): void => {
      if (this.#isOver) return
      if (bytes.length > 0 && remaining > 0) this.#body?.enqueue(bytes.slice(0, remaining))
      remaining -= bytes.length
      if (remaining < 0) this.fail(lostConnection())
    }
    if (body.kind === "live") {
      const stop = body.open({ write, end: () => this.#end() })
      // It may have ended at once.
      if (this.gone.aborted) stop()
      else this.#stopBody = stop
      return
    }
    write(body.bytes)
    this.#end()
  }

  readonly #onAbort = (): void => this.fail(this.#signal?.reason)

  get #isOver(): boolean {
    return this.gone.aborted
  }

  #end(): void {
    if (this.#isOver) return
    this.#finish()
    this.#body?.close()
  }

  #finish(): void {
    if (this.#isOver) return
    this.#gone.abort()
    this.#signal?.removeEventListener("abort", this.#onAbort)
    this.#stopBody()
    this.#onOver()
  }
}

/** What `fetch` rejects with if the connection breaks. */
export function lostConnection(): Error {
  return new TypeError("fetch failed", {
    cause: Object.assign(new Error("other side closed"), { code: "UND_ERR_SOCKET" }),
  })
}

/** What `fetch` rejects with if no server listens. */
export function refusedConnection(): Error {
  return new TypeError("fetch failed", {
    cause: Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" }),
  })
}
