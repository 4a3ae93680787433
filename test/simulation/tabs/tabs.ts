import { DurableStreamError, type StreamResponse } from "../../../src/index.ts"
import { MAX_MALFORMED } from "../../../src/read/session-state.ts"
import type { SharedStreamEvent } from "../../../src/tabs/index.ts"
import { openSharedStream } from "../../../src/tabs/shared-stream.ts"
import { FaultyNetwork } from "../../support/faulty-network/network.ts"
import { describeRecord } from "../../support/faulty-network/request-record.ts"
import { offsetOf, positionOf } from "../../../src/testing/offsets.ts"
import { ModelServer } from "../../../src/testing/server.ts"
import { SimulatedChannels } from "../../support/origin/channels.ts"
import { SimulatedLocks } from "../../support/origin/locks.ts"
import { SeededRandom } from "../../support/seeded-random.ts"
import type { VirtualClock } from "../../support/virtual-clock.ts"
import { runInVirtualTime } from "../../support/virtual-time.ts"
import { bytesAsText } from "../readers/content.ts"
import { SimulationFailure, type RunOptions } from "../simulation-failure.ts"
import { drawScenario, type Mishap, type Scenario } from "./scenario.ts"
import { Tab, tabTimers } from "./tab.ts"

const PATH = "/tabs/stream"
const URL_TEXT = `http://model.test${PATH}`
/** Within this after the faults stop, one participant holds the connection and the others follow. */
const RECOVERY_MS = 240_000
/** And within this after an append, every reader has it, if the holder has not just fallen asleep. */
const PROMPT_MS = 15_000
const WINDOW_MS = 10_000
/** Requests of one tab in ten seconds, beside those for its pages. */
const MAX_REQUESTS_IN_WINDOW = 120

/** One seeded run of the tabs of a browser. Rejects if a property did not hold. */
export async function runTabs(seed: number, options: RunOptions = {}): Promise<void> {
  const random = new SeededRandom(seed)
  const scenario = drawScenario(random.fork())
  let run: TabsRun | undefined
  const describe = () =>
    options.verbose && run ? [JSON.stringify(scenario), ...run.describe()] : []
  const { warn } = console
  console.warn = () => undefined
  const virtual = { seed, stacks: options.verbose ?? false, maxSteps: 400_000 }
  let endTimers: () => void = () => undefined
  try {
    const report = await runInVirtualTime(virtual, (clock) => {
      endTimers = tabTimers()
      run = new TabsRun(scenario, clock, random)
      return run.perform()
    })
    const rejections = report.unhandledRejections.map((it) => `unhandled rejection: ${String(it)}`)
    const problems = [...report.value, ...rejections]
    if (problems.length > 0) throw new SimulationFailure(seed, problems, describe())
  } catch (error) {
    if (error instanceof SimulationFailure) throw error
    const told = error instanceof Error ? (error.stack ?? String(error)) : String(error)
    throw new SimulationFailure(seed, [told], describe())
  } finally {
    endTimers()
    console.warn = warn
  }
}

/** One reader in its tab. */
interface Reader {
  readonly tab: Tab
  start: number
  response: StreamResponse | undefined
  /** Messages, serialized, or one character a byte. */
  units: string[]
  error: unknown
  isOver: boolean
  isCancelled: boolean
  /** Whether its tab fell asleep and is not woken until the end. */
  isHung: boolean
  readonly events: SharedStreamEvent[]
}

class TabsRun {
  readonly #scenario: Scenario
  readonly #clock: VirtualClock
  readonly #random: SeededRandom
  readonly #server: ModelServer
  readonly #network: FaultyNetwork
  readonly #locks = new SimulatedLocks()
  readonly #channels: SimulatedChannels
  readonly #readers: Reader[] = []
  readonly #problems: string[] = []
  readonly #story: string[] = []
  #isHealed = false
  #count = 0

  constructor(scenario: Scenario, clock: VirtualClock, random: SeededRandom) {
    this.#scenario = scenario
    this.#clock = clock
    this.#random = random
    this.#server = new ModelServer(clock, {
      pageLimit: () => random.int(1, scenario.pageLimit),
      closure: random.pick(["with-data", "after", "after-up-to-date"]),
      sseLifetimeMs: scenario.sseLifetimeMs,
      longPollTimeoutMs: scenario.longPollTimeoutMs,
      sseStyle: random.chance(0.5) ? random.fork() : undefined,
      sseHeartbeatMs: 15_000,
    })
    this.#network = new FaultyNetwork({
      server: this.#server,
      clock,
      random: random.fork(),
      choices: { faults: scenario.faults, maxLatencyMs: scenario.maxLatencyMs },
    })
    this.#channels = new SimulatedChannels(clock, random.fork(), scenario.channel)
  }

  async perform(): Promise<string[]> {
    const { storedAppends, liveAppends, tabs, mishaps, healAtMs, maxGapMs } = this.#scenario
    await this.#write("PUT", new Uint8Array())
    for (let count = 0; count < storedAppends; count++) await this.#append()
    for (let count = 0; count < tabs; count++) {
      this.#clock.after(this.#random.int(0, 3_000), () => this.#open())
    }
    for (const { atMs, kind } of mishaps) this.#clock.after(atMs, () => this.#happen(kind))
    this.#clock.after(0, () => void this.#appendLive(liveAppends, maxGapMs))
    await this.#clock.sleep(healAtMs)
    this.#heal()
    await this.#clock.sleep(RECOVERY_MS)
    await this.#checkOneConnection()
    await this.#append()
    await this.#clock.sleep(PROMPT_MS)
    this.#checkPrompt()
    for (const { tab } of this.#readers) tab.wake(true)
    await this.#clock.sleep(RECOVERY_MS)
    this.#checkPrompt()
    await this.#write("POST", new Uint8Array(), { "stream-closed": "true" })
    await this.#clock.sleep(RECOVERY_MS)
    for (const reader of this.#readers) this.#check(reader)
    this.#checkLeftovers()
    return this.#problems
  }

  describe(): string[] {
    return [...this.#story, ...this.#network.records.map(describeRecord)]
  }

  #heal(): void {
    this.#isHealed = true
    this.#network.heal()
    Object.assign(this.#channels.choices, { maxLatencyMs: 5, loss: 0, duplication: 0 })
    for (const { tab, isHung } of this.#readers) {
      // The others do not depend on one that hangs.
      if (!isHung) tab.wake(true)
      if (tab.hidden) tab.show(false)
    }
  }

  get #living(): Reader[] {
    return this.#readers.filter(
      ({ tab, isOver, isCancelled }) => !tab.isDead && !tab.isFrozen && !isOver && !isCancelled,
    )
  }

  #checkPrompt(): void {
    const { length } = this.#server.stream(PATH)
    for (const { tab, start, units } of this.#living) {
      if (start + units.length === length) continue
      this.#problems.push(`${tab.id} waits at ${start + units.length} of ${length}`)
    }
  }

  #open(): void {
    if (this.#isHealed) return
    const tab = new Tab(
      `t${++this.#count}`,
      { locks: this.#locks, channels: this.#channels },
      this.#network.client(),
    )
    const { length } = this.#server.stream(PATH)
    const start = this.#random.pick(["-1", "-1", "now", "middle"])
    const position = this.#random.int(0, length)
    const offset = start === "middle" ? offsetOf(position) : start
    const reader: Reader = {
      tab,
      start: start === "middle" ? position : start === "now" ? -1 : 0,
      response: undefined,
      units: [],
      error: undefined,
      isOver: false,
      isCancelled: false,
      isHung: false,
      events: [],
    }
    this.#readers.push(reader)
    this.#tell(tab.id, `opens at ${start} ${position}`)
    tab.run(() => void this.#read(reader, offset))
  }

  async #read(reader: Reader, offset: string): Promise<void> {
    const { tab } = reader
    const random = this.#random
    const { live, refusesLocks, neverPauses, isJson } = this.#scenario
    try {
      const response = await openSharedStream(
        {
          url: URL_TEXT,
          fetch: tab.fetch(() => this.#clock.elapsedMs),
          shareKey: "user",
          offset,
          live,
          pauseWhenHidden: random.chance(neverPauses) ? false : tab,
          sseResilience: { logWarnings: false },
          warnOnHttp: false,
          warnOnRetry: false,
          idleTimeoutMs: 20_000,
          backoffOptions: { initialDelay: 100, maxDelay: 5_000 },
          onError: () => (this.#isHealed ? undefined : {}),
          observe: (event) => {
            reader.events.push(event)
            if (event.kind !== "request" && event.kind !== "response") {
              this.#tell(tab.id, JSON.stringify(event))
            }
          },
        },
        tab.origin(random.chance(refusesLocks)),
      )
      reader.response = response
      // With `now`, the first response tells where it began.
      if (reader.start < 0) reader.start = positionOf(response.offset) ?? 0
      if (isJson && random.chance(0.3)) {
        response.subscribeJson((batch) => this.#take(reader, batch.offset, batch.items))
        await response.closed
      } else if (isJson) {
        for await (const batch of response.jsonBatches()) {
          await this.#take(reader, batch.offset, batch.items)
        }
      } else if (random.chance(0.4)) {
        for await (const part of response.bodyStream()) {
          for (const unit of bytesAsText(part)) reader.units.push(unit)
          // The offset stays in front of a page of which this is a part.
          const position = positionOf(response.offset) ?? 0
          if (position > reader.start + reader.units.length) {
            this.#problems.push(`${tab.id} is at ${position} with ${reader.units.length} units`)
          }
          await this.#dawdle()
        }
      } else {
        for await (const chunk of response.byteChunks()) {
          await this.#take(reader, chunk.offset, bytesAsText(chunk.data).split(""))
        }
      }
    } catch (error) {
      reader.error = error
      this.#tell(tab.id, `fails with ${String(error)}`)
    }
    reader.isOver = true
    this.#tell(tab.id, "is over")
  }

  async #take(reader: Reader, offset: string, units: readonly unknown[]): Promise<void> {
    const { isJson } = this.#scenario
    if (reader.tab.isDead || reader.tab.isFrozen)
      this.#problems.push("a tab that sleeps was given a page")
    for (const unit of units) reader.units.push(isJson ? JSON.stringify(unit) : String(unit))
    const position = positionOf(offset) ?? -1
    if (position !== reader.start + reader.units.length) {
      this.#problems.push(
        `${reader.tab.id} has ${reader.units.length} units from ${reader.start} at ${offset} (${position})`,
      )
    }
    await this.#dawdle()
  }

  async #dawdle(): Promise<void> {
    const { maxSlownessMs } = this.#scenario
    if (maxSlownessMs === 0) return
    const delayMs = this.#random.int(0, maxSlownessMs)
    await new Promise<void>((resolve) => void setTimeout(resolve, delayMs))
  }

  /** Properties 1 and 2: everything, once, in order, and every offset stands where it says. */
  #check(reader: Reader): void {
    const { tab, units, start, isOver, isCancelled, error } = reader
    const stream = this.#server.stream(PATH)
    const whole = this.#scenario.isJson
      ? stream.messages
      : bytesAsText(stream.slice(0, stream.length)).split("")
    const from = Math.max(0, start)
    const expected = whole.slice(from, from + units.length)
    if (expected.join("\n") !== units.join("\n")) {
      this.#problems.push(`${tab.id} has other content than the stream from ${start}`)
    }
    if (tab.isDead || isCancelled || this.#isMalformed(error)) return
    if (error !== undefined) this.#problems.push(`${tab.id} failed with ${String(error)}`)
    if (!isOver) this.#problems.push(`${tab.id} has not ended`)
    if (start >= 0 && start + units.length !== whole.length) {
      this.#problems.push(`${tab.id} has ${start + units.length} of ${whole.length}`)
    }
  }

  /** A page that a network cuts cleanly, again and again, looks like a broken server. */
  #isMalformed(error: unknown): boolean {
    const cut = this.#network.records.filter(({ fault }) => fault === "cut-clean").length
    return (
      error instanceof DurableStreamError && error.code === "PARSE_ERROR" && cut > MAX_MALFORMED
    )
  }

  /** Once nothing goes wrong, there is one connection for all that get locks. */
  async #checkOneConnection(): Promise<void> {
    const living = this.#living
    if (living.length === 0) return
    if (this.#locks.holders.length !== 1 && this.#scenario.refusesLocks === 0) {
      this.#problems.push(`${this.#locks.holders.length} participants hold the lock`)
    }
    const before = living.map(({ tab }) => tab.requestTimes.length)
    await this.#clock.sleep(10_000)
    const active = living.filter(({ tab }, index) => tab.requestTimes.length > (before[index] ?? 0))
    const { refusesLocks, longPollTimeoutMs } = this.#scenario
    if (refusesLocks === 0 && active.length > 1) {
      this.#problems.push(
        `${active.map(({ tab }) => tab.id).join()} make requests (long-poll ${longPollTimeoutMs})`,
      )
    }
  }

  #checkLeftovers(): void {
    for (const { tab, isOver, response } of this.#readers) {
      if (tab.isDead) continue
      if (!isOver) response?.cancel()
      if (isOver && tab.watcherCount > 0) this.#problems.push(`${tab.id} still watches its page`)
      if (tab.strayMessages > 0) this.#problems.push(`${tab.id} posts without the lock`)
      const times = tab.requestTimes
      const most = Math.max(0, ...times.map((from) => countIn(times, from)))
      if (most > MAX_REQUESTS_IN_WINDOW + this.#pageRequests) {
        this.#problems.push(`${tab.id} made ${most} requests in ${WINDOW_MS} ms`)
      }
    }
    const alive = this.#readers.filter(({ tab }) => !tab.isDead)
    if (alive.every(({ isOver }) => isOver)) {
      if (this.#locks.holders.length > 0) this.#problems.push("a lock is held by nobody")
      const timers = this.#clock.clientTimers().length
      if (timers > 0) this.#problems.push(`${timers} timers are left`)
    }
  }

  /** A page has half its limit, and is read by a holder and its own follower, each twice if half of the requests fail. */
  get #pageRequests(): number {
    return (2 * 2 * 2 * this.#server.stream(PATH).length) / this.#scenario.pageLimit
  }

  #happen(kind: Mishap): void {
    if (this.#isHealed) return
    if (kind === "open") return this.#open()
    if (kind === "reset") return this.#network.resetAll()
    const living = this.#readers.filter(({ tab }) => !tab.isDead)
    const reader = living.length > 0 ? this.#random.pick(living) : undefined
    if (reader === undefined) return
    const { tab } = reader
    this.#tell(tab.id, kind)
    switch (kind) {
      case "kill":
        return tab.kill()
      case "freeze":
        return tab.freeze(true)
      case "sleep":
        reader.isHung = true
        return tab.freeze(false)
      case "wake":
        reader.isHung = false
        return tab.wake(this.#random.chance(0.5))
      case "hide":
      case "show":
        return tab.show(kind === "hide")
      case "cancel":
        if (reader.response === undefined || tab.isFrozen) return
        reader.isCancelled = true
        tab.run(() => reader.response?.cancel())
    }
  }

  async #appendLive(appends: number, maxGapMs: number): Promise<void> {
    for (let count = 0; count < appends; count++) {
      await this.#clock.sleep(this.#random.int(0, maxGapMs))
      await this.#append()
    }
  }

  async #append(): Promise<void> {
    const { isJson, large } = this.#scenario
    const size = this.#random.chance(large) ? 70_000 : this.#random.int(1, 8)
    const count = this.#random.int(1, 3)
    const text = isJson
      ? JSON.stringify(Array.from({ length: count }, () => `${++this.#count}${"x".repeat(size)}`))
      : this.#random.text(size > 100 ? 20_000 : size)
    await this.#write("POST", new TextEncoder().encode(text))
  }

  async #write(method: string, body: Uint8Array, headers = {}): Promise<void> {
    const contentType = this.#scenario.isJson ? "application/json" : "application/octet-stream"
    const response = await this.#server.handle({
      method,
      url: new URL(URL_TEXT),
      headers: new Map(Object.entries({ "content-type": contentType, ...headers })),
      body,
    })
    if (response.status >= 300) throw new Error(`the writer got ${response.status}`)
  }

  #tell(who: string, what: string): void {
    this.#story.push(`${Math.round(this.#clock.elapsedMs)} ${who} ${what}`)
  }
}

function countIn(times: readonly number[], fromMs: number): number {
  return times.filter((ms) => ms >= fromMs && ms < fromMs + WINDOW_MS).length
}
