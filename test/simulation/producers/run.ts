import { getEventListeners } from "node:events"
import { DurableStream, IdempotentProducer } from "../../../src/index.ts"
import { FaultyNetwork } from "../../support/faulty-network/network.ts"
import type { SeededRandom } from "../../support/seeded-random.ts"
import type { VirtualClock } from "../../support/virtual-clock.ts"
import { RejectingServer } from "./rejecting-server.ts"
import { ProducerMessages } from "./messages.ts"
import type { ProducerScenario } from "./scenario.ts"
import { WireRecord } from "./wire-record.ts"
import { Writer, type WriterOutcome } from "./writer.ts"

const STREAM_URL = "http://model.test/producers/stream"
const STREAM_PATH = "/producers/stream"
const PRODUCER_ID = "the-producer"

/** Everything that happened in a run, for the checks. */
export interface ProducerOutcome {
  writers: WriterOutcome[]
  /** What the log holds of each writer, in order. */
  logs: string[][]
  closed: boolean
  signalListeners: number
}

/** One producer, or two, against the model, from the first message until the last straggler has come in. */
export class ProducerRun {
  readonly server: RejectingServer
  readonly network: FaultyNetwork
  /** What each writer put on the wire. */
  readonly wires: WireRecord[] = []
  readonly #scenario: ProducerScenario
  readonly #clock: VirtualClock
  readonly #random: SeededRandom
  readonly #controller = new AbortController()
  readonly #isJson: boolean

  constructor(scenario: ProducerScenario, clock: VirtualClock, random: SeededRandom) {
    this.#scenario = scenario
    this.#clock = clock
    this.#random = random
    this.#isJson = /json/i.test(scenario.contentType)
    this.server = new RejectingServer(clock)
    this.server.maxBodyBytes = scenario.maxBodyBytes
    this.network = new FaultyNetwork({
      server: this.server,
      clock,
      random: random.fork(),
      choices: {
        faults: scenario.faults,
        maxLatencyMs: scenario.maxLatencyMs,
        maxStragglerMs: scenario.maxStragglerMs,
      },
    })
  }

  async perform(): Promise<ProducerOutcome> {
    await this.#create()
    this.#script()
    const owners = this.#scenario.hasTwin ? ["a", "b"] : ["a"]
    const writers = await Promise.all(owners.map((owner) => this.#writer(owner).perform()))
    await this.#clock.sleep(this.#scenario.maxStragglerMs + 10_000)
    const stream = this.server.stream(STREAM_PATH)
    const content = stream.slice(0, stream.length)
    return {
      writers,
      logs: owners.map((owner) => ProducerMessages.split(this.#isJson, content, owner)),
      closed: stream.closed,
      signalListeners: getEventListeners(this.#controller.signal, "abort").length,
    }
  }

  #writer(owner: string): Writer {
    const scenario = this.#scenario
    const wire = new WireRecord(this.network.fetch, this.#clock)
    this.wires.push(wire)
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
    const errors: Error[] = []
    const producer = new IdempotentProducer(handle, PRODUCER_ID, {
      ...scenario.options,
      signal: this.#controller.signal,
      onError: (error) => {
        errors.push(error)
        if (this.#random.chance(0.1)) throw new Error("a handler that throws")
      },
    })
    return new Writer({
      scenario,
      producer,
      errors,
      messages: new ProducerMessages(owner, this.#isJson),
      random: this.#random.fork(),
      clock: this.#clock,
      abort: () => this.#controller.abort(new Error("the user left")),
    })
  }

  async #create(): Promise<void> {
    await this.#ask("PUT", { "content-type": this.#scenario.contentType }, "")
    await this.#writeAsRival(this.#scenario.options.epoch, this.#scenario.earlierBatches)
  }

  /** Everything that happens from outside. */
  #script(): void {
    const { rivalsAtMs, forgetsAtMs, closedAtMs, healAtMs } = this.#scenario
    const clock = this.#clock
    clock.after(healAtMs, () => this.network.heal())
    for (const atMs of rivalsAtMs) clock.after(atMs, () => void this.#rivalClaims())
    for (const atMs of forgetsAtMs) clock.after(atMs, () => this.#forget())
    if (closedAtMs !== undefined) {
      clock.after(closedAtMs, () => void this.#ask("POST", { "stream-closed": "true" }, ""))
    }
  }

  /** Far above the epochs that the producer may be about to use: see drawProducerScenario. */
  async #rivalClaims(): Promise<void> {
    const epoch = (this.server.stream(STREAM_PATH).producers.epochOf(PRODUCER_ID) ?? 0) + 1000
    await this.#writeAsRival(epoch, this.#random.int(1, 2))
  }

  async #writeAsRival(epoch: number, batches: number): Promise<void> {
    const body = this.#isJson ? '["rival"]' : "<rival>"
    for (let seq = 0; seq < batches; seq++) {
      const headers = {
        "content-type": this.#scenario.contentType,
        "producer-id": PRODUCER_ID,
        "producer-epoch": String(epoch),
        "producer-seq": String(seq),
      }
      await this.#ask("POST", headers, body)
    }
  }

  /** While the first batch of an epoch is in doubt, a server that forgets takes it twice: no client can help that. */
  #forget(): void {
    const epoch = this.server.stream(STREAM_PATH).producers.epochOf(PRODUCER_ID)
    if (epoch === undefined || !this.wires.some((wire) => wire.isEpochKnown(epoch))) return
    this.server.forgetProducers()
  }

  async #ask(method: string, headers: Record<string, string>, body: string): Promise<void> {
    await this.server.handle({
      method,
      url: new URL(STREAM_URL),
      headers: new Map(Object.entries(headers)),
      body: new TextEncoder().encode(body),
    })
  }
}
