import { FetchBackoffAbortError } from "../errors/fetch-backoff-abort-error.ts"
import { onAbort } from "./abort-watch.ts"

/** Timers count milliseconds in 32 bits; a longer one would fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1

/**
 * Waits, or ends at once with the signal.
 *
 * @param ms - how long
 * @param signal - ends the wait
 * @param watch - watches for what makes the wait needless, and gives a function that ends the watch
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
