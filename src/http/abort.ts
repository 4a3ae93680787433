import { FetchBackoffAbortError } from "../errors/fetch-backoff-abort-error.ts"

const none: readonly never[] = []

/**
 * A signal that follows other signals for as long as it is needed. A signal that lives long (an application's) must not
 * collect a listener for every request made under it, so the code that makes one ends it. Its signal is one that the
 * platform's `fetch` takes, whatever realm the signals come from that it follows.
 */
export class LinkedAbortController {
  readonly #controller = newController()
  #unfollow: readonly (() => void)[] = none

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

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Aborts what was started; the parents are not touched. */
  abort(reason?: unknown): void {
    this.end()
    this.#controller.abort(reason)
  }

  /** Stops following the parents. What was started continues. */
  end(): void {
    for (const unfollow of this.#unfollow) unfollow()
    this.#unfollow = none
  }
}

/**
 * Test environments (jsdom, happy-dom) put an AbortController of their own beside Node's `fetch`, which rejects its signals.
 * The signal of a writable stream's controller is always the platform's.
 */
function newController(): Pick<AbortController, "signal" | "abort"> {
  const controller = new AbortController()
  if (isFetchable(controller.signal)) return controller
  let signal = controller.signal
  const stream = new WritableStream({
    start(given) {
      signal = given.signal
    },
  })
  return {
    signal,
    abort(reason) {
      // It rejects if the stream has failed already; then it is aborted.
      stream.abort(reason).catch(() => undefined)
    },
  }
}

let fetchable:
  { readonly Class: unknown; readonly Asked: unknown; readonly is: boolean } | undefined

/** Whether the platform's `fetch` takes signals of a class. Asked once for each. */
function isFetchable(signal: AbortSignal): boolean {
  if (typeof Request === "undefined" || typeof WritableStream === "undefined") return true
  const Class = signal.constructor
  if (fetchable?.Class !== Class || fetchable.Asked !== Request) {
    let is = true
    try {
      new Request("http://localhost", { signal })
    } catch {
      is = false
    }
    fetchable = { Class, Asked: Request, is }
  }
  return fetchable.is
}

export function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw new FetchBackoffAbortError(signal.reason)
}

/**
 * Waits for a promise, but no longer than for the signal: an abort rejects at once, also where what is waited for
 * never looks at the signal.
 *
 * @param signal - a LinkedAbortController's, as each wait has a listener of its own on it
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
      // No caller waits for the promise any more: its rejection must not surface as an unhandled one.
      promise.then(onLate).catch(() => undefined)
      reject(new FetchBackoffAbortError(signal.reason))
    }
    if (signal.aborted) {
      giveUp()
      return
    }
    signal.addEventListener("abort", giveUp)
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

/**
 * Timers count milliseconds in 32 bits; a longer one would fire at once. Written as a number: bundlers keep `2 ** 31 - 1` where
 * nothing uses it.
 */
export const MAX_TIMER_MS = 2_147_483_647

/**
 * Waits, or ends at once with the signal.
 *
 * @param watch - watches for what makes the wait needless, and returns a function that ends the watch
 * @throws FetchBackoffAbortError on abort
 */
export function sleep(
  ms: number,
  signal?: AbortSignal,
  watch?: (wake: () => void) => () => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(new FetchBackoffAbortError(signal.reason))
      return
    }
    const end = () => {
      clearTimeout(timer)
      unfollow?.()
      unwatch?.()
    }
    const onWake = () => {
      end()
      resolve()
    }
    const timer = setTimeout(onWake, Math.min(ms, MAX_TIMER_MS))
    const unfollow =
      signal &&
      onAbort(signal, () => {
        end()
        reject(new FetchBackoffAbortError(signal.reason))
      })
    const unwatch = watch?.(onWake)
  })
}

const watches = new WeakMap<AbortSignal, AbortWatch>()

/**
 * Calls back once when a signal aborts. A signal has one listener of ours, however many wait on it: an application's
 * signal is given to a hundred streams, and Node warns of a leak at more than ten listeners.
 *
 * @param signal - one that is not aborted yet
 * @param callback - must not throw; a function of its own for every call
 * @returns a function that ends the wait; nothing is left on the signal after the last one
 */
export function onAbort(signal: AbortSignal, callback: () => void): () => void {
  const watch = watches.get(signal) ?? watchSignal(signal)
  const { first, others } = watch
  if (first === undefined && others === undefined) watch.first = callback
  else (watch.others ??= new Set()).add(callback)
  return () => {
    if (watch.first === callback) watch.first = undefined
    watch.others?.delete(callback)
    if (watch.first === undefined && !watch.others?.size) watch.end()
  }
}

/** The callbacks that wait on one signal. Most signals have one, and a Set is three times as large as all the rest. */
interface AbortWatch {
  first: (() => void) | undefined
  others: Set<() => void> | undefined
  readonly end: () => void
}

function watchSignal(signal: AbortSignal): AbortWatch {
  const onAborted = () => {
    watch.end()
    watch.first?.()
    // What an earlier one ended is not in the set any more, and is not called.
    watch.others?.forEach((callback) => {
      callback()
    })
  }
  const end = () => {
    if (watches.get(signal) === watch) watches.delete(signal)
    signal.removeEventListener("abort", onAborted)
  }
  const watch: AbortWatch = { first: undefined, others: undefined, end }
  signal.addEventListener("abort", onAborted)
  watches.set(signal, watch)
  return watch
}
