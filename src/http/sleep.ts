import { FetchBackoffAbortError } from "../errors/fetch-backoff-abort-error.ts"

/** Timers count milliseconds in 32 bits; a longer one would fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1

/**
 * Waits, or ends at once with the signal.
 *
 * @param ms - how long
 * @param signal - ends the wait
 * @throws FetchBackoffAbortError on abort
 */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(new FetchBackoffAbortError(signal.reason))
      return
    }
    const onAbort = () => {
      clearTimeout(timer)
      reject(new FetchBackoffAbortError(signal?.reason))
    }
    const timer = setTimeout(
      () => {
        signal?.removeEventListener("abort", onAbort)
        resolve()
      },
      Math.min(ms, MAX_TIMER_MS),
    )
    signal?.addEventListener("abort", onAbort, { once: true })
  })
}
