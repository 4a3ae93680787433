import {
  DurableStreamError,
  type IdempotentProducer,
  type RejectedMessageDetails,
} from "../../../src/index.ts"
import type { SeededRandom } from "../../support/seeded-random.ts"
import type { VirtualClock } from "../../support/virtual-clock.ts"
import type { ProducerMessages } from "./messages.ts"
import type { ProducerScenario } from "./scenario.ts"

/** What one writer did and heard. */
export interface WriterOutcome {
  producer: IdempotentProducer
  /** What `append` and `send` took, in order. */
  taken: string[]
  /** What the server will never take. */
  poisoned: ReadonlySet<string>
  /** How each `send` ended. */
  sent: Map<string, "stored" | Error>
  /** What the ending call came to. */
  ending: "done" | Error
  /** What `onError` was told. */
  errors: readonly Error[]
  undelivered: string[]
  indeterminateCount: number
  problems: string[]
}

interface WriterFields {
  scenario: ProducerScenario
  producer: IdempotentProducer
  errors: readonly Error[]
  messages: ProducerMessages
  random: SeededRandom
  clock: VirtualClock
  abort: () => void
}

/** A program that writes with a producer as the scenario says. */
export class Writer {
  readonly #fields: WriterFields
  readonly #taken: string[] = []
  readonly #poisoned = new Set<string>()
  readonly #sent = new Map<string, "stored" | Error>()
  readonly #pending: Promise<unknown>[] = []
  readonly #problems: string[] = []

  constructor(fields: WriterFields) {
    this.#fields = fields
  }

  async perform(): Promise<WriterOutcome> {
    const { producer, scenario, clock, random, errors, abort } = this.#fields
    if (scenario.ending === "abort") clock.after(scenario.abortAtMs, abort)
    for (let burst = 0; burst < scenario.bursts; burst++) {
      const count = random.int(1, scenario.maxBurst)
      for (let index = 0; index < count; index++) {
        if (scenario.awaitsReady) await producer.ready.catch(() => undefined)
        this.#add()
      }
      if (random.chance(scenario.flushes)) this.#settle(producer.flush())
      if (random.chance(scenario.restarts)) this.#settle(producer.restart())
      if (scenario.gapMs > 0) await clock.sleep(random.int(0, scenario.gapMs))
    }
    const ending = await this.#end()
    // What was told to go on in the background comes to its end as well.
    await Promise.all(this.#pending)
    await producer.flush().catch(() => undefined)
    if (scenario.ending === "flush") await producer.detach().catch(() => undefined)
    return {
      producer,
      taken: this.#taken,
      poisoned: this.#poisoned,
      sent: this.#sent,
      ending,
      errors,
      undelivered: producer.undelivered().map((bytes) => new TextDecoder().decode(bytes)),
      indeterminateCount: producer.indeterminateCount,
      problems: this.#problems,
    }
  }

  #add(): void {
    const { producer, scenario, random, messages } = this.#fields
    if (random.chance(scenario.invalid)) return this.#addInvalid()
    const isPoison = random.chance(scenario.poison)
    const message = messages.make(random, scenario.maxMessageLength, isPoison)
    const body = random.chance(0.3) ? new TextEncoder().encode(message) : message
    const sends = random.chance(scenario.sends)
    const bufferedBefore = producer.bufferedBytes
    try {
      if (sends) this.#send(message, body)
      else producer.append(body)
      this.#take(message, isPoison)
    } catch (error) {
      this.#checkThrown(error, bufferedBefore)
    }
    if (producer.bufferedBytes > scenario.options.maxBufferedBytes) {
      this.#problems.push(`${producer.bufferedBytes} bytes are buffered`)
    }
    // The producer has copied it.
    if (typeof body !== "string") body.fill(0)
  }

  #send(message: string, body: string | Uint8Array): void {
    const { producer } = this.#fields
    const bufferedBefore = producer.bufferedBytes
    const acknowledged = producer.send(body)
    const isTaken = producer.bufferedBytes > bufferedBefore
    this.#pending.push(
      acknowledged.then(
        () => this.#sent.set(message, "stored"),
        (error: unknown) => isTaken && this.#sent.set(message, error as Error),
      ),
    )
    if (!isTaken) throw new DurableStreamError("Not taken.", "BUFFER_FULL")
  }

  #take(message: string, isPoison: boolean): void {
    const { scenario } = this.#fields
    this.#taken.push(message)
    const framing = /json/i.test(scenario.contentType) ? 2 : 0
    const size = new TextEncoder().encode(message).byteLength + framing
    if (isPoison || size > scenario.maxBodyBytes) this.#poisoned.add(message)
  }

  #addInvalid(): void {
    const { producer, random, messages, scenario } = this.#fields
    try {
      producer.append(messages.makeInvalid(random))
      if (!scenario.mustAsk) this.#problems.push("an invalid message was taken")
    } catch (error) {
      const code = (error as Partial<DurableStreamError>).code ?? "none"
      const isTold = ["PARSE_ERROR", "BAD_REQUEST", "BUFFER_FULL"].includes(code)
      if (producer.state !== "failed" && !isTold) this.#problems.push(`append() threw ${code}`)
    }
  }

  #checkThrown(error: unknown, bufferedBefore: number): void {
    const { producer } = this.#fields
    if (producer.bufferedBytes !== bufferedBefore) {
      this.#problems.push("a message that was refused was queued all the same")
    }
    const code = (error as Partial<DurableStreamError>).code
    if (producer.state !== "failed" && code !== "BUFFER_FULL") {
      this.#problems.push(`append() threw ${String(error)}`)
    }
  }

  #settle(promise: Promise<unknown>): void {
    this.#pending.push(promise.catch(() => undefined))
  }

  async #end(): Promise<"done" | Error> {
    try {
      await this.#endCall()
      return "done"
    } catch (error) {
      return error as Error
    }
  }

  async #endCall(): Promise<unknown> {
    const { producer, scenario, random, messages } = this.#fields
    if (random.chance(0.2)) this.#settle(producer.flush())
    // Twice, at the same time: the same end.
    const isTwice = random.chance(0.3)
    switch (scenario.ending) {
      case "close":
        if (isTwice) this.#settle(producer.close())
        return this.#closeWith(undefined)
      case "close-with-message":
        return this.#closeWith(messages.make(random, scenario.maxMessageLength, false))
      case "detach":
        if (isTwice) this.#settle(producer[Symbol.asyncDispose]())
        return producer.detach()
      case "flush":
      case "abort":
        return producer.flush()
    }
  }

  /** As long as messages are left out, the stream stays open: a program that wants it closed says so again. */
  async #closeWith(last: string | undefined): Promise<unknown> {
    const { producer } = this.#fields
    if (last !== undefined && producer.state === "open") this.#take(last, false)
    for (let tries = 1; ; tries++) {
      try {
        return await producer.close(last)
      } catch (error) {
        if (producer.state !== "open" || tries > 200) throw error
        const { details } = error as DurableStreamError
        if ((details as RejectedMessageDetails).text === last) last = undefined
      }
    }
  }
}
