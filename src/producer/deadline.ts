import { monotonicMs } from "../platform/clock.ts"

const MAX_TIMER_MS = 2 ** 31 - 1
/** A timer that fires so late was held up: the machine was suspended. */
export const SUSPENDED_MS = 5000

/** The time until which one batch must be settled. */
export class Deadline<T> {
  readonly #onPassed: (wasSuspended: boolean) => void
  #subject: T | undefined
  #timer: ReturnType<typeof setTimeout> | undefined

  /** @param onPassed - it has passed; if the machine was suspended, nothing could happen for a part of the time */
  constructor(onPassed: (wasSuspended: boolean) => void) {
    this.#onPassed = onPassed
  }

  /** What it is for; undefined for none. */
  get subject(): T | undefined {
    return this.#subject
  }

  /** Replaces the deadline. @param atMs - by the monotonic clock; Infinity for none */
  set(subject: T, atMs: number): void {
    this.clear()
    this.#subject = subject
    if (atMs < Infinity) this.#start(atMs)
  }

  clear(): void {
    this.#subject = undefined
    clearTimeout(this.#timer)
  }

  #start(atMs: number): void {
    this.#timer = setTimeout(
      () => {
        const lateMs = monotonicMs() - atMs
        // Long delays are set in parts, and timers can be ahead of the clock after the machine was suspended.
        if (lateMs < 0) this.#start(atMs)
        else this.#onPassed(lateMs >= SUSPENDED_MS)
      },
      Math.min(atMs - monotonicMs(), MAX_TIMER_MS),
    )
  }
}
