import { FetchBackoffAbortError } from "../errors/fetch-backoff-abort-error.ts"
import { onAbort } from "./abort-watch.ts"

const nobody: readonly never[] = []

/**
 * A signal that follows other signals for as long as it is needed. A signal that lives long (an application's)
 * must not collect a listener for every request made under it, so whoever makes a scope ends it.
 */
export class LinkedAbortController {
  readonly #controller = new AbortController()
  #unfollow: readonly (() => void)[] = nobody

  /** @param parents - the signals to follow; undefined ones are passed over */
  constructor(...parents: readonly (AbortSignal | undefined)[]) {
    const aborted = parents.find((parent) => parent?.aborted)
    if (aborted !== undefined) {
      this.#controller.abort(aborted.reason)
      return
    }
    for (const parent of parents) {
      if (parent === undefined) continue
      const follow = () => {
        this.abort(parent.reason)
      }
      this.#unfollow = [...this.#unfollow, onAbort(parent, follow)]
    }
  }

  /** The signal to hand to whoever works in this scope. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Aborts what works in this scope; the parents are not touched. */
  abort(reason?: unknown): void {
    this.end()
    this.#controller.abort(reason)
  }

  /** Stops following the parents. What still works in the scope goes on. */
  end(): void {
    for (const unfollow of this.#unfollow) unfollow()
    this.#unfollow = nobody
  }
}

/** @throws FetchBackoffAbortError where the signal is aborted */
export function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw new FetchBackoffAbortError(signal.reason)
}

/**
 * Waits for a promise, but no longer than for the signal: an abort rejects at once, also where what is waited for
 * never looks at the signal.
 *
 * @param promise - what to wait for
 * @param signal - ends the wait; a scope's, as each wait has a listener of its own on it
 * @param onLate - takes what the promise gives after the abort, so that it can be released
 * @throws FetchBackoffAbortError on abort
 */
export function raceAbort<T>(
  promise: Promise<T>,
  signal: AbortSignal,
  onLate?: (value: T) => void,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const giveUp = () => {
      // The promise is nobody's any more; its failure, or its value's, must not surface as an unhandled one.
      promise.then(onLate).catch(() => undefined)
      reject(new FetchBackoffAbortError(signal.reason))
    }
    if (signal.aborted) {
      giveUp()
      return
    }
    signal.addEventListener("abort", giveUp, { once: true })
    promise.then(
      (value) => {
        signal.removeEventListener("abort", giveUp)
        resolve(value)
      },
      (error: unknown) => {
        signal.removeEventListener("abort", giveUp)
        reject(error)
      },
    )
  })
}
