import {
  sqliteOffsets,
  Subscriptions,
  type BatchContext,
  type WorkerEvent,
} from "../../../src/subscriptions/index.ts"
import { FaultyNetwork } from "../../support/faulty-network/network.ts"
import { describeRecord } from "../../support/faulty-network/request-record.ts"
import { offsetOf, positionOf } from "../../../src/testing/offsets.ts"
import { SubscriptionModelServer, type ModelWake } from "../../../src/testing/subscriptions.ts"
import { SeededRandom } from "../../support/seeded-random.ts"
import type { VirtualClock } from "../../support/virtual-clock.ts"
import { runInVirtualTime } from "../../support/virtual-time.ts"
import { SimulationFailure, type RunOptions } from "../simulation-failure.ts"
import { CountingDatabase } from "./counting-database.ts"
import { drawScenario, type Mishap, type Scenario } from "./scenario.ts"

export const ID = "jobs"
export const ROOT = `http://model.test/v1/stream`

/** A stream reaches its tail within this after the faults stop: a lease, a poll, and what backs off. */
const RECOVERY_MS = 600_000
/** Requests of one process in ten seconds. */
const MAX_REQUESTS_IN_WINDOW = 150
const WINDOW_MS = 10_000
const QUIET_MS = 300_000

// The suffix of this process's names is drawn once. It must not come from the random numbers of a run.
await new Subscriptions({ root: ROOT, fetch: () => Promise.reject(new Error("no network")) })
  .claim(ID, { worker: "none", signal: AbortSignal.abort() })
  .catch(() => undefined)

/** One seeded run of a fleet of processes on one subscription. Rejects if a property did not hold. */
export async function runFleet(
  seed: number,
  options: RunOptions,
  Fleet: new (world: FleetWorld) => FleetRun<FleetProcess>,
): Promise<void> {
  const random = new SeededRandom(seed)
  const scenario = drawScenario(random.fork())
  let run: FleetRun<FleetProcess> | undefined
  const describe = () =>
    options.verbose && run ? [JSON.stringify(scenario), ...run.describe()] : []
  const { warn } = console
  // That live reads fall back to long-poll is known.
  console.warn = () => undefined
  const virtual = { seed, stacks: options.verbose ?? false, maxSteps: 400_000 }
  try {
    const report = await runInVirtualTime(virtual, (clock) => {
      run = new Fleet({ scenario, clock, random })
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

/** What a run is made of. */
export interface FleetWorld {
  readonly scenario: Scenario
  readonly clock: VirtualClock
  readonly random: SeededRandom
}

/** A process of the fleet. */
export interface FleetProcess {
  readonly name: string
  readonly fetch: typeof globalThis.fetch
  readonly requestTimes: number[]
  isDead: boolean
  kill: () => void
}

/** Streams with work, processes that handle it, and what must hold, whoever wakes the processes. */
export abstract class FleetRun<P extends FleetProcess> {
  protected readonly scenario: Scenario
  protected readonly clock: VirtualClock
  protected readonly random: SeededRandom
  protected readonly server: SubscriptionModelServer
  readonly #network: FaultyNetwork
  protected readonly database = new CountingDatabase()
  protected readonly offsets = sqliteOffsets(this.database)
  protected readonly processes = new Set<P>()
  protected readonly problems: string[] = []
  readonly #story: string[] = []
  /** By path: for each message, how often a handler has finished with it. */
  readonly #handled = new Map<string, number[]>()
  /** By process and path: the signals of the handlers that are at work. */
  readonly #working = new Map<string, Set<AbortSignal>>()
  /** Whether the machine falls asleep as soon as a handler works. */
  #sleepsAtWork = false
  #processCount = 0
  protected isHealed = false
  protected isOver = false

  constructor({ scenario, clock, random }: FleetWorld) {
    this.scenario = scenario
    this.clock = clock
    this.random = random
    const { faults, maxLatencyMs, maxStragglerMs, lostEvents, doubleEvents } = scenario
    this.server = new SubscriptionModelServer(clock.server, "/v1/stream", {
      eventCount: () => {
        if (this.isHealed) return 1
        if (random.chance(lostEvents)) return 0
        return random.chance(doubleEvents) ? 2 : 1
      },
      onAck: (path, position) => this.#checkAck(path, position),
      onExpire: (generation) => this.onExpire(generation),
      onWebhook: (wake) => this.onWebhook(wake),
    })
    this.#network = new FaultyNetwork({
      server: this.server,
      clock,
      random: random.fork(),
      choices: { faults, maxLatencyMs, maxStragglerMs, surviveAbort: 0.5 },
    })
  }

  /** How the server wakes the processes. */
  protected abstract readonly wakes: object
  /** Starts a process. */
  protected abstract start(): void
  /** Ends one that is alive. */
  protected abstract end(process: P): Promise<void>
  protected onExpire(_generation: number): void {}
  protected onWebhook(_wake: ModelWake): void {}

  async perform(): Promise<string[]> {
    const { streams, workers, mishaps, healAtMs, appends } = this.scenario
    await this.#put("wake")
    const paths = Array.from({ length: streams }, (_, index) => `work/${index}`)
    for (const path of paths) await this.#put(path)
    await this.server.handle({
      method: "PUT",
      url: new URL(`${ROOT}/__ds/subscriptions/${ID}`),
      headers: new Map(),
      body: new TextEncoder().encode(
        JSON.stringify({
          ...this.wakes,
          pattern: "work/*",
          lease_ttl_ms: this.scenario.leaseTtlMs,
        }),
      ),
    })
    for (let index = 0; index < appends; index++) {
      const path = this.random.pick(paths)
      const messages = Array.from({ length: this.random.int(1, 4) }, (_, n) => `${index}.${n}`)
      this.clock.after(this.random.int(0, healAtMs), () => void this.server.append(path, messages))
    }
    for (const { atMs, kind } of mishaps) this.clock.after(atMs, () => this.happen(kind))
    for (let index = 0; index < workers; index++) {
      this.clock.after(this.random.int(0, 2_000), () => this.start())
    }
    await this.clock.sleep(healAtMs)
    this.isHealed = true
    this.#network.heal()
    this.clock.setDrift(0)
    await this.#untilHandled(paths)
    await this.#checkQuiet()
    this.isOver = true
    await Promise.all([...this.processes].map((process) => this.end(process)))
    return [...this.problems, ...this.#checkCounts(paths)]
  }

  describe(): string[] {
    return [...this.#story, ...this.#network.records.map(describeRecord)]
  }

  /** A process that is killed by the run. */
  protected newProcess(): FleetProcess {
    const name = `p${++this.#processCount}`
    const client = this.#network.client()
    const process: FleetProcess = {
      name,
      isDead: false,
      requestTimes: [],
      kill: () => {
        process.isDead = true
        client.abandon()
      },
      fetch: (input, init) => {
        process.requestTimes.push(this.clock.elapsedMs)
        this.#checkRequest(String(input), init)
        return client.fetch(input, init)
      },
    }
    this.tell(name, "starts")
    return process
  }

  protected async handle(
    process: FleetProcess,
    batch: { items: readonly string[]; offset: string },
    context: BatchContext,
  ): Promise<void> {
    const { path, signal } = context
    const key = `${process.name} ${path}`
    const working = this.#working.get(key) ?? new Set()
    this.#working.set(key, working)
    if ([...working].some(({ aborted }) => !aborted)) {
      this.problems.push(
        `${process.name} handles ${path} twice at ${Math.round(this.clock.elapsedMs)} ms`,
      )
    }
    working.add(signal)
    await this.#handleOnce(process, batch, context).finally(() => working.delete(signal))
  }

  async #handleOnce(
    process: FleetProcess,
    batch: { items: readonly string[]; offset: string },
    { path, startOffset, signal }: BatchContext,
  ): Promise<void> {
    const { maxHandlerMs, throws } = this.scenario
    await this.clock.sleep(this.random.int(0, maxHandlerMs))
    if (this.#sleepsAtWork) this.#sleep()
    // What a process that was killed had in hand comes to nothing.
    if (process.isDead) await new Promise(() => undefined)
    if (signal.aborted && this.random.chance(0.5)) return
    if (!this.isHealed && this.random.chance(throws)) throw new Error("the handler failed")
    this.offsets.apply(batch, { path, startOffset }, () => {
      for (const item of batch.items) this.database.count(`${path} ${item}`)
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
      this.problems.push(`${path} was acknowledged up to ${position}, and ${index} was not handled`)
      return
    }
  }

  /** After a lease is lost, its old holder acknowledges nothing more. */
  #checkRequest(url: string, init: RequestInit | undefined): void {
    if (!/\/(ack|callback)$/.test(url) || typeof init?.body !== "string") return
    // The client has made it.
    const { generation, acks } = JSON.parse(init.body) as { generation: number; acks: unknown[] }
    if (acks.length === 0 || this.server.isHeld(ID, generation)) return
    // A server that ends leases early does not say so, and a clock that is set back may hide how long its machine slept.
    if (this.has("restart") || (this.has("sleep") && (this.has("wall-back") || this.has("drift"))))
      return
    if (this.server.wasEnded(ID, generation)) return
    this.problems.push(`generation ${generation} is over, and its holder acknowledges`)
  }

  protected has(kind: Mishap): boolean {
    return this.scenario.mishaps.some((mishap) => mishap.kind === kind)
  }

  protected happen(kind: Mishap): void {
    this.tell("world", kind)
    const random = this.random
    switch (kind) {
      case "kill": {
        const victims = [...this.processes]
        if (victims.length === 0) return
        const victim = random.pick(victims)
        victim.kill()
        this.processes.delete(victim)
        this.clock.after(random.int(0, 10_000), () => this.start())
        return
      }
      case "stop": {
        const [process] = this.processes
        if (process !== undefined) void this.end(process)
        return
      }
      case "restart":
        this.server.endLeases()
        return this.#network.resetAll()
      case "reset":
        return this.#network.resetAll()
      case "sleep":
        this.#sleepsAtWork = random.chance(0.8)
        return this.#sleepsAtWork ? undefined : this.#sleep()
      case "wall-forward":
        return this.clock.setWallClock(random.int(1_000, 3_600_000))
      case "wall-back":
        return this.clock.setWallClock(-random.int(1_000, 3_600_000))
      case "drift":
        return this.clock.setDrift(random.pick([-0.01, 0.01, 0.2]))
    }
  }

  /** The machine sleeps: its monotonic clock may stand still. */
  #sleep(): void {
    this.#sleepsAtWork = false
    const ms = this.random.int(100, 120_000)
    this.clock.suspend(ms, this.random.pick(["frozen", "overdue"] as const))
    this.server.pass(ms)
  }

  /** Every stream reaches its tail once the faults have stopped. */
  async #untilHandled(paths: readonly string[]): Promise<void> {
    const deadlineMs = this.clock.elapsedMs + RECOVERY_MS
    while (this.clock.elapsedMs < deadlineMs) {
      if (paths.every((path) => this.server.acked(ID, path) === this.#length(path))) return
      await this.clock.sleep(1_000)
    }
    for (const path of paths) {
      const acked = this.server.acked(ID, path)
      if (acked === this.#length(path)) continue
      this.problems.push(`${path} is handled up to ${acked} of ${this.#length(path)}`)
    }
  }

  /** Requests are bounded while there are faults, and few once there is no work. */
  async #checkQuiet(): Promise<void> {
    const processes = [...this.processes]
    const before = processes.map(({ requestTimes }) => requestTimes.length)
    await this.clock.sleep(QUIET_MS)
    processes.forEach(({ name, requestTimes }, index) => {
      const count = requestTimes.length - (before[index] ?? 0)
      if (count > QUIET_MS / 5_000) this.problems.push(`${name} made ${count} requests for no work`)
    })
    for (const { name, requestTimes } of processes) {
      const most = Math.max(0, ...requestTimes.map((from) => countIn(requestTimes, from)))
      if (most > MAX_REQUESTS_IN_WINDOW) {
        this.problems.push(`${name} made ${most} requests in ${WINDOW_MS} ms`)
      }
    }
  }

  /** Every message is handled at least once, and counted once by the helper's transaction. */
  #checkCounts(paths: readonly string[]): string[] {
    const problems: string[] = []
    for (const path of paths) {
      const { messages } = this.server.stream(`/v1/stream/${path}`)
      messages.forEach((text, index) => {
        const count = this.database.counts.get(`${path} ${String(JSON.parse(text))}`) ?? 0
        if (count !== 1) problems.push(`${path} ${text} was counted ${count} times`)
        if ((this.#handled.get(path)?.[index] ?? 0) < 1) problems.push(`${path} ${text} is lost`)
      })
    }
    return problems
  }

  #length(path: string): number {
    return this.server.stream(`/v1/stream/${path}`).length
  }

  async #put(path: string): Promise<void> {
    await this.server.handle({
      method: "PUT",
      url: new URL(`${ROOT}/${path}`),
      headers: new Map([["content-type", "application/json"]]),
      body: new Uint8Array(),
    })
  }

  protected tell(name: string, what: string): void {
    this.#story.push(`${Math.round(this.clock.elapsedMs)} ${name} ${what}`)
  }
}

function countIn(times: readonly number[], fromMs: number): number {
  return times.filter((atMs) => atMs >= fromMs && atMs < fromMs + WINDOW_MS).length
}

export function describeEvent(event: WorkerEvent): string {
  const position = "offset" in event ? ` at ${positionOf(event.offset) ?? event.offset}` : ""
  const start =
    "startOffset" in event ? ` from ${positionOf(event.startOffset) ?? offsetOf(0)}` : ""
  const generation = "generation" in event ? ` generation ${event.generation}` : ""
  const path = "path" in event ? ` ${event.path}` : ""
  return `${event.kind}${path}${start}${position}${generation}`
}
