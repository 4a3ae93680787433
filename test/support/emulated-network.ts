import { vi } from "vitest"

/** The network of a browser, as its globals report it; `vi.unstubAllGlobals()` ends it. */
export class EmulatedNetwork {
  readonly navigator = { onLine: true }
  readonly #listeners = new Set<string>()
  readonly #target = new EventTarget()

  constructor() {
    let names = 0
    const keys = new Map<unknown, string>()
    const keyOf = (type: string, listener: unknown) => {
      if (!keys.has(listener)) keys.set(listener, String(++names))
      return `${type} ${keys.get(listener)}`
    }
    vi.stubGlobal("navigator", this.navigator)
    vi.stubGlobal("addEventListener", (type: string, listener: () => void) => {
      this.#listeners.add(keyOf(type, listener))
      this.#target.addEventListener(type, listener)
    })
    vi.stubGlobal("removeEventListener", (type: string, listener: () => void) => {
      this.#listeners.delete(keyOf(type, listener))
      this.#target.removeEventListener(type, listener)
    })
  }

  get listenerCount(): number {
    return this.#listeners.size
  }

  goOffline(): void {
    this.navigator.onLine = false
    this.#target.dispatchEvent(new Event("offline"))
  }

  goOnline(): void {
    this.navigator.onLine = true
    this.#target.dispatchEvent(new Event("online"))
  }
}
