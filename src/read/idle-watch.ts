/** How often the clock is looked at, so that a machine that slept is noticed soon after it wakes. */
const TICK_MS = 5_000

/** A clock that is further ahead than this, of where a tick should have found it, has slept. */
const SLEPT_MS = 10_000

/** What was noticed: nothing came for too long, or the machine slept and nothing on the wire can be trusted. */
export type Silence = "idle" | "slept"

/** Who is told of it. */
export interface SilenceListener {
  /**
   * Called once for a silence; the watch waits no further then.
   *
   * @param timeoutMs - how long a silence may last in the wait that it ended
   */
  onSilence(silence: Silence, timeoutMs: number): void
}

/**
 * Watches a wait for the network. Only waiting counts: a consumer that takes its time is no silence. At most one timer
 * runs, and none once `end` was called.
 */
export class IdleWatch {
  readonly #listener: SilenceListener
  #timeoutMs = Infinity
  #timer: ReturnType<typeof setTimeout> | undefined
  #waitingSince: number | undefined
  #tickAt = 0

  constructor(listener: SilenceListener) {
    this.#listener = listener
  }

  /** Begins to wait for a sound. */
  listen(timeoutMs: number): void {
    this.#timeoutMs = timeoutMs
    this.#waitingSince = Date.now()
    // A tick of the wait before may be due later than this wait allows.
    if (this.#timer !== undefined && this.#tickAt > this.#waitingSince + timeoutMs) this.#disarm()
    if (this.#timer === undefined) this.#arm(timeoutMs)
  }

  /** Ends the wait: something came. */
  heard(): void {
    this.#waitingSince = undefined
  }

  /** Ends the watch. */
  end(): void {
    this.#waitingSince = undefined
    this.#disarm()
  }

  #disarm(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #arm(remainingMs: number): void {
    const delayMs = Math.min(TICK_MS, remainingMs)
    this.#tickAt = Date.now() + delayMs
    this.#timer = setTimeout(IdleWatch.#onTick, delayMs, this)
  }

  static #onTick(watch: IdleWatch): void {
    watch.#tick()
  }

  #tick(): void {
    this.#timer = undefined
    const since = this.#waitingSince
    if (since === undefined) return
    const now = Date.now()
    const slept = now - this.#tickAt > SLEPT_MS
    // A clock that was set back would make the wait endless: begin it anew.
    const waitedMs = now < since ? 0 : now - since
    if (now < since) this.#waitingSince = now
    if (!slept && waitedMs < this.#timeoutMs) {
      this.#arm(this.#timeoutMs - waitedMs)
      return
    }
    this.#waitingSince = undefined
    this.#listener.onSilence(slept ? "slept" : "idle", this.#timeoutMs)
  }
}
