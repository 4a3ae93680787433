const watches = new WeakMap<AbortSignal, AbortWatch>()

/**
 * Calls back once when a signal aborts. A signal has one listener of ours, however many wait on it: an application's
 * signal is given to a hundred streams, and Node takes more than ten listeners for a leak and says so.
 *
 * @param signal - one that is not aborted yet
 * @param callback - must not throw; a function of its own for every call
 * @returns a function that ends the wait; nothing is left on the signal once nobody waits
 */
export function onAbort(signal: AbortSignal, callback: () => void): () => void {
  const watch = watches.get(signal) ?? new AbortWatch(signal)
  watch.add(callback)
  return () => {
    watch.delete(callback)
  }
}

/** Those who wait on one signal. */
class AbortWatch {
  readonly #signal: AbortSignal
  /** Most signals have one who waits, and a list is three times as large as all the rest. */
  #callbacks: (() => void) | Set<() => void> | undefined

  constructor(signal: AbortSignal) {
    this.#signal = signal
    signal.addEventListener("abort", this.#onAbort)
    watches.set(signal, this)
  }

  add(callback: () => void): void {
    const others = this.#callbacks
    if (others === undefined) this.#callbacks = callback
    else if (typeof others === "function") this.#callbacks = new Set([others, callback])
    else others.add(callback)
  }

  delete(callback: () => void): void {
    const callbacks = this.#callbacks
    if (callbacks === callback) this.#callbacks = undefined
    else if (typeof callbacks === "object") callbacks.delete(callback)
    if (this.#isEmpty) this.#end()
  }

  readonly #onAbort = (): void => {
    this.#end()
    const callbacks = this.#callbacks
    if (typeof callbacks === "function") callbacks()
    else if (callbacks !== undefined) {
      for (const callback of [...callbacks]) {
        // What an earlier one ended must not be called any more.
        if (callbacks.has(callback)) callback()
      }
    }
  }

  get #isEmpty(): boolean {
    const callbacks = this.#callbacks
    return callbacks === undefined || (typeof callbacks === "object" && callbacks.size === 0)
  }

  #end(): void {
    if (watches.get(this.#signal) === this) watches.delete(this.#signal)
    this.#signal.removeEventListener("abort", this.#onAbort)
  }
}
