import {
  runWorker,
  sqliteOffsets,
  Subscriptions,
  type BatchContext,
  type Worker,
  type WorkerEvent,
} from "../../../src/subscriptions/index.ts"
import { FaultyNetwork } from "../../support/faulty-network/network.ts"
import { describeRecord } from "../../support/faulty-network/request-record.ts"
import { offsetOf, positionOf } from "../../support/model-server/offsets.ts"
import { SubscriptionModelServer } from "../../support/model-server/subscriptions.ts"
import { SeededRandom } from "../../support/seeded-random.ts"
import type { VirtualClock } from "../../support/virtual-clock.ts"
import { runInVirtualTime } from "../../support/virtual-time.ts"
import { SimulationFailure, type RunOptions } from "../simulation-failure.ts"
import { CountingDatabase } from "./counting-database.ts"
import { drawScenario, type Mishap, type Scenario } from "./scenario.ts"

const ID = "jobs"
const ROOT = `http://model.test${SubscriptionModelServer.root}`
/** A third of such a lease is longer than any body takes to arrive. */
const LONG_LEASE_MS = 15_000

/** A stream reaches its tail within this after the faults stop: a lease, a poll, and what backs off. */
const RECOVERY_MS = 600_000
/** Requests of one worker in ten seconds. */
const MAX_REQUESTS_IN_WINDOW = 150
const WINDOW_MS = 10_000
const QUIET_MS = 300_000

// The suffix of this process's names is drawn once. It must not come from the random numbers of a run.
await new Subscriptions({ root: ROOT, fetch: () => Promise.reject(new Error("no network")) })
  .claim(ID, { worker: "none", signal: AbortSignal.abort() })
  .catch(() => undefined)

/** One seeded run of a fleet of workers on one subscription. Rejects if a property did not hold. */
export async function runSubscriptions(seed: number, options: RunOptions = {}): Promise<void> {
  const random = new SeededRandom(seed)
  const scenario = drawScenario(random.fork())
  let run: FleetRun | undefined
  const describe = () =>
    options.verbose && run ? [JSON.stringify(scenario), ...run.describe()] : []
  const { warn } = console
  // That live reads fall back to long-poll is known.
  console.warn = () => undefined
  const virtual = { seed, stacks: options.verbose ?? false, maxSteps: 400_000 }
  try {
    const report = await runInVirtualTime(virtual, (clock) => {
      run = new FleetRun(scenario, clock, random)
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
    console.warn = warn
  }
}

/** A process of the fleet. */
interface Process {
  readonly name: string
  worker: Worker
  isDead: boolean
  kill: () => void
  requestTimes: number[]
  /** Of its last claim. */
  generation: number
  /** Of the handlers that are at work. */
  signals: Set<AbortSignal>
}

class FleetRun {
  readonly #scenario: Scenario
  readonly #clock: VirtualClock
  readonly #random: SeededRandom
  readonly #server: SubscriptionModelServer
  readonly #network: FaultyNetwork
  readonly #database = new CountingDatabase()
  readonly #offsets = sqliteOffsets(this.#database)
  readonly #processes = new Set<Process>()
  readonly #problems: string[] = []
  readonly #story: string[] = []
  /** By path: for each message, how often a handler has finished with it. */
  readonly #handled = new Map<string, number[]>()
  #processCount = 0
  #isHealed = false
  #isOver = false

  constructor(scenario: Scenario, clock: VirtualClock, random: SeededRandom) {
    this.#scenario = scenario
    this.#clock = clock
    this.#random = random
    const { faults, maxLatencyMs, maxStragglerMs, lostEvents, doubleEvents } = scenario
    this.#server = new SubscriptionModelServer(clock.server, {
      eventCount: () => {
        if (this.#isHealed) return 1
        if (random.chance(lostEvents)) return 0
        return random.chance(doubleEvents) ? 2 : 1
      },
      onAck: (path, position) => this.#checkAck(path, position),
      onExpire: (generation) => this.#checkExpiry(generation),
    })
    this.#network = new FaultyNetwork({
      server: this.#server,
      clock,
      random: random.fork(),
      choices: { faults, maxLatencyMs, maxStragglerMs, surviveAbort: 0.5 },
    })
  }

  async perform(): Promise<string[]> {
    const { streams, workers, mishaps, healAtMs, appends } = this.#scenario
    await this.#put("wake")
    const paths = Array.from({ length: streams }, (_, index) => `work/${index}`)
    for (const path of paths) await this.#put(path)
    await this.#server.handle({
      method: "PUT",
      url: new URL(`${ROOT}/__ds/subscriptions/${ID}`),
      headers: new Map(),
      body: new TextEncoder().encode(
        JSON.stringify({
          type: "pull-wake",
          pattern: "work/*",
          wake_stream: "wake",
          lease_ttl_ms: this.#scenario.leaseTtlMs,
        }),
      ),
    })
    for (let index = 0; index < appends; index++) {
      const path = this.#random.pick(paths)
      const messages = Array.from({ length: this.#random.int(1, 4) }, (_, n) => `${index}.${n}`)
      this.#clock.after(
        this.#random.int(0, healAtMs),
        () => void this.#server.append(path, messages),
      )
    }
    for (const { atMs, kind } of mishaps) this.#clock.after(atMs, () => this.#happen(kind))
    for (let index = 0; index < workers; index++) {
      this.#clock.after(this.#random.int(0, 2_000), () => this.#start())
    }
    await this.#clock.sleep(healAtMs)
    this.#isHealed = true
    this.#network.heal()
    this.#clock.setDrift(0)
    await this.#untilHandled(paths)
    await this.#checkQuiet()
    this.#isOver = true
    await Promise.all(
      [...this.#processes].map(({ worker }) => worker.stop().catch(() => undefined)),
    )
    return [...this.#problems, ...this.#checkCounts(paths)]
  }

  describe(): string[] {
    return [...this.#story, ...this.#network.records.map(describeRecord)]
  }

  #start(): void {
    if (this.#isOver) return
    const name = `p${++this.#processCount}`
    const client = this.#network.client()
    const process: Process = {
      name,
      isDead: false,
      requestTimes: [],
      generation: 0,
      signals: new Set(),
      kill: () => {
        process.isDead = true
        client.abandon()
        this.#processes.delete(process)
      },
      // It is made in the next statement, which needs the process.
      worker: undefined as never,
    }
    const fetch: typeof globalThis.fetch = (input, init) => {
      process.requestTimes.push(this.#clock.elapsedMs)
      this.#checkRequest(String(input), init)
      return client.fetch(input, init)
    }
    const subscriptions = new Subscriptions({ root: ROOT, fetch, warnOnRetry: false })
    process.worker = runWorker<string>(subscriptions, ID, {
      worker: name,
      concurrency: this.#scenario.concurrency,
      backoffOptions: { initialDelay: 100, maxDelay: 5_000 },
      startOffset: (path) => this.#offsets.startOffset(path),
      onBatch: async (batch, context) => {
        process.signals.add(context.signal)
        await this.#handle(process, batch, context).finally(() =>
          process.signals.delete(context.signal),
        )
      },
      observe: (event) => {
        this.#tell(name, describeEvent(event))
        if (event.kind === "claimed") process.generation = event.generation
        if (event.kind === "lost" && this.#isCalm()) this.#problems.push(`${name} lost a claim`)
      },
      onError: (error) => this.#tell(name, `error ${String(error)}`),
    })
    this.#processes.add(process)
    this.#tell(name, "starts")
    // A supervisor starts what ended.
    const restart = (error?: unknown) => {
      this.#tell(name, `ended ${String(error ?? "")}`)
      if (process.isDead || this.#isOver) return
      this.#processes.delete(process)
      this.#clock.after(1_000, () => this.#start())
    }
    process.worker.done.then(() => restart(), restart)
  }

  async #handle(
    process: Process,
    batch: { items: readonly string[]; offset: string },
    { path, startOffset, signal }: BatchContext,
  ): Promise<void> {
    const { maxHandlerMs, throws } = this.#scenario
    await this.#clock.sleep(this.#random.int(0, maxHandlerMs))
    // What a process that was killed had in hand comes to nothing.
    if (process.isDead) await new Promise(() => undefined)
    if (signal.aborted && this.#random.chance(0.5)) return
    if (!this.#isHealed && this.#random.chance(throws)) throw new Error("the handler failed")
    this.#offsets.apply(batch, { path, startOffset }, () => {
      for (const item of batch.items) this.#database.count(`${path} ${item}`)
    })
    const start = positionOf(startOffset) ?? 0
    const handled = this.#handled.get(path) ?? []
    batch.items.forEach((_, index) => (handled[start + index] = (handled[start + index] ?? 0) + 1))
    this.#handled.set(path, handled)
  }

  /** No batch is acknowledged that was not handled. */
  #checkAck(path: string, position: number): void {
    const handled = this.#handled.get(path) ?? []
    for (let index = 0; index < position; index++) {
      if (handled[index] !== undefined) continue
      this.#problems.push(
        `${path} was acknowledged up to ${position}, and ${index} was not handled`,
      )
      return
    }
  }

  /** After a lease is lost, its old holder acknowledges nothing more. */
  #checkRequest(url: string, init: RequestInit | undefined): void {
    if (!url.endsWith("/ack") || typeof init?.body !== "string") return
    // The client has made it.
    const { generation, acks } = JSON.parse(init.body) as { generation: number; acks: unknown[] }
    if (acks.length === 0 || this.#server.isHeld(ID, generation)) return
    // A server that ends leases early does not say so, and a clock that is set back may hide how long its machine slept.
    if (
      this.#has("restart") ||
      (this.#has("sleep") && (this.#has("wall-back") || this.#has("drift")))
    )
      return
    if (this.#server.wasEnded(ID, generation)) return
    this.#problems.push(`generation ${generation} is over, and its holder acknowledges`)
  }

  /** A holder knows that its lease is over no later than the server does: it counts from when it sent its request. */
  #checkExpiry(generation: number): void {
    if (this.#has("restart") || this.#has("sleep")) return
    this.#clock.after(2, () => {
      for (const process of this.#processes) {
        if (process.generation !== generation) continue
        if ([...process.signals].every(({ aborted }) => aborted)) continue
        this.#problems.push(
          `${process.name} works on under generation ${generation}, which is over`,
        )
      }
    })
  }

  #has(kind: Mishap): boolean {
    return this.#scenario.mishaps.some((mishap) => mishap.kind === kind)
  }

  /** Whether nothing but deaths of processes can end a claim. */
  #isCalm(): boolean {
    const { faults, mishaps, leaseTtlMs } = this.#scenario
    // A response can trickle for longer than a third of a short lease: then the heartbeat is right to give up.
    if (leaseTtlMs < LONG_LEASE_MS) return false
    const isHarmless = mishaps.every(({ kind }) => kind === "kill" || kind === "stop")
    return Object.keys(faults).length === 0 && isHarmless
  }

  #happen(kind: Mishap): void {
    this.#tell("world", kind)
    const random = this.#random
    switch (kind) {
      case "kill": {
        const victims = [...this.#processes]
        if (victims.length === 0) return
        random.pick(victims).kill()
        this.#clock.after(random.int(0, 10_000), () => this.#start())
        return
      }
      case "stop": {
        const [process] = this.#processes
        // Its end starts another.
        void process?.worker.stop().catch(() => undefined)
        return
      }
      case "restart":
        this.#server.endLeases()
        return this.#network.resetAll()
      case "reset":
        return this.#network.resetAll()
      case "sleep": {
        const ms = random.int(100, 120_000)
        this.#clock.suspend(ms, random.pick(["frozen", "overdue"] as const))
        return this.#server.pass(ms)
      }
      case "wall-forward":
        return this.#clock.setWallClock(random.int(1_000, 3_600_000))
      case "wall-back":
        return this.#clock.setWallClock(-random.int(1_000, 3_600_000))
      case "drift":
        return this.#clock.setDrift(random.pick([-0.01, 0.01, 0.2]))
    }
  }

  /** Every stream reaches its tail once the faults have stopped. */
  async #untilHandled(paths: readonly string[]): Promise<void> {
    const deadlineMs = this.#clock.elapsedMs + RECOVERY_MS
    while (this.#clock.elapsedMs < deadlineMs) {
      if (paths.every((path) => this.#server.acked(ID, path) === this.#length(path))) return
      await this.#clock.sleep(1_000)
    }
    for (const path of paths) {
      const acked = this.#server.acked(ID, path)
      if (acked === this.#length(path)) continue
      this.#problems.push(`${path} is handled up to ${acked} of ${this.#length(path)}`)
    }
  }

  /** Requests are bounded while there are faults, and few once there is no work. */
  async #checkQuiet(): Promise<void> {
    const processes = [...this.#processes]
    const before = processes.map(({ requestTimes }) => requestTimes.length)
    await this.#clock.sleep(QUIET_MS)
    processes.forEach(({ name, requestTimes }, index) => {
      const count = requestTimes.length - (before[index] ?? 0)
      if (count > QUIET_MS / 5_000)
        this.#problems.push(`${name} made ${count} requests for no work`)
    })
    for (const { name, requestTimes } of processes) {
      const most = Math.max(0, ...requestTimes.map((from) => countIn(requestTimes, from)))
      if (most > MAX_REQUESTS_IN_WINDOW) {
        this.#problems.push(`${name} made ${most} requests in ${WINDOW_MS} ms`)
      }
    }
  }

  /** Every message is handled at least once, and counted once by the helper's transaction. */
  #checkCounts(paths: readonly string[]): string[] {
    const problems: string[] = []
    for (const path of paths) {
      const { messages } = this.#server.stream(`${SubscriptionModelServer.root}/${path}`)
      messages.forEach((text, index) => {
        const count = this.#database.counts.get(`${path} ${String(JSON.parse(text))}`) ?? 0
        if (count !== 1) problems.push(`${path} ${text} was counted ${count} times`)
        if ((this.#handled.get(path)?.[index] ?? 0) < 1) problems.push(`${path} ${text} is lost`)
      })
    }
    return problems
  }

  #length(path: string): number {
    return this.#server.stream(`${SubscriptionModelServer.root}/${path}`).length
  }

  async #put(path: string): Promise<void> {
    await this.#server.handle({
      method: "PUT",
      url: new URL(`${ROOT}/${path}`),
      headers: new Map([["content-type", "application/json"]]),
      body: new Uint8Array(),
    })
  }

  #tell(name: string, what: string): void {
    this.#story.push(`${Math.round(this.#clock.elapsedMs)} ${name} ${what}`)
  }
}

function countIn(times: readonly number[], fromMs: number): number {
  return times.filter((atMs) => atMs >= fromMs && atMs < fromMs + WINDOW_MS).length
}

function describeEvent(event: WorkerEvent): string {
  const position = "offset" in event ? ` at ${positionOf(event.offset) ?? event.offset}` : ""
  const start =
    "startOffset" in event ? ` from ${positionOf(event.startOffset) ?? offsetOf(0)}` : ""
  const generation = "generation" in event ? ` generation ${event.generation}` : ""
  const path = "path" in event ? ` ${event.path}` : ""
  return `${event.kind}${path}${start}${position}${generation}`
}
