import { LinkedAbortController, raceAbort } from "../http/abort.ts"
import { checkSignal } from "../http/endpoint.ts"

/**
 * A promise that is settled from outside. Its rejection never surfaces as an unhandled one: what failed is told in
 * other places too, and whoever waits for the promise still sees it.
 */
export class Deferred<T> {
  readonly promise: Promise<T>
  #resolve!: (value: T | PromiseLike<T>) => void
  #reject!: (error: unknown) => void

  constructor() {
    this.promise = new Promise<T>((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  resolve(value: T | PromiseLike<T>): void {
    this.#resolve(value)
  }

  reject(error: unknown): void {
    // Attached only now: a promise that resolves, as nearly all do, costs no second one.
    this.promise.catch(() => undefined)
    this.#reject(error)
  }
}

/** Marks a promise as one whose rejection may go unheard. */
export function quiet<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined)
  return promise
}

/** Waits for a promise, but no longer than for the signal. @throws FetchBackoffAbortError on abort; InvalidSignalError */
export async function waitFor(
  promise: Promise<void>,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (signal === undefined) return promise
  checkSignal(signal)
  const controller = new LinkedAbortController(signal)
  try {
    await raceAbort(promise, controller.signal)
  } finally {
    controller.end()
  }
}
