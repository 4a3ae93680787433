import { getEventListeners } from "node:events"
import {
  stream,
  type StreamEvent,
  type StreamOptions,
  type StreamResponse,
} from "../../../src/index.ts"
import { FaultyNetwork } from "../../support/faulty-network/network.ts"
import { ModelServer } from "../../../src/testing/server.ts"
import { offsetOf } from "../../../src/testing/offsets.ts"
import type { SeededRandom } from "../../support/seeded-random.ts"
import type { VirtualClock } from "../../support/virtual-clock.ts"
import { Collected, consume } from "./consumers.ts"
import { ContentWriter, STREAM_URL } from "./content.ts"
import { LATE_START_MS, type PageEvent, type ReaderScenario } from "./scenario.ts"
import { ToggledVisibility } from "./toggled-visibility.ts"
import { VirtualPage } from "./virtual-page.ts"

/** Everything that happened in a run, for the checks. */
export interface ReaderOutcome {
  collected: Collected
  response: StreamResponse | undefined
  /** When `stream()` had its first response. */
  firstResponseMs: number
  endedMs: number
  /** What the consumer ended with; undefined where it came to the end. */
  error: unknown
  /** What `closed` rejected with; undefined where it resolved. */
  closedError: unknown
  /** When the session was ended from outside; undefined where it ended before. */
  interruptedMs: number | undefined
  storedUnits: number
  events: StreamEvent[]
  signalListeners: number
  visibility: ToggledVisibility
  /** The laptop woke then, with connections that had gone stale. */
  wokeMs: number | undefined
  /** How many requests the session made. */
  requests: number
  /** The offset that the session had as soon as there was a response. */
  firstOffset: string | undefined
  /** How often the consumer was at work for a while and no request was in flight, though one could have been. */
  idleWork: number
  /** The error handler has let an error end the session. */
  gaveUp: boolean
  pageListeners: number
}

/** One session against the model, from its first request to its end. */
export class ReaderRun {
  readonly server: ModelServer
  readonly network: FaultyNetwork
  readonly #scenario: ReaderScenario
  readonly #clock: VirtualClock
  readonly #random: SeededRandom
  readonly #writer: ContentWriter
  readonly #controller = new AbortController()
  readonly #visibility = new ToggledVisibility()
  readonly #events: StreamEvent[] = []
  readonly #collected = new Collected()
  #response: StreamResponse | undefined
  #interruptedMs: number | undefined
  #interruptionIsDue = false
  #wokeMs: number | undefined
  #errorsAsked = 0
  #gaveUp = false
  #page: VirtualPage | undefined
  #firstOffset: string | undefined
  #idleWork = 0
  #return: () => void = () => undefined

  constructor(scenario: ReaderScenario, clock: VirtualClock, random: SeededRandom) {
    this.#scenario = scenario
    this.#clock = clock
    this.#random = random
    this.server = new ModelServer(clock, {
      pageLimit: () => random.int(1, scenario.pageLimit),
      closure: scenario.closure,
      sseLifetimeMs: scenario.sseLifetimeMs,
      longPollTimeoutMs: scenario.longPollTimeoutMs,
      cursors: random.chance(0.9),
      sseStyle: random.chance(0.5) ? random.fork() : undefined,
      sseHeartbeatMs: random.pick([0, 15_000]),
      sseEncodingHeader: random.chance(0.7),
    })
    this.network = new FaultyNetwork({
      server: this.server,
      clock,
      random: random.fork(),
      choices: {
        faults: scenario.faults,
        lastingFaults: scenario.lastingFaults,
        firstFault: scenario.firstFault,
        maxLatencyMs: scenario.maxLatencyMs,
        split: random.pick([0, 0.5, 1]),
        trickle: random.pick([0, 0.2]),
      },
    })
    this.#writer = new ContentWriter(this.server, scenario, random.fork())
  }

  async perform(): Promise<ReaderOutcome> {
    if (this.#scenario.hasPage) this.#page = new VirtualPage()
    try {
      return await this.#read()
    } finally {
      this.#page?.remove()
    }
  }

  async #read(): Promise<ReaderOutcome> {
    await this.#writer.create()
    const storedUnits = this.server.stream("/readers/stream").length
    this.#script()
    const returning = new Promise<void>((resolve) => void (this.#return = resolve))
    let error: unknown
    let firstResponseMs = Number.POSITIVE_INFINITY
    try {
      this.#response = await stream(this.#options())
      firstResponseMs = this.#clock.elapsedMs
      if (this.#scenario.startsLate) await this.#clock.sleep(LATE_START_MS)
      this.#firstOffset = this.#response.offset
      this.#collected.isText = this.#scenario.content === "text"
      if (this.#interruptionIsDue) this.#interrupt()
      await consume(this.#response, this.#scenario.method, this.#collected, {
        ending: this.#scenario.ending,
        dawdle: () => this.#dawdle(),
        returning,
      })
    } catch (thrown) {
      error = thrown
      // A method that the stream does not have leaves the session as it is.
      const isMisuse = (thrown as { code?: string }).code === "BAD_REQUEST"
      if (isMisuse) this.#response?.cancel(thrown)
    }
    const endedMs = this.#clock.elapsedMs
    this.#look()
    const closedError = await this.#response?.closed.then(
      () => undefined,
      (reason: unknown) => reason,
    )
    // What a page notes when it is hidden lasts for a moment.
    if (this.#page) await this.#clock.sleep(10)
    return {
      collected: this.#collected,
      response: this.#response,
      firstResponseMs,
      endedMs,
      error,
      closedError,
      interruptedMs: this.#interruptedMs,
      storedUnits,
      events: this.#events,
      signalListeners: getEventListeners(this.#controller.signal, "abort").length,
      visibility: this.#visibility,
      wokeMs: this.#wokeMs,
      requests: this.network.records.length,
      firstOffset: this.#firstOffset,
      idleWork: this.#idleWork,
      gaveUp: this.#gaveUp,
      pageListeners: this.#page?.listenerCount ?? 0,
    }
  }

  #options(): StreamOptions {
    const scenario = this.#scenario
    const start = this.#startOffset()
    return {
      url: STREAM_URL,
      fetch: (input, init) => {
        this.#clock.after(0, () => this.#look())
        return this.network.fetch(input, init)
      },
      signal: this.#controller.signal,
      live: scenario.live,
      readAhead: scenario.readAhead,
      idleTimeoutMs: scenario.idleTimeoutMs,
      pauseWhenHidden: this.#visibility,
      sseResilience: { logWarnings: false },
      warnOnHttp: false,
      backoffOptions: {
        maxRetries: scenario.maxRetries,
        ...(scenario.quickBackoff ? { initialDelay: 10, maxDelay: 1000 } : {}),
      },
      ...(scenario.maxPageBytes === undefined ? {} : { maxPageBytes: scenario.maxPageBytes }),
      observe: (event) => void this.#events.push(event),
      ...(start === undefined ? {} : { offset: start }),
      ...(scenario.asksOnError ? { onError: () => this.#goOn() } : {}),
    }
  }

  /** Somebody looks at the offset while the consumer waits for more. */
  #look(): void {
    const { ending, method } = this.#scenario
    const failed = ending.kind === "throw" && this.#collected.deliveries >= ending.delivery
    // A batch that a loop was given is the loop's, even when it fails; one that a callback failed to take is not.
    if (failed && !method.startsWith("subscribe")) return
    if (this.#response) this.#collected.saw(this.#response.offset, false)
  }

  #goOn(): object | undefined {
    this.#errorsAsked++
    const isLasting = Object.keys(this.#scenario.lastingFaults).length > 0
    this.#gaveUp = this.#errorsAsked >= (isLasting ? 3 : 500)
    return this.#gaveUp ? undefined : {}
  }

  #startOffset(): string | undefined {
    const { start, content, splitsCharacters } = this.#scenario
    if (start === "none") return undefined
    const { length } = this.server.stream("/readers/stream")
    if (start === "recreated") return offsetOf(length + this.#random.int(1, 20))
    if (start !== "middle") return start
    const bytes = this.server.stream("/readers/stream").slice(0, length)
    let position = this.#random.int(0, length)
    // No reader of text has ever seen an offset inside a character.
    while (content === "text" && ((bytes[position] ?? 0) & 0xc0) === 0x80) position++
    // The tail may be inside a character that is appended in two parts.
    if (splitsCharacters && position === length) position = 0
    return offsetOf(position)
  }

  async #dawdle(): Promise<void> {
    const { slownessMs } = this.#scenario
    if (slownessMs === 0 || !this.#random.chance(0.5)) return
    const delayMs = this.#random.int(0, slownessMs)
    await this.#clock.sleep(delayMs)
    if (delayMs > 0 && !this.#asksAhead()) this.#idleWork++
  }

  /** Whether a request is in flight, or the response to one waits for the consumer, or there is nothing to ask for. */
  #asksAhead(): boolean {
    const { records } = this.network
    const newest = records.at(-1)
    const { live } = this.#scenario
    if (live === false || newest?.live !== "long-poll") return true
    if (newest.outcome === "pending" || newest.body === "open") return true
    const isClosed = this.server.stream("/readers/stream").closed
    return isClosed || newest.nextOffset !== this.#response?.offset
  }

  /** Everything that happens to the session from outside. */
  #script(): void {
    const { ending, healAtMs, togglesMs, hiddenFromStart, disruption } = this.#scenario
    const clock = this.#clock
    clock.after(0, () => void this.#writer.live(clock))
    clock.after(healAtMs, () => this.network.heal())
    if (hiddenFromStart) this.#visibility.toggle(0)
    togglesMs.forEach((atMs) => clock.after(atMs, () => this.#visibility.toggle(clock.elapsedMs)))
    if (hiddenFromStart) {
      clock.after(Math.max(...togglesMs, 0) + 1000, () => this.#visibility.toggle(clock.elapsedMs))
    }
    if ("atMs" in ending) {
      clock.after(ending.atMs, () => {
        if (this.#events.at(-1)?.kind === "end") return
        // There is nothing to cancel before there is a response.
        if (this.#response || ending.kind === "abort") this.#interrupt()
        else this.#interruptionIsDue = true
      })
    }
    const { throttledFromMs, pageEvents } = this.#scenario
    if (throttledFromMs !== undefined) clock.after(throttledFromMs, () => clock.throttle(true))
    for (const event of pageEvents) clock.after(event.atMs, () => this.#happenToPage(event))
    if (disruption.kind !== "none") clock.after(disruption.atMs, () => this.#disrupt())
  }

  #interrupt(): void {
    this.#interruptedMs = this.#clock.elapsedMs
    const { kind } = this.#scenario.ending
    if (kind === "abort") this.#controller.abort(new Error("the user left"))
    else if (kind === "return") this.#return()
    else if (kind === "cancel") this.#response?.cancel("the user left")
    else void this.#response?.[Symbol.asyncDispose]()
  }

  /** Connections of before are dead without an end; what tells of it are the page's events. */
  #happenToPage({ kind, durationMs }: PageEvent): void {
    const page = this.#page
    if (kind === "freeze") page?.freeze()
    if (kind === "back-forward-cache") page?.hide()
    const stalled = this.network.stallAll()
    if (stalled > 0 && !this.#visibility.hidden) this.#wokeMs = this.#clock.elapsedMs
    if (kind === "network-change") return page?.online()
    this.#clock.suspend(durationMs, "overdue")
    if (kind === "freeze") page?.resume()
    else page?.show()
  }

  #disrupt(): void {
    if (this.#scenario.disruption.kind === "reset") return this.network.resetAll()
    const stalled = this.network.stallAll()
    if (stalled > 0 && !this.#visibility.hidden) this.#wokeMs = this.#clock.elapsedMs
    // A nap is shorter than the idle time-out: only the clock's leap tells of it.
    const durationMs = this.#random.pick([15_000, 3_600_000])
    this.#clock.suspend(durationMs, this.#random.pick(["frozen", "overdue"]))
  }
}
