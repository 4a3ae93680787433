import { LinkedAbortController, MAX_TIMER_MS } from "./abort.ts"

/** Ends what takes too long. */
export class Deadline {
  readonly #controller: LinkedAbortController
  readonly #timer: ReturnType<typeof setTimeout> | undefined
  #timeout: Error | undefined

  /** @param parent - ends it as well */
  constructor(parent: AbortSignal | undefined, ms: number, error: () => Error) {
    this.#controller = new LinkedAbortController(parent)
    // A longer timer would fire at once; nothing waits for a month.
    if (ms > MAX_TIMER_MS) return
    this.#timer = setTimeout(() => {
      this.#timeout = error()
      this.#controller.abort(this.#timeout)
    }, ms)
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  get timeout(): Error | undefined {
    return this.#timeout
  }

  /** It came in time. What came with it can still be aborted by the parent. */
  met(): void {
    clearTimeout(this.#timer)
  }

  /** It is over, and what came with it too. */
  end(): void {
    clearTimeout(this.#timer)
    this.#controller.end()
  }
}
