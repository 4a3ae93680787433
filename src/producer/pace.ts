/** How fast the shortest round trip is forgotten, with each response that took longer. */
const FORGETTING = 1 / 16
const GROWTH = 1.5
const DECAY = 0.98
/** Timers cannot space requests more finely. */
const MIN_SPACING_MS = 1
const MAX_SPACING_MS = 500
/** What takes longer says nothing of the network: a server that is busy, a machine that was suspended. */
const MAX_ROUND_TRIP_MS = 5000

/**
 * Spaces requests once one has overtaken another. Requests that go out together arrive in any order, and the server accepts
 * none that comes too early: under 2 ms of jitter, 300 batches with five in flight took 4 times as long as they had to. A
 * full window sends a request every (round trip / window) anyway, so that spacing costs no throughput.
 *
 * The round trip is the shortest of late. An average has in it how long requests waited for the server: after a burst to a
 * busy one it was 25 times what the next ones took, and so was the spacing.
 */
export class Pace {
  /** Nothing is to be sent before, by the monotonic clock. */
  nextSendMs = 0
  readonly #maxInFlight: number
  #roundTripMs = 0
  /** In units of the spacing that costs nothing; 0 until a request has overtaken another. */
  #factor = 0
  /** Requests up to this one were out when the last overtaking was seen: they tell of the same one. */
  #seenUpTo = 0

  constructor(maxInFlight: number) {
    this.#maxInFlight = maxInFlight
  }

  noteSend(nowMs: number): void {
    const fairMs = (this.#roundTripMs / this.#maxInFlight) * this.#factor
    const spacingMs = Math.min(fairMs, MAX_SPACING_MS)
    if (spacingMs < MIN_SPACING_MS) return
    // From the time when it was due, not from when the timer fired: timers are late, and the delays must not add up.
    this.nextSendMs = Math.max(this.nextSendMs + spacingMs, nowMs)
  }

  noteResponse(roundTripMs: number): void {
    const excessMs = Math.min(roundTripMs, MAX_ROUND_TRIP_MS) - this.#roundTripMs
    const isShorter = excessMs < 0 || this.#roundTripMs === 0
    this.#roundTripMs += isShorter ? excessMs : excessMs * FORGETTING
    if (this.#factor > 1) this.#factor = Math.max(1, this.#factor * DECAY)
  }

  /** Notes that a request came before one that was sent earlier. Requests are known by their places among all. */
  noteOutOfOrder(sendOrder: number, latestSendOrder: number): void {
    if (sendOrder <= this.#seenUpTo) return
    this.#seenUpTo = latestSendOrder
    this.#factor = Math.min(Math.max(1, this.#factor * GROWTH), this.#maxInFlight)
  }
}
