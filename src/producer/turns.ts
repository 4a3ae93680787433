import type { Backlog } from "./backlog.ts"
import type { Delivery } from "./delivery.ts"

/**
 * Says whose turn it is to be sent. The first batch that is not settled may always go. One behind it may go once, while
 * everything before it is on its way; sent behind one that is not, it could only be answered with a gap.
 */
export class Turns {
  readonly #backlog: Backlog
  #notBeforeMs = 0

  constructor(backlog: Backlog) {
    this.#backlog = backlog
  }

  /** Nothing is to be sent before, by the clock. */
  get notBeforeMs(): number {
    return this.#notBeforeMs
  }

  /** What one batch is told to wait for holds for all of them: the first sits it out, the others wait for the first. */
  postpone(delayMs: number): void {
    this.#notBeforeMs = Math.max(this.#notBeforeMs, Date.now() + delayMs)
  }

  /** Waits until a batch may go. */
  async wait(delivery: Delivery): Promise<void> {
    delivery.isGoing = this.#mayGo(delivery)
    if (delivery.isGoing) return
    await new Promise<void>((resolve) => {
      delivery.wake = () => {
        delivery.wake = undefined
        delivery.isGoing = true
        resolve()
      }
    })
  }

  /** Lets go whoever waits and may, in order. Behind one that may not, nobody may. */
  wake(): void {
    for (const delivery of this.#backlog) {
      if (!delivery.isGoing && !this.#mayGo(delivery)) return
      delivery.wake?.()
    }
  }

  #mayGo(delivery: Delivery): boolean {
    if (this.#backlog.first === delivery) return true
    const isPostponed = Date.now() < this.#notBeforeMs
    return !isPostponed && delivery.tries === 0 && delivery.previous?.isGoing === true
  }
}
