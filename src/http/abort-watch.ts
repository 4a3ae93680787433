interface Watch {
  readonly callbacks: Set<() => void>
  readonly listener: () => void
}

const watches = new WeakMap<AbortSignal, Watch>()

/**
 * Calls back once when a signal aborts. A signal has one listener of ours, however many wait on it: an application's
 * signal is given to a hundred streams, and Node takes more than ten listeners for a leak and says so.
 *
 * @param signal - one that is not aborted yet
 * @param callback - must not throw; a function of its own for every call
 * @returns a function that ends the wait; nothing is left on the signal once nobody waits
 */
export function onAbort(signal: AbortSignal, callback: () => void): () => void {
  const watch = watches.get(signal) ?? startWatch(signal)
  watch.callbacks.add(callback)
  return () => {
    watch.callbacks.delete(callback)
    if (watch.callbacks.size === 0) endWatch(signal, watch)
  }
}

function startWatch(signal: AbortSignal): Watch {
  const callbacks = new Set<() => void>()
  const watch: Watch = {
    callbacks,
    listener: () => {
      endWatch(signal, watch)
      for (const callback of [...callbacks]) {
        // What an earlier one ended must not be called any more.
        if (callbacks.has(callback)) callback()
      }
    },
  }
  signal.addEventListener("abort", watch.listener)
  watches.set(signal, watch)
  return watch
}

function endWatch(signal: AbortSignal, watch: Watch): void {
  if (watches.get(signal) === watch) watches.delete(signal)
  signal.removeEventListener("abort", watch.listener)
}
