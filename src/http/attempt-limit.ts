import type { FetchError } from "../errors/fetch-error.ts"
import { LinkedAbortController } from "./abort.ts"

const MAX_TIMER_MS = 2 ** 31 - 1

/** Ends something that takes too long. */
export class AttemptLimit {
  readonly #scope: LinkedAbortController
  readonly #timer: ReturnType<typeof setTimeout> | undefined
  #timeout: FetchError | undefined

  /**
   * @param parent - ends it as well
   * @param ms - how long it may take; Infinity for no limit
   * @param error - what it means that it took longer
   */
  constructor(parent: AbortSignal, ms: number, error: () => FetchError) {
    this.#scope = new LinkedAbortController(parent)
    // A longer timer would fire at once; nobody waits for a month.
    if (ms > MAX_TIMER_MS) return
    this.#timer = setTimeout(() => {
      this.#timeout = error()
      this.#scope.abort(this.#timeout)
    }, ms)
  }

  /** Aborted by the parent, or when time is over. */
  get signal(): AbortSignal {
    return this.#scope.signal
  }

  /** What it means that it took too long, once it has. */
  get timeout(): FetchError | undefined {
    return this.#timeout
  }

  /** It came in time. What came with it can still be aborted by the parent. */
  met(): void {
    clearTimeout(this.#timer)
  }

  /** It is over, and what came with it too. */
  end(): void {
    clearTimeout(this.#timer)
    this.#scope.end()
  }
}
