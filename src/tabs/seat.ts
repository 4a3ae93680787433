import type { OriginLocks } from "../platform/origin.ts"

/** What a {@link Seat} reports. */
export interface SeatEvents {
  /** The lock is this participant's. `isStolen`: its holder lost it. */
  onGranted(isStolen: boolean): void
  /** Another participant took the lock. */
  onLost(): void
  /** The platform does not give locks here (an opaque origin, storage that is blocked). */
  onDenied(): void
}

/** One request for a lock. */
interface Turn {
  readonly withdrawal: AbortController
  /** Gives the lock back; undefined before it is granted. */
  release: (() => void) | undefined
  /** Which client of the origin held it then: this one. */
  clientId: string | undefined
}

/** A participant's place towards one lock: none, in the queue, or its holder. */
export class Seat {
  readonly #locks: OriginLocks
  readonly #name: string
  readonly #events: SeatEvents
  #turn: Turn | undefined

  constructor(locks: OriginLocks, name: string, events: SeatEvents) {
    this.#locks = locks
    this.#name = name
    this.#events = events
  }

  /** Waits for its turn. */
  queue(): void {
    this.#request(false)
  }

  /** Takes the lock from its holder. */
  steal(): void {
    this.#request(true)
  }

  /** Gives the lock up, or leaves the queue. */
  standUp(): void {
    const turn = this.#turn
    this.#turn = undefined
    if (turn?.release !== undefined) turn.release()
    else turn?.withdrawal.abort()
  }

  /** Whether the lock is still this participant's: one that slept may not have been notified. If not, it gives it up. */
  async isHeld(): Promise<boolean> {
    const turn = this.#turn
    const clientId = await this.#holder()
    if (turn?.release === undefined || turn !== this.#turn) return false
    if (turn.clientId === clientId) return true
    this.standUp()
    this.#events.onLost()
    return false
  }

  #request(steal: boolean): void {
    this.standUp()
    const turn: Turn = {
      withdrawal: new AbortController(),
      release: undefined,
      clientId: undefined,
    }
    this.#turn = turn
    // A request that steals cannot be withdrawn: it is given back when it is granted.
    const options: LockOptions = steal ? { steal } : { signal: turn.withdrawal.signal }
    const hold = () => {
      if (this.#turn !== turn) return undefined
      return new Promise<void>((resolve) => {
        turn.release = resolve
        // A page that slept may be granted a lock that it has lost; the rejection comes before the response to a query.
        void this.#holder().then((clientId) => {
          if (this.#turn !== turn) return
          turn.clientId = clientId
          this.#events.onGranted(steal)
        })
      })
    }
    // A platform that denies it throws, or rejects.
    const held = new Promise<void>((resolve) => {
      resolve(this.#locks.request(this.#name, options, hold))
    })
    held.catch(() => {
      if (this.#turn !== turn) return
      this.#turn = undefined
      if (turn.release === undefined) this.#events.onDenied()
      else this.#events.onLost()
    })
  }

  async #holder(): Promise<string | undefined> {
    // A platform that denies it is asked again later, and may have no ids.
    const { held = [] } = await this.#locks.query().catch((): LockManagerSnapshot => ({}))
    return held.find(({ name }) => name === this.#name)?.clientId
  }
}
