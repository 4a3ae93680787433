import { getEventListeners } from "node:events"
import { DurableStream, IdempotentProducer } from "../../../src/index.ts"
import { FaultyNetwork } from "../../support/faulty-network/network.ts"
import type { SeededRandom } from "../../support/seeded-random.ts"
import type { VirtualClock } from "../../support/virtual-clock.ts"
import { Lifetime, type LifetimeOutcome, type ReportedError } from "./lifetime.ts"
import { ProducerMessages } from "./messages.ts"
import { RejectingServer } from "./rejecting-server.ts"
import type { ClockEvent, LifetimePlan, ProducerScenario } from "./scenario.ts"
import { WireRecord } from "./wire-record.ts"

const STREAM_URL = "http://model.test/producers/stream"
const STREAM_PATH = "/producers/stream"
const PRODUCER_ID = "the-producer"

/** Everything that happened in a run, for the checks. */
export interface ProducerOutcome {
  lifetimes: LifetimeOutcome[]
  /** What the log holds of each lifetime, in order. */
  logs: string[][]
  closed: boolean
  signalListeners: number
}

/** One producer, or several with one id, against the model, until the last late request has arrived. */
export class ProducerRun {
  readonly server: RejectingServer
  readonly network: FaultyNetwork
  /** What each lifetime sent. */
  readonly wires: WireRecord[] = []
  readonly #scenario: ProducerScenario
  readonly #clock: VirtualClock
  readonly #random: SeededRandom
  readonly #signals: AbortSignal[] = []
  readonly #isJson: boolean

  constructor(scenario: ProducerScenario, clock: VirtualClock, random: SeededRandom) {
    this.#scenario = scenario
    this.#clock = clock
    this.#random = random
    this.#isJson = /json/i.test(scenario.contentType)
    this.server = new RejectingServer(clock)
    this.server.maxBodyBytes = scenario.maxBodyBytes
    this.server.rules = scenario.rules
    this.server.choices.offsetOfDuplicates = scenario.offsetOfDuplicates
    this.server.choices.numbersOfDuplicates = scenario.numbersOfDuplicates
    this.network = new FaultyNetwork({
      server: this.server,
      clock,
      random: random.fork(),
      choices: {
        faults: scenario.faults,
        maxLatencyMs: scenario.maxLatencyMs,
        maxStragglerMs: scenario.maxStragglerMs,
        surviveAbort: scenario.surviveAbort,
      },
    })
  }

  async perform(): Promise<ProducerOutcome> {
    await this.#request("PUT", { "content-type": this.#scenario.contentType }, "")
    this.#script()
    const processes = await Promise.all(this.#scenario.processes.map((plans) => this.#run(plans)))
    const lifetimes = processes.flat()
    await this.#clock.sleep(this.#scenario.maxStragglerMs + 10_000)
    const stream = this.server.stream(STREAM_PATH)
    const content = stream.slice(0, stream.length)
    const listeners = this.#signals.map((signal) => getEventListeners(signal, "abort").length)
    return {
      lifetimes,
      logs: lifetimes.map(({ plan }) => ProducerMessages.split(this.#isJson, content, plan.owner)),
      closed: stream.closed,
      signalListeners: listeners.reduce((sum, count) => sum + count, 0),
    }
  }

  async #run(plans: readonly LifetimePlan[]): Promise<LifetimeOutcome[]> {
    const outcomes: LifetimeOutcome[] = []
    for (const plan of plans) {
      if (plan.startsAfterMs > 0) await this.#clock.sleep(plan.startsAfterMs)
      outcomes.push(await this.#lifetime(plan).perform())
    }
    return outcomes
  }

  #lifetime(plan: LifetimePlan): Lifetime {
    const scenario = this.#scenario
    const client = this.network.client()
    const wire = new WireRecord(client.fetch, this.#clock)
    this.wires.push(wire)
    const controller = new AbortController()
    this.#signals.push(controller.signal)
    const handle = new DurableStream({
      url: STREAM_URL,
      fetch: wire.fetch,
      requestTimeoutMs: scenario.requestTimeoutMs,
      warnOnHttp: false,
      backoffOptions: {
        maxRetries: scenario.maxRetries,
        ...(scenario.quickBackoff ? { initialDelay: 10, maxDelay: 1000 } : {}),
      },
      ...(scenario.mustAsk ? {} : { contentType: scenario.contentType }),
    })
    const errors: ReportedError[] = []
    const producer = new IdempotentProducer(handle, PRODUCER_ID, {
      ...scenario.options,
      ...(plan.epoch === undefined ? {} : { epoch: plan.epoch }),
      autoClaim: plan.autoClaim,
      signal: controller.signal,
      onError: (error) => {
        errors.push({ error, atMs: this.#clock.elapsedMs })
        if (this.#random.chance(0.1)) throw new Error("a handler that throws")
      },
    })
    return new Lifetime({
      plan,
      scenario,
      producer,
      wire,
      errors,
      messages: new ProducerMessages(plan.owner, this.#isJson),
      random: this.#random.fork(),
      clock: this.#clock,
      abort: () => controller.abort(new Error("the user left")),
      kill: () => {
        client.abandon()
        controller.abort(new Error("the process died"))
      },
    })
  }

  /** Everything that happens from outside. */
  #script(): void {
    const { claims, forgetsAtMs, closedAtMs, healAtMs, clockEvents } = this.#scenario
    const clock = this.#clock
    clock.after(healAtMs, () => this.network.heal())
    for (const { atMs, step } of claims) clock.after(atMs, () => void this.#claim(step))
    for (const atMs of forgetsAtMs) clock.after(atMs, () => this.#forget())
    for (const event of clockEvents) clock.after(event.atMs, () => this.#disturbClock(event))
    if (closedAtMs !== undefined) {
      clock.after(closedAtMs, () => void this.#request("POST", { "stream-closed": "true" }, ""))
    }
  }

  #disturbClock(event: ClockEvent): void {
    switch (event.kind) {
      case "set":
        return this.#clock.setWallClock(event.byMs)
      case "drift":
        return this.#clock.setDrift(event.fraction)
      case "suspend":
        if (event.connections === "reset") this.network.resetAll()
        if (event.connections === "stalled") this.network.stallAll()
        return this.#clock.suspend(event.durationMs, event.timers)
    }
  }

  /** Another client with the same id writes in a higher epoch. */
  async #claim(step: number): Promise<void> {
    const { producers } = this.server.stream(STREAM_PATH)
    const epoch = (producers.epochOf(PRODUCER_ID) ?? 0) + step
    const batches = this.#random.int(1, 2)
    for (let seq = 0; seq < batches; seq++) {
      const headers = {
        "content-type": this.#scenario.contentType,
        "producer-id": PRODUCER_ID,
        "producer-epoch": String(epoch),
        "producer-seq": String(seq),
      }
      await this.#request("POST", headers, this.#isJson ? '["rival"]' : "<rival>")
    }
  }

  /** While the first batch of an epoch is indeterminate, a server that forgets accepts it twice: no client can detect it. */
  #forget(): void {
    const epoch = this.server.stream(STREAM_PATH).producers.epochOf(PRODUCER_ID)
    if (epoch === undefined || !this.wires.some((wire) => wire.isEpochKnown(epoch))) return
    this.server.forgetProducers()
  }

  async #request(method: string, headers: Record<string, string>, body: string): Promise<void> {
    await this.server.handle({
      method,
      url: new URL(STREAM_URL),
      headers: new Map(Object.entries(headers)),
      body: new TextEncoder().encode(body),
    })
  }
}
