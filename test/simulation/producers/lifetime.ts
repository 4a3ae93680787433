import {
  DurableStreamError,
  type IdempotentProducer,
  type RejectedMessageDetails,
} from "../../../src/index.ts"
import type { SeededRandom } from "../../support/seeded-random.ts"
import type { VirtualClock } from "../../support/virtual-clock.ts"
import type { ProducerMessages } from "./messages.ts"
import type { LifetimePlan, ProducerScenario } from "./scenario.ts"
import type { WireRecord } from "./wire-record.ts"

/** A message that `append` or `send` accepted. */
export interface AcceptedMessage {
  text: string
  atMs: number
}

/** An error that `onError` was called with. */
export interface ReportedError {
  error: Error
  atMs: number
}

/** What happened in one lifetime, as its program saw it. */
export interface LifetimeOutcome {
  plan: LifetimePlan
  producer: IdempotentProducer
  wire: WireRecord
  /** The process died before the program came to its end. */
  died: boolean
  accepted: readonly AcceptedMessage[]
  /** What a server or a rule may reject. */
  rejectable: ReadonlySet<string>
  /** How each `send` ended. */
  sent: ReadonlyMap<string, "stored" | Error>
  /** How the ending call settled. */
  ending: "done" | Error
  endedMs: number
  errors: readonly ReportedError[]
  undelivered: string[]
  indeterminateCount: number
  problems: readonly string[]
}

interface LifetimeFields {
  plan: LifetimePlan
  scenario: ProducerScenario
  producer: IdempotentProducer
  wire: WireRecord
  errors: readonly ReportedError[]
  messages: ProducerMessages
  random: SeededRandom
  clock: VirtualClock
  abort: () => void
  /** The process dies. */
  kill: () => void
}

/** A program that writes with one producer as the scenario says, until it ends the producer or its process dies. */
export class Lifetime {
  readonly #fields: LifetimeFields
  readonly #accepted: AcceptedMessage[] = []
  readonly #rejectable = new Set<string>()
  readonly #sent = new Map<string, "stored" | Error>()
  readonly #pending: Promise<unknown>[] = []
  readonly #problems: string[] = []
  #died = false

  constructor(fields: LifetimeFields) {
    this.#fields = fields
  }

  async perform(): Promise<LifetimeOutcome> {
    const { plan, clock, kill } = this.#fields
    const writing = this.#write()
    if (plan.diesAfterMs === undefined) return this.#outcome(await writing)
    const death = clock.sleep(plan.diesAfterMs).then(() => "died" as const)
    const ending = await Promise.race([writing, death])
    if (ending !== "died") return this.#outcome(ending)
    this.#died = true
    // What the program knew when it died: nothing counts that it hears of afterwards.
    const outcome = this.#outcome("done")
    kill()
    await writing
    return outcome
  }

  async #write(): Promise<"done" | Error> {
    const { producer, scenario, plan, clock, random, abort } = this.#fields
    if (plan.ending === "abort") clock.after(plan.abortAfterMs, abort)
    for (let burst = 0; burst < scenario.bursts; burst++) {
      const count = random.int(1, scenario.maxBurst)
      for (let index = 0; index < count && !this.#died; index++) {
        if (scenario.awaitsReady) await producer.ready.catch(() => undefined)
        this.#add()
      }
      if (this.#died) return "done"
      if (random.chance(scenario.flushes)) this.#observe(producer.flush())
      if (random.chance(scenario.restarts)) this.#observe(producer.restart())
      if (scenario.gapMs > 0) await clock.sleep(random.int(0, scenario.gapMs))
    }
    if (this.#died) return "done"
    const ending = await this.#end()
    // What goes on in the background comes to its end as well.
    await Promise.all(this.#pending)
    await producer.flush().catch(() => undefined)
    if (plan.ending === "flush") await producer.detach().catch(() => undefined)
    return ending
  }

  #outcome(ending: "done" | Error): LifetimeOutcome {
    const { plan, producer, wire, errors, clock } = this.#fields
    return {
      plan,
      producer,
      wire,
      died: this.#died,
      accepted: [...this.#accepted],
      rejectable: this.#rejectable,
      sent: new Map(this.#sent),
      ending,
      endedMs: clock.elapsedMs,
      errors: [...errors],
      undelivered: producer.undelivered().map((bytes) => new TextDecoder().decode(bytes)),
      indeterminateCount: producer.indeterminateCount,
      problems: this.#problems,
    }
  }

  #add(): void {
    const { producer, scenario, random, messages } = this.#fields
    if (random.chance(scenario.invalid)) return this.#addInvalid()
    if (random.chance(scenario.empty) && !messages.isJson) return this.#addEmpty()
    const isPoison = random.chance(scenario.poison)
    const message = messages.make(random, scenario.maxMessageLength, isPoison)
    const body = random.chance(0.3) ? new TextEncoder().encode(message) : message
    const sends = random.chance(scenario.sends)
    const bufferedBefore = producer.bufferedBytes
    try {
      if (sends) this.#send(message, body)
      else producer.append(body)
      this.#accept(message, isPoison)
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
    const isAccepted = producer.bufferedBytes > bufferedBefore
    this.#pending.push(
      acknowledged.then(
        () => this.#sent.set(message, "stored"),
        (error: unknown) => isAccepted && this.#sent.set(message, error as Error),
      ),
    )
    if (!isAccepted) throw new DurableStreamError("Not accepted.", "BUFFER_FULL")
  }

  #accept(text: string, isPoison: boolean): void {
    const { scenario, messages, clock } = this.#fields
    this.#accepted.push({ text, atMs: clock.elapsedMs })
    const framing = messages.isJson ? 2 : 0
    const size = new TextEncoder().encode(text).byteLength + framing
    const isBlocked = scenario.rules.some(({ minBytes }) => size >= minBytes)
    if (isPoison || isBlocked || size > scenario.maxBodyBytes) this.#rejectable.add(text)
  }

  #addInvalid(): void {
    const { producer, random, messages, scenario } = this.#fields
    try {
      producer.append(messages.makeInvalid(random))
      if (!scenario.mustAsk) this.#problems.push("an invalid message was accepted")
    } catch (error) {
      const code = (error as Partial<DurableStreamError>).code ?? "none"
      const isReported = ["PARSE_ERROR", "BAD_REQUEST", "BUFFER_FULL"].includes(code)
      if (producer.state !== "failed" && !isReported) this.#problems.push(`append() threw ${code}`)
    }
  }

  /** An empty message of a stream that is not JSON is nothing to store. */
  #addEmpty(): void {
    const { producer, random } = this.#fields
    const before = producer.bufferedBytes
    const body = random.pick(["", new Uint8Array(0)])
    try {
      if (random.chance(0.5)) producer.append(body)
      else this.#observe(this.#sendEmpty(body))
    } catch (error) {
      if (producer.state !== "failed") this.#problems.push(`an empty append threw ${String(error)}`)
    }
    if (producer.bufferedBytes !== before) this.#problems.push("an empty message is buffered")
  }

  async #sendEmpty(body: string | Uint8Array): Promise<void> {
    const { producer } = this.#fields
    const ahead = this.#accepted.map(({ text }) => text)
    try {
      await producer.send(body)
    } catch (error) {
      if (producer.state !== "failed") this.#problems.push(`an empty send threw ${String(error)}`)
      return
    }
    const open = ahead.filter((text) => producer.state === "open" && this.#isUnsettled(text))
    if (open.length > 0) this.#problems.push(`an empty send overtook ${open.length} messages`)
  }

  #isUnsettled(text: string): boolean {
    const { wire } = this.#fields
    return !wire.posts.some(({ body }) => body.includes(text))
  }

  #checkThrown(error: unknown, bufferedBefore: number): void {
    const { producer, scenario, wire } = this.#fields
    if (producer.bufferedBytes !== bufferedBefore) {
      this.#problems.push("a message was queued although append() threw")
    }
    const code = (error as Partial<DurableStreamError>).code
    // An invalid message can mislead the guess at a content type that the server does not tell in time.
    const mayMislead = scenario.invalid > 0 || wire.isTypeMisled
    const isMisled = scenario.mustAsk && mayMislead && code === "PARSE_ERROR"
    if (producer.state !== "failed" && code !== "BUFFER_FULL" && !isMisled) {
      this.#problems.push(`append() threw ${String(error)}`)
    }
  }

  #observe(promise: Promise<unknown>): void {
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
    const { producer, scenario, plan, random, messages } = this.#fields
    if (random.chance(0.2)) this.#observe(producer.flush())
    // Two calls at the same time have the same end.
    const isTwice = random.chance(0.3)
    switch (plan.ending) {
      case "close":
        if (isTwice) this.#observe(producer.close())
        return this.#closeWith(undefined)
      case "close-with-message":
        return this.#closeWith(messages.make(random, scenario.maxMessageLength, false))
      case "detach":
        if (isTwice) this.#observe(producer[Symbol.asyncDispose]())
        return producer.detach()
      case "flush":
      case "abort":
        return producer.flush()
    }
  }

  /** If a message is rejected, the stream stays open, and a program that wants it closed calls again. */
  async #closeWith(last: string | undefined): Promise<unknown> {
    const { producer } = this.#fields
    if (last !== undefined && producer.state === "open") this.#accept(last, false)
    for (let tries = 1; ; tries++) {
      try {
        return await producer.close(last)
      } catch (error) {
        if (producer.state !== "open" || tries > 200 || this.#died) throw error
        const { details } = error as DurableStreamError
        if ((details as RejectedMessageDetails | undefined)?.text === last) last = undefined
      }
    }
  }
}
