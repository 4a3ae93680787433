import type { SeededRandom } from "./seeded-random.ts"
import type { VirtualClock } from "./virtual-clock.ts"

const realSetImmediate = globalThis.setImmediate

/**
 * Real turns of the event loop that must pass without a sign of activity. Promise work (web streams and `Response` bodies
 * too) is done within one; the second catches what hops over `setImmediate` once.
 */
const QUIET_TURNS = 2

let installed = false

/** The replaced globals of one run; {@link restore} puts the real ones back. */
export class VirtualGlobals {
  readonly #clock: VirtualClock
  readonly #restores: Array<() => void> = []
  #hops = 0

  private constructor(clock: VirtualClock) {
    this.#clock = clock
  }

  static install(clock: VirtualClock, random: SeededRandom): VirtualGlobals {
    if (installed) throw new Error("another virtual run is under way in this process")
    installed = true
    const globals = new VirtualGlobals(clock)
    globals.#replaceTimers()
    globals.#replace(Date, "now", () => Math.floor(clock.now()))
    globals.#replace(performance, "now", () => clock.monotonicNow())
    globals.#replace(Math, "random", () => random.next())
    globals.#replace(crypto, "getRandomValues", (array: Uint8Array) => {
      const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
      for (let index = 0; index < bytes.length; index++) bytes[index] = random.int(0, 255)
      return array
    })
    globals.#replace(crypto, "randomUUID", () => {
      const groups = [8, 4, 4, 4, 12].map((length) =>
        Array.from({ length }, () => random.int(0, 15).toString(16)).join(""),
      )
      return groups.join("-")
    })
    globals.#replace(AbortSignal, "timeout", (delayMs: number) => {
      const controller = new AbortController()
      clock.setTimer(() => controller.abort(new DOMException("timed out", "TimeoutError")), delayMs)
      return controller.signal
    })
    return globals
  }

  /** Resolves once promise work has come to rest and only a timer can make something happen. */
  async untilQuiet(): Promise<void> {
    let quietTurns = 0
    while (quietTurns < QUIET_TURNS) {
      const before = this.#clock.activity + this.#hops
      await new Promise<void>((resolve) => void realSetImmediate(resolve))
      quietTurns = this.#clock.activity + this.#hops === before ? quietTurns + 1 : 0
    }
  }

  restore(): void {
    for (const restore of this.#restores.reverse()) restore()
    installed = false
  }

  #replaceTimers(): void {
    const clock = this.#clock
    const bind = (callback: unknown, args: unknown[]): (() => void) => {
      if (typeof callback !== "function") throw new TypeError("a timer needs a function")
      return () => void callback(...args)
    }
    this.#replace(globalThis, "setTimeout", (callback: unknown, delayMs = 0, ...args: unknown[]) =>
      clock.setTimer(bind(callback, args), delayMs),
    )
    this.#replace(globalThis, "setInterval", (callback: unknown, delayMs = 0, ...args: unknown[]) =>
      clock.setTimer(bind(callback, args), delayMs, { repeat: true }),
    )
    this.#replace(globalThis, "clearTimeout", (timer: unknown) => clock.clearTimer(timer))
    this.#replace(globalThis, "clearInterval", (timer: unknown) => clock.clearTimer(timer))
    this.#replace(globalThis, "setImmediate", (callback: unknown, ...args: unknown[]) => {
      this.#hops++
      return realSetImmediate(() => {
        this.#hops++
        bind(callback, args)()
      })
    })
  }

  #replace(target: object, name: string, value: unknown): void {
    const original = Object.getOwnPropertyDescriptor(target, name)
    Object.defineProperty(target, name, { value, configurable: true, writable: true })
    this.#restores.push(() => {
      if (original) Object.defineProperty(target, name, original)
      else Reflect.deleteProperty(target, name)
    })
  }
}
