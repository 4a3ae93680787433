import { DurableStream } from "../../../src/index.ts"
import {
  drawFaultOdds,
  type FaultName,
  type FaultOdds,
} from "../../support/faulty-network/faults.ts"
import { FaultyNetwork } from "../../support/faulty-network/network.ts"
import { describeRecord } from "../../support/faulty-network/request-record.ts"
import { offsetOf } from "../../../src/testing/offsets.ts"
import { ModelServer } from "../../../src/testing/server.ts"
import { SeededRandom } from "../../support/seeded-random.ts"
import type { VirtualClock } from "../../support/virtual-clock.ts"
import { runInVirtualTime } from "../../support/virtual-time.ts"
import { SimulationFailure, type RunOptions } from "../simulation-failure.ts"

const STREAM_URL = "http://model.test/counter"
const STREAM_PATH = "/counter"

const FAULTS: readonly FaultName[] = [
  "drop-before",
  "drop-after",
  "straggler",
  "duplicate",
  "resent",
  "refused",
  "status",
  "gateway",
  "hang-before-headers",
  "html",
  "foreign-2xx",
  "missing-headers",
  "forged-409",
]

/** Everything that is random about one run, drawn before it begins. */
interface CounterScenario {
  writers: number
  increments: number
  /** Whether the server evaluates `Stream-Expected-Offset`. */
  isConditional: boolean
  faults: FaultOdds
  healAtMs: number
  maxLatencyMs: number
  maxStragglerMs: number
  pauseMs: number
  requestTimeoutMs: number
}

/** One increment of the counter: who made it, which of its attempts, and the value that it sets. */
interface Increment {
  id: string
  value: number
}

type Outcome = "ok" | "conflict" | "indeterminate" | "failed"

/** One seeded run of writers that increment a counter with conditional appends. Rejects if an increment is lost or doubled. */
export async function runCompareAndSet(seed: number, options: RunOptions = {}): Promise<void> {
  const random = new SeededRandom(seed)
  const scenario = drawScenario(random.fork())
  let run: CounterRun | undefined
  const describe = (): string[] =>
    options.verbose && run ? [JSON.stringify(scenario), ...run.describe()] : []
  try {
    const report = await runInVirtualTime({ seed, stacks: options.verbose ?? false }, (clock) => {
      run = new CounterRun(scenario, clock, random)
      return run.perform()
    })
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

class CounterRun {
  readonly #scenario: CounterScenario
  readonly #clock: VirtualClock
  readonly #random: SeededRandom
  readonly #server: ModelServer
  readonly #network: FaultyNetwork
  readonly #outcomes = new Map<string, Outcome>()

  constructor(scenario: CounterScenario, clock: VirtualClock, random: SeededRandom) {
    this.#scenario = scenario
    this.#clock = clock
    this.#random = random
    this.#server = new ModelServer(clock.server, {
      expectedOffset: scenario.isConditional,
      offsetOfDuplicates: random.chance(0.5),
      numbersOfDuplicates: random.chance(0.9),
    })
    const { faults, maxLatencyMs, maxStragglerMs } = scenario
    this.#network = new FaultyNetwork({
      server: this.#server,
      clock,
      random: random.fork(),
      choices: { faults, maxLatencyMs, maxStragglerMs, surviveAbort: 0.5 },
    })
  }

  async perform(): Promise<string[]> {
    await this.#server.handle({
      method: "PUT",
      url: new URL(STREAM_URL),
      headers: new Map([["content-type", "application/json"]]),
      body: new Uint8Array(),
    })
    this.#clock.after(this.#scenario.healAtMs, () => this.#network.heal())
    const names = Array.from({ length: this.#scenario.writers }, (_, index) => `w${index}`)
    await Promise.all(names.map((name) => this.#write(name)))
    await this.#clock.sleep(this.#scenario.maxStragglerMs + 10_000)
    return [...this.#check(), ...this.#network.leaks()]
  }

  describe(): string[] {
    return [
      ...this.#network.records.map(describeRecord),
      JSON.stringify([...this.#outcomes]),
      JSON.stringify(this.#log()),
    ]
  }

  async #write(name: string): Promise<void> {
    const { requestTimeoutMs, increments } = this.#scenario
    const handle = new DurableStream({
      url: STREAM_URL,
      fetch: this.#network.fetch,
      contentType: "application/json",
      requestTimeoutMs,
      warnOnHttp: false,
    })
    let done = 0
    for (let attempt = 0; done < increments && attempt < 200; attempt++) {
      const { length } = this.#server.stream(STREAM_PATH)
      const increment = { id: `${name}.${attempt}`, value: (this.#log().at(-1)?.value ?? 0) + 1 }
      await this.#clock.sleep(this.#random.int(0, this.#scenario.pauseMs))
      const outcome = await this.#append(handle, increment, offsetOf(length))
      this.#outcomes.set(increment.id, outcome)
      if (outcome === "ok") done++
      // The program looks into the stream after every late request has arrived.
      if (outcome !== "indeterminate") continue
      await this.#clock.sleep(this.#scenario.maxStragglerMs + 10_000)
      if (this.#log().some(({ id }) => id === increment.id)) done++
    }
  }

  async #append(
    handle: DurableStream,
    increment: Increment,
    expectedOffset: string,
  ): Promise<Outcome> {
    try {
      const result = await handle.appendWithResult(increment, { expectedOffset })
      return result.kind === "ok" ? "ok" : "conflict"
    } catch (error) {
      const isIndeterminate = (error as { indeterminate?: boolean }).indeterminate === true
      return isIndeterminate ? "indeterminate" : "failed"
    }
  }

  #check(): string[] {
    const log = this.#log()
    const problems: string[] = []
    const counts = new Map<string, number>()
    for (const { id } of log) counts.set(id, (counts.get(id) ?? 0) + 1)
    for (const [id, outcome] of this.#outcomes) {
      const count = counts.get(id) ?? 0
      const isRight =
        outcome === "ok" ? count === 1 : outcome === "indeterminate" ? count <= 1 : count === 0
      if (!isRight) problems.push(`${id} is ${outcome} and stored ${count} times`)
    }
    if (!this.#scenario.isConditional) return problems
    const { increments, writers } = this.#scenario
    log.forEach(({ id, value }, index) => {
      if (value !== index + 1) problems.push(`${id} set ${value} as the value number ${index + 1}`)
    })
    if (log.length < increments * writers) problems.push(`only ${log.length} increments`)
    return problems
  }

  #log(): Increment[] {
    // The log holds what #append wrote and nothing else.
    return this.#server.stream(STREAM_PATH).messages.map((text) => JSON.parse(text) as Increment)
  }
}

function drawScenario(random: SeededRandom): CounterScenario {
  const faults = drawFaultOdds(random, FAULTS, random.int(0, 4), [0.1, 0.3])
  return {
    writers: random.int(1, 3),
    increments: random.int(1, 5),
    isConditional: random.chance(0.7),
    faults,
    healAtMs: random.int(0, 60_000),
    maxLatencyMs: random.pick([0, 20, 1000]),
    maxStragglerMs: random.pick([100, 5000, 60_000]),
    pauseMs: random.pick([0, 50, 2000]),
    requestTimeoutMs: random.pick([3000, 60_000]),
  }
}
