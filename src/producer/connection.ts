import type { RetryNotice, Retrying } from "../http/retry-loop.ts"
import { isOffline } from "../platform/network.ts"
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
  }

  /** @param isSettled - whether nothing is queued or in flight */
  update(producer: ProducerState, isSettled: boolean): void {
    const state = this.#next(producer, isSettled)
    if (state === this.#state) return
    this.#state = state
    this.#observe({ kind: "state", state })
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
        if (isSettled) return IDLE
        if (this.#retrying === undefined) return SENDING
        return isOffline() ? OFFLINE : this.#retrying
    }
  }
}
