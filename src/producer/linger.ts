import { onPageDeparture } from "../platform/page-departure.ts"

/** The wait of the open batch for more messages: one timer at a time, and none in a page that is left. */
export class Linger {
  readonly #lingerMs: number
  readonly #onOver: () => void
  readonly #onDeparture: () => void
  #end: (() => void) | undefined

  /**
   * @param onOver - the time is up
   * @param onDeparture - there is no time: the page is hidden or left
   */
  constructor(lingerMs: number, onOver: () => void, onDeparture: () => void) {
    this.#lingerMs = lingerMs
    this.#onOver = onOver
    this.#onDeparture = onDeparture
  }

  /** Begins to wait, unless it does already. */
  start(): void {
    if (this.#end !== undefined) return
    const timer = setTimeout(() => {
      this.stop()
      this.#onOver()
    }, this.#lingerMs)
    const unwatch = onPageDeparture(this.#onDeparture)
    this.#end = () => {
      clearTimeout(timer)
      unwatch()
    }
  }

  stop(): void {
    this.#end?.()
    this.#end = undefined
  }
}
