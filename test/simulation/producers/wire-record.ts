import type { VirtualClock } from "../../support/virtual-clock.ts"

/** One numbered POST as the client made it. */
interface NumberedPost {
  atMs: number
  number: string
  bytes: number
}

/** Watches what a producer puts on the wire. */
export class WireRecord {
  readonly posts: NumberedPost[] = []
  readonly problems: string[] = []
  readonly fetch: typeof globalThis.fetch
  readonly #bodies = new Map<string, string>()
  readonly #knownEpochs = new Set<number>()

  constructor(fetch: typeof globalThis.fetch, clock: VirtualClock) {
    this.fetch = async (input, init) => {
      // The client promises to give a plain object.
      const headers = (init?.headers ?? {}) as Record<string, string>
      const epoch = headers["Producer-Epoch"]
      const seq = headers["Producer-Seq"]
      if (epoch === undefined || seq === undefined) return fetch(input, init)
      const number = `${epoch}.${seq}`
      const body = init?.body instanceof Uint8Array ? new TextDecoder().decode(init.body) : ""
      const before = this.#bodies.get(number)
      if (before !== undefined && before !== body) {
        this.problems.push(`batch ${number} was sent with two bodies: ${before} and ${body}`)
      }
      this.#bodies.set(number, body)
      this.posts.push({ atMs: clock.elapsedMs, number, bytes: body.length })
      const response = await fetch(input, init)
      if (response.ok && seq === "0") this.#knownEpochs.add(Number(epoch))
      return response
    }
  }

  /** Whether the client has heard that the first batch of an epoch is stored. */
  isEpochKnown(epoch: number): boolean {
    return this.#knownEpochs.has(epoch)
  }

  /** The most requests that were made within any period of so many milliseconds, from a time on. */
  mostWithin(periodMs: number, fromMs: number): number {
    const times = this.posts.map(({ atMs }) => atMs).filter((atMs) => atMs >= fromMs)
    let most = 0
    let first = 0
    times.forEach((atMs, index) => {
      while ((times[first] ?? 0) <= atMs - periodMs) first++
      most = Math.max(most, index - first + 1)
    })
    return most
  }
}
