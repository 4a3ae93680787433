import { monotonicMs } from "../platform/clock.ts"
import { transferFailure, type TransferFailure } from "./page.ts"

/** How often the clocks are read, so that a suspended machine is noticed soon after it wakes. */
const TICK_MS = 5_000

/** A timer that fires later than this past its time was suspended, or throttled, as in a hidden tab. */
const LATE_MS = 10_000

/** How long a connection has, after a late timer, to prove that it is alive. */
const PROOF_MS = 1_000

export interface IdleListener {
  /** Called once for a wait; the watch waits no further then. */
  onIdle(failure: TransferFailure): void
}

/**
 * Watches waits for the network. Only waiting counts: a slow consumer is no idle connection. At most one timer runs, and
 * none after `end`.
 *
 * Late timers alone do not prove a suspension: hidden tabs run them once a minute. A connection counts as suspended if a
 * timer is late, and nothing has arrived since it was due nor arrives shortly after it.
 */
export class IdleWatch {
  readonly #url: string
  readonly #listener: IdleListener
  #timeoutMs = Infinity
  #timer: ReturnType<typeof setTimeout> | undefined
  #waitingSinceMs: number | undefined
  /** When the timer is due: by the monotonic clock, which may stop while the machine sleeps, and by the wall clock. */
  #dueMs = 0
  #wallDueMs = 0
  #heardAtWallMs = 0
  #isLate = false
  #failure: TransferFailure | undefined

  constructor(url: string, listener: IdleListener) {
    this.#url = url
    this.#listener = listener
  }

  /** What ended the last wait, if nothing arrived. */
  get failure(): TransferFailure | undefined {
    return this.#failure
  }

  listen(timeoutMs: number): void {
    const nowMs = monotonicMs()
    this.#timeoutMs = timeoutMs
    this.#waitingSinceMs = nowMs
    // A tick of the wait before may be due later than this wait allows.
    if (this.#timer !== undefined && this.#dueMs > nowMs + timeoutMs) this.#disarm()
    if (this.#timer === undefined) this.#arm(timeoutMs)
  }

  /** Ends the wait: something arrived. */
  heard(): void {
    this.#waitingSinceMs = undefined
    this.#heardAtWallMs = Date.now()
    this.#isLate = false
  }

  end(): void {
    this.#waitingSinceMs = undefined
    this.#disarm()
  }

  #disarm(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #arm(remainingMs: number): void {
    const delayMs = Math.min(TICK_MS, remainingMs)
    this.#dueMs = monotonicMs() + delayMs
    this.#wallDueMs = Date.now() + delayMs
    this.#timer = setTimeout(IdleWatch.#onTick, delayMs, this)
  }

  static #onTick(watch: IdleWatch): void {
    watch.#tick()
  }

  #tick(): void {
    this.#timer = undefined
    const sinceMs = this.#waitingSinceMs
    const nowMs = monotonicMs()
    if (sinceMs === undefined) return
    if (this.#isLate) {
      this.#idle("suspended")
      return
    }
    const lateMs = Math.max(nowMs - this.#dueMs, Date.now() - this.#wallDueMs)
    this.#isLate = lateMs > LATE_MS && this.#heardAtWallMs <= this.#wallDueMs
    const remainingMs = this.#isLate ? PROOF_MS : this.#timeoutMs - (nowMs - sinceMs)
    if (remainingMs > 0) this.#arm(remainingMs)
    else this.#idle("timeout")
  }

  #idle(kind: "timeout" | "suspended"): void {
    this.#waitingSinceMs = undefined
    const reason =
      kind === "timeout"
        ? `nothing arrived for ${this.#timeoutMs} ms`
        : "its connection did not survive the suspension of this machine"
    this.#failure = transferFailure(this.#url, kind, reason)
    this.#listener.onIdle(this.#failure)
  }
}
