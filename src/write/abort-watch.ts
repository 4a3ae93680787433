/**
 * Calls back on aborts with one listener for a signal, however many wait on it: an application's signal is given to
 * thousands of calls, and platforms take as many listeners for a leak.
 */
export class AbortWatch {
  readonly #watched = new Map<AbortSignal, { callbacks: Set<() => void>; listener: () => void }>()

  /**
   * Calls back once when the signal aborts.
   *
   * @returns a function that ends the watch
   */
  watch(signal: AbortSignal, onAbort: () => void): () => void {
    const { callbacks } = this.#watched.get(signal) ?? this.#listen(signal)
    callbacks.add(onAbort)
    return () => {
      callbacks.delete(onAbort)
      if (callbacks.size === 0) this.#unlisten(signal, callbacks)
    }
  }

  #listen(signal: AbortSignal): { callbacks: Set<() => void> } {
    const callbacks = new Set<() => void>()
    const listener = () => {
      this.#unlisten(signal, callbacks)
      for (const callback of [...callbacks]) callback()
    }
    signal.addEventListener("abort", listener)
    const entry = { callbacks, listener }
    this.#watched.set(signal, entry)
    return entry
  }

  #unlisten(signal: AbortSignal, callbacks: Set<() => void>): void {
    const entry = this.#watched.get(signal)
    if (entry?.callbacks !== callbacks) return
    this.#watched.delete(signal)
    signal.removeEventListener("abort", entry.listener)
  }
}
