import { stream, type ConnectionState, type Offset } from "../../src/index.ts"
import { bar, paint } from "./screen.ts"

/** A message of the demo, with the time at which it was written. */
export interface Tick {
  readonly n: number
  readonly writtenMs: number
}

/** Tails a stream, and shows where it is. */
export class Reader {
  readonly name: string
  readonly #url: string
  readonly #live: "sse" | "long-poll"
  readonly received: number[] = []
  worstLagMs = 0
  disconnections = 0
  #lagMs = 0
  #offset: Offset = "-1"
  #state: ConnectionState["kind"] | "disconnected" = "connecting"
  #connection = new AbortController()

  constructor(name: string, url: string, live: "sse" | "long-poll") {
    this.name = name
    this.#url = url
    this.#live = live
  }

  get offset(): Offset {
    return this.#offset
  }

  get state(): string {
    return this.#state
  }

  /** Reads until the stream is closed, or the reader is disconnected. */
  async read(): Promise<void> {
    this.#connection = new AbortController()
    const response = await stream<Tick>({
      url: this.#url,
      live: this.#live,
      offset: this.#offset,
      signal: this.#connection.signal,
      backoffOptions: { maxDelay: 200 },
      warnOnRetry: false,
      observe: (event) => {
        if (event.kind === "state") this.#state = event.state.kind
      },
    })
    response.subscribeJson((batch) => {
      // The work and the offset belong together: what is saved is what a resume starts behind.
      this.received.push(...batch.items.map(({ n }) => n))
      this.#offset = batch.offset
      this.#lagMs = Date.now() - (batch.items.at(-1)?.writtenMs ?? Date.now())
      this.worstLagMs = Math.max(this.worstLagMs, this.#lagMs)
    })
    await response.closed
  }

  /** Like a train in a tunnel. */
  disconnect(): void {
    this.disconnections++
    this.#connection.abort()
    this.#state = "disconnected"
  }

  row(written: number): string {
    const count = `${this.received.length}/${written}`.padStart(7)
    const lag = `${this.#lagMs} ms`.padStart(7)
    const name = `${this.name} ${this.#live}`.padEnd(14)
    const state = this.#state === "live" ? paint.good(this.#state) : paint.note(this.#state)
    return `${name} ${bar(this.received.length, written)} ${count} ${lag}  ${state}`
  }
}
