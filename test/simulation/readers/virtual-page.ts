/** An event target that knows how many listen to it. */
class CountingTarget {
  readonly #listeners = new Map<string, Set<(event: object) => void>>()

  get listenerCount(): number {
    let count = 0
    for (const listeners of this.#listeners.values()) count += listeners.size
    return count
  }

  readonly addEventListener = (type: string, listener: (event: object) => void): void => {
    const listeners = this.#listeners.get(type) ?? new Set()
    this.#listeners.set(type, listeners.add(listener))
  }

  readonly removeEventListener = (type: string, listener: (event: object) => void): void => {
    this.#listeners.get(type)?.delete(listener)
  }

  dispatch(type: string, fields: object = {}): void {
    for (const listener of [...(this.#listeners.get(type) ?? [])]) listener({ type, ...fields })
  }
}

/** The document and the window of a browser's page, as far as a session listens to them; installed until it is removed. */
export class VirtualPage {
  readonly #window = new CountingTarget()
  readonly #document = Object.assign(new CountingTarget(), {
    hidden: false,
    visibilityState: "visible",
  })
  readonly #names = ["document", "addEventListener", "removeEventListener"] as const

  constructor() {
    const { addEventListener, removeEventListener } = this.#window
    const values = { document: this.#document, addEventListener, removeEventListener }
    for (const name of this.#names) {
      Object.defineProperty(globalThis, name, { value: values[name], configurable: true })
    }
  }

  get listenerCount(): number {
    return this.#window.listenerCount + this.#document.listenerCount
  }

  freeze(): void {
    this.#document.dispatch("freeze")
  }

  resume(): void {
    this.#document.dispatch("resume")
  }

  /** The page goes into the back/forward cache. */
  hide(): void {
    this.#window.dispatch("pagehide", { persisted: true })
  }

  /** The page comes back from it. */
  show(): void {
    this.#window.dispatch("pageshow", { persisted: true })
  }

  online(): void {
    this.#window.dispatch("online")
  }

  remove(): void {
    for (const name of this.#names) Reflect.deleteProperty(globalThis, name)
  }
}
