import {
  createStreamStore,
  mayReplace,
  type StoredView,
  type StreamPersistence,
  type StreamStore,
} from "../../../src/store/index.ts"
import {
  drawFaultOdds,
  type FaultName,
  type FaultOdds,
} from "../../support/faulty-network/faults.ts"
import { FaultyNetwork, type NetworkClient } from "../../support/faulty-network/network.ts"
import { describeRecord } from "../../support/faulty-network/request-record.ts"
import { positionOf } from "../../../src/testing/offsets.ts"
import { ModelServer } from "../../../src/testing/server.ts"
import { SeededRandom } from "../../support/seeded-random.ts"
import type { VirtualClock } from "../../support/virtual-clock.ts"
import { runInVirtualTime } from "../../support/virtual-time.ts"
import { SimulationFailure, type RunOptions } from "../simulation-failure.ts"

const URL_OF_VIEW = "http://model.test/view"
const HEAL_MS = 120_000
const GARBAGE = -1

const FAULTS: readonly FaultName[] = [
  "drop-before",
  "drop-after",
  "refused",
  "status",
  "gateway",
  "hang-before-headers",
  "hang-in-body",
  "cut-error",
  "cut-clean",
  "short-length",
  "html",
  "missing-headers",
  "stale-page",
  "cached-page",
  "empty-live",
  "sse-cut",
  "sse-silent",
]

/** Everything that is random about one run, drawn before it begins. */
interface ViewScenario {
  live: "sse" | "long-poll" | true
  faults: FaultOdds
  pageLimit: number
  messages: number
  writePauseMs: number
  /** How many lives there are, one after the other or two at a time, and how long each is at most. */
  lives: number
  lifeMs: number
  saveIntervalMs: number
  storageMs: number
  storageFails: number
  /** How likely a life begins with an older record: a backup, a copied profile. */
  restores: number
  /** How likely `reduce` changes what it is given and throws. */
  throws: number
}

/** The disk that outlives processes. */
interface Disk {
  record: StoredView | undefined
  readonly history: (StoredView | undefined)[]
}

/** One seeded run of views that die at any moment and come back from their record. */
export async function runViews(seed: number, options: RunOptions = {}): Promise<void> {
  const random = new SeededRandom(seed)
  const scenario = drawScenario(random.fork())
  let run: ViewsRun | undefined
  const describe = (): string[] =>
    options.verbose && run ? [JSON.stringify(scenario), ...run.describe()] : []
  try {
    const report = await runInVirtualTime(
      { seed, stacks: options.verbose ?? false, deadlineMs: 4 * 3_600_000 },
      (clock) => {
        run = new ViewsRun(scenario, clock, random)
        return run.perform()
      },
    )
    const problems = [
      ...report.value,
      ...report.leftoverTimers.map((timer) => `a timer is left: ${timer.origin ?? timer.dueMs}`),
      ...report.unhandledRejections.map((reason) => `unhandled rejection: ${String(reason)}`),
    ]
    if (problems.length > 0) throw new SimulationFailure(seed, problems, describe())
  } catch (error) {
    if (error instanceof SimulationFailure) throw error
    throw new SimulationFailure(seed, [String(error)], describe())
  }
}

class ViewsRun {
  readonly #scenario: ViewScenario
  readonly #clock: VirtualClock
  readonly #random: SeededRandom
  readonly #server: ModelServer
  readonly #network: FaultyNetwork
  readonly #disk: Disk = { record: undefined, history: [undefined] }
  readonly #problems: string[] = []
  readonly #events: string[] = []
  #isHealed = false

  constructor(scenario: ViewScenario, clock: VirtualClock, random: SeededRandom) {
    this.#scenario = scenario
    this.#clock = clock
    this.#random = random
    this.#server = new ModelServer(clock.server, { pageLimit: () => scenario.pageLimit })
    this.#network = new FaultyNetwork({
      server: this.#server,
      clock,
      random: random.fork(),
      choices: { faults: scenario.faults },
    })
  }

  async perform(): Promise<string[]> {
    await this.#request("PUT", "[]")
    void this.#write()
    this.#clock.after(HEAL_MS, () => {
      this.#isHealed = true
      this.#network.heal()
    })
    await Promise.all([this.#live("a"), ...(this.#random.chance(0.4) ? [this.#live("b")] : [])])
    // The last life is on a calm network, from whatever the others have left.
    await this.#clock.sleep(Math.max(0, HEAL_MS - this.#clock.elapsedMs))
    const last = new Life(this.#parts("last"))
    await this.#untilComplete(last)
    await last.store.destroy()
    this.#checkRecord()
    return [...this.#problems, ...this.#network.leaks()]
  }

  describe(): string[] {
    return [...this.#network.records.map(describeRecord), ...this.#events]
  }

  async #live(name: string): Promise<void> {
    for (let number = 0; number < this.#scenario.lives; number++) {
      await this.#clock.sleep(this.#random.int(0, 1000))
      if (this.#random.chance(this.#scenario.restores)) {
        this.#disk.record = this.#random.pick(this.#disk.history)
        this.#events.push(`restored ${this.#disk.record?.offset}`)
      }
      const life = new Life(this.#parts(`${name}${number}`))
      await this.#clock.sleep(this.#random.int(0, this.#scenario.lifeMs))
      if (this.#random.chance(0.2)) await life.store.destroy()
      life.kill()
      this.#events.push(`${name}${number} died at ${this.#clock.elapsedMs}`)
    }
  }

  #parts(name: string): LifeParts {
    return {
      name,
      scenario: this.#scenario,
      clock: this.#clock,
      random: this.#random.fork(),
      network: this.#network.client(),
      disk: this.#disk,
      isHealed: () => this.#isHealed,
      onView: (list, status) => {
        this.#events.push(`${name} ${status} ${list.length} at ${this.#clock.elapsedMs}`)
        if (!isFold(list, list.length)) this.#problems.push(`${name} shows ${list.join()}`)
      },
      onSave: () => {
        this.#checkRecord()
      },
    }
  }

  #checkRecord(): void {
    const { record } = this.#disk
    if (record === undefined) return
    const list = JSON.parse(record.value) as number[]
    if (isFold(list, positionOf(record.offset))) return
    this.#problems.push(`the record at ${positionOf(record.offset)} holds ${record.value}`)
  }

  async #untilComplete(life: Life): Promise<void> {
    const { messages } = this.#scenario
    for (let waited = 0; life.store.getSnapshot().length < messages; waited++) {
      if (waited > 600) throw new Error(`the last view ends at ${life.store.getSnapshot().length}`)
      await this.#clock.sleep(1000)
    }
  }

  async #write(): Promise<void> {
    const { messages, writePauseMs } = this.#scenario
    for (let n = 0; n < messages;) {
      const batch = Array.from(
        { length: Math.min(this.#random.int(1, 5), messages - n) },
        () => n++,
      )
      await this.#request("POST", JSON.stringify(batch))
      await this.#clock.sleep(this.#random.int(0, writePauseMs))
    }
  }

  async #request(method: "PUT" | "POST", body: string): Promise<void> {
    const { status } = await this.#server.handle({
      method,
      url: new URL(URL_OF_VIEW),
      headers: new Map([["content-type", "application/json"]]),
      body: new TextEncoder().encode(body),
    })
    if (status >= 300) throw new Error(`the model responds with ${status}`)
  }
}

interface LifeParts {
  readonly name: string
  readonly scenario: ViewScenario
  readonly clock: VirtualClock
  readonly random: SeededRandom
  readonly network: NetworkClient
  readonly disk: Disk
  readonly isHealed: () => boolean
  readonly onView: (list: readonly number[], status: string) => void
  readonly onSave: () => void
}

/** One process with a view, until it dies. */
class Life {
  readonly store: StreamStore<number[]>
  readonly #parts: LifeParts
  #isDead = false

  constructor(parts: LifeParts) {
    this.#parts = parts
    const { live, saveIntervalMs } = parts.scenario
    this.store = createStreamStore<number[], number>({
      url: URL_OF_VIEW,
      initial: [],
      reduce: (list, n) => this.#reduce(list, n),
      persist: this.#persistence(),
      saveIntervalMs,
      live,
      fetch: parts.network.fetch,
      warnOnHttp: false,
      warnOnRetry: false,
      idleTimeoutMs: 10_000,
      backoffOptions: { maxDelay: 2000 },
      sseResilience: { logWarnings: false },
    })
    let isRefreshing = false
    this.store.subscribe((list) => {
      if (this.#isDead) return
      const { status } = this.store
      // A fault of `reduce` can be seen until the view is back at its record.
      if (!list.includes(GARBAGE)) parts.onView(list, status)
      if (status !== "failed" || isRefreshing) return
      isRefreshing = true
      parts.clock.after(500, () => {
        isRefreshing = false
        if (!this.#isDead) void this.store.refresh()
      })
    })
  }

  /** Nothing it does has an effect any more. */
  kill(): void {
    this.#isDead = true
    this.#parts.network.abandon()
    void this.store.destroy()
  }

  #reduce(list: number[], n: number): number[] {
    const { random, scenario, isHealed } = this.#parts
    if (isHealed() || !random.chance(scenario.throws)) return [...list, n]
    // `initial` is the program's own.
    if (list.length > 0) list.push(GARBAGE)
    throw new Error(`reduce fails at ${n}`)
  }

  #persistence(): StreamPersistence {
    const { disk, onSave } = this.#parts
    return {
      id: "disk",
      load: () => this.#operate(() => disk.record),
      save: (record) =>
        this.#operate(() => {
          if (!mayReplace(disk.record, record)) return
          disk.record = record
          disk.history.push(record)
          onSave()
        }),
      clear: () =>
        this.#operate(() => {
          disk.record = undefined
        }),
    }
  }

  /** The process can die before the operation, and between it and its end. */
  async #operate<T>(operation: () => T): Promise<T> {
    const { random, scenario, isHealed } = this.#parts
    const { storageMs, storageFails } = scenario
    const fails = !isHealed() && random.chance(storageFails)
    const failsBefore = random.chance(0.5)
    await this.#wait(random.int(0, storageMs))
    if (fails && failsBefore) throw new Error("the storage fails")
    const result = operation()
    await this.#wait(random.int(0, storageMs))
    if (fails) throw new Error("the storage fails after it has written")
    return result
  }

  async #wait(ms: number): Promise<void> {
    if (ms > 0) await this.#parts.clock.sleep(ms)
    if (this.#isDead) await new Promise(() => undefined)
  }
}

/** Whether a list is what the first `length` messages give. */
function isFold(list: readonly number[], length: number | undefined): boolean {
  return list.length === length && list.every((n, index) => n === index)
}

function drawScenario(random: SeededRandom): ViewScenario {
  const faults = drawFaultOdds(random, FAULTS, random.int(0, 4), [0.05, 0.2])
  return {
    live: random.pick(["sse", "long-poll", true] as const),
    faults,
    pageLimit: random.pick([1, 7, 10_000]),
    messages: random.int(1, 80),
    writePauseMs: random.pick([10, 500, 5000]),
    lives: random.int(1, 6),
    lifeMs: random.pick([50, 2000, 20_000]),
    saveIntervalMs: random.pick([1, 100, 1000]),
    storageMs: random.pick([0, 5, 300]),
    storageFails: random.pick([0, 0, 0.2]),
    restores: random.pick([0, 0.3]),
    throws: random.pick([0, 0, 0.05]),
  }
}
