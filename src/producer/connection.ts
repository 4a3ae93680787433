import type { RetryNotice, Retrying } from "../http/retry-loop.ts"
import { isOffline, onOnline } from "../platform/network.ts"
import type { ProducerConnectionState, ProducerEvent, ProducerState } from "./producer-options.ts"

// One object for each: a change of what users are shown is another object.
const IDLE: ProducerConnectionState = { kind: "idle" }
const SENDING: ProducerConnectionState = { kind: "sending" }
const OFFLINE: ProducerConnectionState = { kind: "offline" }

/** The state of a producer's connection. `observe` is called with each change. */
export class Connection {
  readonly #observe: (event: ProducerEvent) => void
  #state = IDLE
  /** What failed, until a batch is acknowledged. */
  #retrying: Retrying | undefined
  /** Whether the platform has said so, and no batch was acknowledged since. */
  #lostNetwork = false
  /** Ends the watch of the network: it lasts while there is something to send. */
  #unwatch: (() => void) | undefined

  constructor(observe: (event: ProducerEvent) => void) {
    this.#observe = observe
  }

  get state(): ProducerConnectionState {
    return this.#state
  }

  get isIdle(): boolean {
    return this.#state === IDLE
  }

  noteRetry({ error, attempt, delayMs }: RetryNotice): void {
    this.#retrying = { kind: "retrying", error, attempt, retryAtMs: Date.now() + delayMs }
  }

  noteSuccess(): void {
    this.#retrying = undefined
    this.#lostNetwork = false
  }

  /** @param isSettled - whether nothing is queued or in flight */
  update(producer: ProducerState, isSettled: boolean): void {
    const state = this.#next(producer, isSettled)
    if (state === IDLE || state.kind === "ended") {
      this.#unwatch?.()
      this.#unwatch = undefined
      this.#lostNetwork = false
    } else this.#unwatch ??= this.#watch()
    this.#show(state)
  }

  #show(state: ProducerConnectionState): void {
    if (state === this.#state) return
    this.#state = state
    this.#observe({ kind: "state", state })
  }

  #watch(): () => void {
    const show = () => this.#show(this.#busy)
    return onOnline(show, () => {
      this.#lostNetwork = true
      show()
    })
  }

  get #busy(): ProducerConnectionState {
    if ((this.#retrying !== undefined || this.#lostNetwork) && isOffline()) return OFFLINE
    return this.#retrying ?? SENDING
  }

  #next(producer: ProducerState, isSettled: boolean): ProducerConnectionState {
    if (this.#state.kind === "ended") return this.#state
    switch (producer.kind) {
      case "failed":
        return { kind: "ended", reason: producer.kind, error: producer.error }
      case "closed":
      case "detached":
        return { kind: "ended", reason: producer.kind }
      default:
        return isSettled ? IDLE : this.#busy
    }
  }
}
