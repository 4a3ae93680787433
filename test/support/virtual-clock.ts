import { TimerQueue, VirtualTimer } from "./virtual-timer.ts"

/** Options of {@link VirtualClock}. */
export interface VirtualClockOptions {
  /** The wall clock at the start, in ms since 1970. */
  startMs?: number
  /** Remember where each timer was set (slow; for reports on a failing seed). */
  traceTimers?: boolean
}

/**
 * The clock of one run. Timers set here belong to the test's own world (network, server, script); those set through the
 * global `setTimeout` and `setInterval` belong to the code under test.
 */
export class VirtualClock {
  readonly #timers = new TimerQueue()
  readonly #startMs: number
  readonly #trace: boolean
  #elapsedMs = 0
  #wallShiftMs = 0
  #drift = 0
  #monotonicShiftMs = 0
  #throttled = false
  /** Grows with everything that may wake code up; the run is quiet when it stands still. */
  activity = 0

  constructor(options: VirtualClockOptions = {}) {
    this.#startMs = options.startMs ?? Date.UTC(2026, 0, 1)
    this.#trace = options.traceTimers ?? false
  }

  /** Time since the start of the run, in ms; stands still while the machine is suspended. */
  get elapsedMs(): number {
    return this.#elapsedMs
  }

  /** The wall clock of the machine under test, in ms since 1970. */
  now(): number {
    return this.#startMs + this.#elapsedMs * (1 + this.#drift) + this.#wallShiftMs
  }

  /** The monotonic clock of the machine under test, in ms. */
  monotonicNow(): number {
    return this.#elapsedMs + this.#monotonicShiftMs
  }

  /** The clock of the servers, which is always right. */
  readonly server = {
    now: (): number => this.#startMs + this.#elapsedMs,
    after: (delayMs: number, callback: () => void): (() => void) => this.after(delayMs, callback),
  }

  /** The wall clock is set forward or, by a negative number, backward. Timers and the monotonic clock go on. */
  setWallClock(byMs: number): void {
    this.#wallShiftMs += byMs
  }

  /** From now on the wall clock gains that fraction of the time that passes; it loses if the fraction is negative. */
  setDrift(fraction: number): void {
    this.#wallShiftMs += this.#elapsedMs * (this.#drift - fraction)
    this.#drift = fraction
  }

  /** Run `callback` after `delayMs`; the result takes it back. */
  after(delayMs: number, callback: () => void): () => void {
    const timer = this.setTimer(callback, delayMs, { environment: true })
    return () => this.clearTimer(timer)
  }

  /** Resolves after `delayMs`. */
  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => void this.after(delayMs, resolve))
  }

  /**
   * The machine is suspended for `durationMs`: the wall clock leaps, no timer fires meanwhile. `frozen` timers go on with
   * what was left of them, and the monotonic clock stood still (Linux, macOS); `overdue` ones fire on waking, and the
   * monotonic clock leaps as well (Windows).
   */
  suspend(durationMs: number, timers: "frozen" | "overdue"): void {
    this.#wallShiftMs += durationMs
    if (timers === "frozen") return
    this.#monotonicShiftMs += durationMs
    for (const timer of this.#timers.all()) {
      if (!timer.environment) timer.dueMs = Math.max(this.#elapsedMs, timer.dueMs - durationMs)
    }
  }

  /** While throttled, timers of the code under test fire once a minute, as in a tab that is hidden for long. */
  throttle(isThrottled: boolean): void {
    this.#throttled = isThrottled
  }

  setTimer(
    callback: () => void,
    delayMs: number,
    options: { environment?: boolean; repeat?: boolean } = {},
  ): VirtualTimer {
    // A delay that does not fit in 31 bits fires at once, as in every runtime.
    const usableMs = delayMs >= 1 && delayMs <= 0x7fffffff ? delayMs : 1
    const timer = new VirtualTimer({
      id: this.#timers.takeId(),
      callback,
      dueMs: this.#elapsedMs + (options.environment && delayMs <= 0 ? 0 : usableMs),
      ...(options.repeat ? { everyMs: usableMs } : {}),
      origin: this.#trace ? new Error("timer set here").stack : undefined,
      environment: options.environment ?? false,
    })
    this.#timers.add(timer)
    this.activity++
    return timer
  }

  clearTimer(timer: unknown): void {
    const id = timer instanceof VirtualTimer ? timer.id : Number(timer)
    this.activity++
    this.#timers.delete(id)
  }

  /** Go to the next timer and run it; false when there is none. */
  step(): boolean {
    const timer = this.#timers.peek(this.#throttled ? throttledDueMs : undefined)
    if (timer === undefined) return false
    const dueMs = this.#throttled ? throttledDueMs(timer) : timer.dueMs
    this.#elapsedMs = Math.max(this.#elapsedMs, dueMs)
    if (timer.everyMs === undefined) this.#timers.delete(timer.id)
    else timer.dueMs = this.#elapsedMs + timer.everyMs
    this.activity++
    timer.callback()
    return true
  }

  /** Timers of the code under test that are still set. */
  clientTimers(): VirtualTimer[] {
    return this.#timers.all().filter((timer) => !timer.environment)
  }
}

const MINUTE_MS = 60_000

function throttledDueMs({ environment, dueMs }: VirtualTimer): number {
  return environment ? dueMs : Math.ceil(dueMs / MINUTE_MS) * MINUTE_MS
}
