import { DurableStream } from "../../../src/index.ts"
import {
  openOutbox,
  OutboxError,
  type Outbox,
  type OutboxEvent,
} from "../../../src/outbox/index.ts"
import { FaultyNetwork } from "../../support/faulty-network/network.ts"
import { describeRecord } from "../../support/faulty-network/request-record.ts"
import { MemoryDatabase } from "../../support/memory-outbox-store.ts"
import { SeededRandom } from "../../support/seeded-random.ts"
import type { VirtualClock } from "../../support/virtual-clock.ts"
import { runInVirtualTime } from "../../support/virtual-time.ts"
import { POISON, RejectingServer } from "../producers/rejecting-server.ts"
import { SimulationFailure, type RunOptions } from "../simulation-failure.ts"
import { ProcessStore, type StepFate, type StoreUser } from "./disk.ts"
import { faultsOf } from "./sabotage.ts"
import { drawOutboxScenario, type Mishap, type OutboxScenario, type Sabotage } from "./scenario.ts"

const URL_OF_STREAM = "https://streams.test/log"
const WEEK_MS = 8 * 86_400_000
/** Longer than any request can still arrive, and than an attempt counts as open. */
const SETTLED_MS = 200_000
const RECOVERY_MS = 3_600_000

/**
 * One seeded run: processes that share a store and die, disks that are copied and restored, a server that forgets. Rejects if
 * property 3 does not hold across them.
 */
export async function runOutbox(
  seed: number,
  options: RunOptions & { sabotage?: Sabotage } = {},
): Promise<void> {
  const random = new SeededRandom(seed)
  const scenario = drawOutboxScenario(random.fork(), options.sabotage)
  const virtual = {
    seed,
    startMs: Date.UTC(2027, 0, 1),
    deadlineMs: 90 * 86_400_000,
    stacks: false,
  }
  let run: OutboxRun | undefined
  const story = () =>
    options.verbose === true ? [JSON.stringify(scenario), ...(run?.describe() ?? [])] : []
  let problems: string[]
  try {
    const report = await runInVirtualTime(virtual, (clock) => {
      run = new OutboxRun(scenario, clock, random)
      return run.perform()
    })
    problems = report.value
    problems.push(...report.unhandledRejections.map((it) => `unhandled rejection: ${String(it)}`))
  } catch (error) {
    problems = [error instanceof Error ? (error.stack ?? String(error)) : String(error)]
  }
  if (problems.length > 0) throw new SimulationFailure(seed, problems, story())
}

/** What is known of a message, as its program saw it. */
interface Message {
  readonly text: string
  /** The program's calls, in order. */
  readonly thread: string
  /**
   * `unknown`: its call got no response, or an indeterminate one. `never`: it was rejected, or rolled back.
   */
  fate: "unknown" | "confirmed" | "never"
  /** The disk that has it, and those that are copies of it from a time when it was not acknowledged. */
  readonly disks: Set<Disk>
}

/** A database, and whether it still exists. */
interface Disk {
  database: MemoryDatabase
  isLost: boolean
  /** Before the last commit. */
  previous: MemoryDatabase | undefined
}

class Process implements StoreUser {
  isDead = false
  readonly name: string
  readonly disk: Disk
  readonly store: ProcessStore
  readonly client: ReturnType<FaultyNetwork["client"]>
  readonly #run: OutboxRun
  outbox: Outbox | undefined

  constructor(run: OutboxRun, name: string, disk: Disk) {
    this.#run = run
    this.name = name
    this.disk = disk
    this.client = run.network.client()
    this.store = new ProcessStore(disk.database, this, faultsOf(run.scenario.sabotage))
  }

  fate(): StepFate | Promise<StepFate> {
    return this.#run.fate()
  }

  die(): void {
    if (this.isDead) return
    this.isDead = true
    this.client.abandon()
    this.store.abandon()
    this.#run.onDeath(this)
  }
}

class OutboxRun {
  readonly scenario: OutboxScenario
  readonly network: FaultyNetwork
  readonly #clock: VirtualClock
  readonly #random: SeededRandom
  readonly #server: RejectingServer
  readonly #messages = new Map<string, Message>()
  readonly #processes = new Set<Process>()
  readonly #disks: Disk[] = []
  readonly #story: string[] = []
  readonly #problems: string[] = []
  #backup: { of: Disk; copy: Disk; pending: Message[] } | undefined
  #processCount = 0
  #isHealed = false

  constructor(scenario: OutboxScenario, clock: VirtualClock, random: SeededRandom) {
    this.scenario = scenario
    this.#clock = clock
    this.#random = random
    this.#server = new RejectingServer(clock)
    this.#server.maxBodyBytes = scenario.maxBodyBytes
    this.#server.choices.numbersOfDuplicates = scenario.numbersOfDuplicates
    const { faults, maxLatencyMs, maxStragglerMs } = scenario
    this.network = new FaultyNetwork({
      server: this.#server,
      clock,
      random: random.fork(),
      choices: { faults, maxLatencyMs, maxStragglerMs, surviveAbort: 0.5 },
    })
  }

  async perform(): Promise<string[]> {
    const { mishaps, healAtMs, isolation, closes } = this.scenario
    await this.#server.handle({
      method: "PUT",
      url: new URL(URL_OF_STREAM),
      headers: new Map([["content-type", "application/json"]]),
      body: new Uint8Array(),
    })
    const now = () => this.#clock.now()
    this.#disks.push(this.#newDisk(new MemoryDatabase({ isolation, now })))
    this.#start(this.#disks[0]!)
    for (const { atMs, kind } of mishaps) {
      await this.#clock.sleep(Math.max(0, atMs - this.#clock.elapsedMs))
      await this.#happen(kind)
    }
    await this.#clock.sleep(Math.max(0, healAtMs - this.#clock.elapsedMs))
    this.#isHealed = true
    this.network.heal()
    this.network.choices.maxLatencyMs = Math.min(this.scenario.maxLatencyMs, 1_000)
    for (const process of [...this.#processes]) process.die()
    await this.#clock.sleep(SETTLED_MS)
    for (const disk of this.#disks) if (!disk.isLost) await this.#drain(disk, closes)
    return [...this.#problems, ...this.#check()]
  }

  describe(): string[] {
    return [...this.#story, ...this.network.records.map(describeRecord)]
  }

  fate(): StepFate | Promise<StepFate> {
    if (this.#isHealed) return "done"
    const { maxStepMs } = this.scenario
    if (maxStepMs === 0 || !this.#random.chance(0.2)) return this.#fateNow()
    return this.#clock.sleep(this.#random.int(0, maxStepMs)).then(() => this.#fateNow())
  }

  #fateNow(): StepFate {
    const { deaths, storeFailures } = this.scenario
    if (this.#random.chance(deaths)) return "dies"
    return this.#random.chance(storeFailures) ? "fails" : "done"
  }

  onDeath(process: Process): void {
    this.#tell(process.name, "dies")
    this.#processes.delete(process)
    const { disk } = process
    if (this.scenario.sabotage === "commits-unsynced" && disk.previous !== undefined) {
      disk.database.disk.records.clear()
      disk.database.disk.messages.clear()
      for (const [key, value] of disk.previous.disk.records)
        disk.database.disk.records.set(key, value)
      for (const [key, value] of disk.previous.disk.messages)
        disk.database.disk.messages.set(key, value)
    }
    if (this.#isHealed || disk.isLost) return
    this.#clock.after(this.#random.int(0, 10_000), () => {
      const isAlone = ![...this.#processes].some((other) => other.disk === disk)
      if (isAlone && !this.#isHealed && !disk.isLost) this.#start(disk)
    })
  }

  #newDisk(database: MemoryDatabase): Disk {
    const disk: Disk = { database, isLost: false, previous: undefined }
    return disk
  }

  #start(disk: Disk): Process {
    const process = new Process(this, `p${++this.#processCount}`, disk)
    this.#processes.add(process)
    void this.#live(process)
    return process
  }

  async #live(process: Process): Promise<void> {
    const outbox = await this.#open(process)
    if (outbox !== undefined) await this.#write(process, outbox)
  }

  /** Opens the outbox, as often as it takes. */
  async #open(process: Process): Promise<Outbox | undefined> {
    const { options, requestTimeoutMs, sabotage } = this.scenario
    const { fetch } = process.client
    const backoffOptions = { initialDelay: 100, maxDelay: 10_000 }
    const stream = new DurableStream({
      url: URL_OF_STREAM,
      contentType: "application/json",
      requestTimeoutMs,
      fetch,
      backoffOptions,
      warnOnRetry: false,
    })
    while (!process.isDead) {
      try {
        this.#tell(process.name, "opens")
        process.outbox = await openOutbox(stream, {
          ...options,
          store: process.store,
          ...(sabotage === "resends-forgotten" && { producerRetentionMs: Infinity }),
          observe: (event) => this.#observe(process, event),
        })
        return process.outbox
      } catch (error) {
        this.#tell(process.name, String(error))
        await this.#clock.sleep(1_000)
      }
    }
    return undefined
  }

  #observe(process: Process, event: OutboxEvent): void {
    const { kind, ...rest } = event
    const told = "error" in rest ? String(rest.error) : JSON.stringify(rest)
    this.#tell(process.name, `${kind} ${told}`)
    if (kind === "failed") void this.#decide(process, event.error)
  }

  /** What a program does about a failure: it looks at the stream once no request can arrive any more. */
  async #decide(process: Process, error: OutboxError, attempt = 1): Promise<void> {
    await this.#clock.sleep(this.#random.int(0, 5_000))
    const { outbox } = process
    if (process.isDead || outbox?.state !== "failed") return
    try {
      if (!error.indeterminate) {
        if (error.code === "STALE_EPOCH") await outbox.resume({ resend: true })
        else if (await this.#isPoison(outbox)) await outbox.resume({ skip: true })
        else await outbox.resume()
        return
      }
      await this.#clock.sleep(SETTLED_MS)
      const { messages, indeterminateCount } = await outbox.undelivered()
      const texts = messages.slice(0, indeterminateCount).map((bytes) => textOf(bytes))
      // Another copy of the disk can have delivered some of them.
      const isStored = texts.every((text) => this.#log().includes(text))
      this.#tell(process.name, `decides: ${isStored ? "skip" : "resend"} ${texts.join()}`)
      await outbox.resume(isStored ? { skip: true } : { resend: true })
    } catch (failure) {
      this.#tell(process.name, `cannot decide: ${String(failure)}`)
      if (attempt < 100) await this.#decide(process, error, attempt + 1)
    }
  }

  /** Whether the batch that failed is a message that the server rejects. */
  async #isPoison(outbox: Outbox): Promise<boolean> {
    const [first] = (await outbox.undelivered()).messages
    return outbox.error?.code === "BAD_REQUEST" &&
      first !== undefined &&
      textOf(first).includes(POISON)
      ? true
      : outbox.error?.code === "PAYLOAD_TOO_LARGE"
  }

  /** A program: it appends, alone and in transactions, and takes back what its transaction rolls back. */
  async #write(process: Process, outbox: Outbox): Promise<void> {
    const { messages, maxBurst, gapMs, transactions } = this.scenario
    for (let index = 0; index < messages && !process.isDead && !this.#isHealed;) {
      await this.#clock.sleep(this.#random.int(0, gapMs))
      const burst = Array.from({ length: this.#random.int(1, maxBurst) }, () => {
        return this.#newMessage(process, index++)
      })
      if (this.#random.chance(transactions)) await this.#transact(process, outbox, burst)
      else await Promise.all(burst.map((message) => this.#append(process, outbox, message)))
    }
  }

  #newMessage({ name, disk }: Process, index: number): Message {
    const poison = this.#random.chance(this.scenario.poison) ? POISON : ""
    const text = `${name}.${index}${poison}`
    const message: Message = { text, thread: name, fate: "unknown", disks: new Set([disk]) }
    this.#messages.set(text, message)
    return message
  }

  async #append({ isDead, disk }: Process, outbox: Outbox, message: Message): Promise<void> {
    if (isDead) return
    disk.previous = disk.database.copy()
    try {
      await outbox.append(JSON.stringify(message.text))
      message.fate = "confirmed"
    } catch (error) {
      // A rejection means that nothing is queued, unless it says that it does not know.
      if (!(error instanceof OutboxError && error.indeterminate)) message.fate = "never"
    }
  }

  async #transact(process: Process, outbox: Outbox, messages: readonly Message[]): Promise<void> {
    const { store, disk } = process
    let transaction: Awaited<ReturnType<ProcessStore["begin"]>> | undefined
    try {
      transaction = await store.begin()
      for (const message of messages) {
        await outbox.append(JSON.stringify(message.text), { transaction })
        if (this.scenario.isolation === "concurrent") {
          await this.#clock.sleep(this.#random.int(0, 3_000))
          if (process.isDead) return
        }
      }
      if (this.#random.chance(this.scenario.rollbacks))
        throw new Error("the program changes its mind")
      disk.previous = disk.database.copy()
      await store.commit(transaction)
      for (const message of messages) message.fate = "confirmed"
    } catch (error) {
      if ((error as { indeterminate?: boolean }).indeterminate === true) return
      if (process.isDead) return
      if (transaction !== undefined) store.rollback(transaction)
      for (const message of messages) message.fate = "never"
    }
  }

  async #happen(kind: Mishap): Promise<void> {
    this.#tell("world", kind)
    const alive = this.#disks.filter(({ isLost }) => !isLost)
    const disk = this.#random.pick(alive)
    switch (kind) {
      case "kill":
        if (this.#processes.size > 0) this.#random.pick([...this.#processes]).die()
        return
      case "second-opener":
        this.#start(disk)
        return
      case "copy": {
        const { copy, pending } = this.#copyOf(disk)
        for (const message of pending) message.disks.add(copy)
        this.#disks.push(copy)
        this.#start(copy)
        return
      }
      case "backup":
        this.#backup = { of: disk, ...this.#copyOf(disk) }
        return
      case "restore": {
        if (this.#backup === undefined || this.#backup.of.isLost) return
        const { of, copy, pending } = this.#backup
        of.isLost = true
        for (const process of [...this.#processes]) if (process.disk === of) process.die()
        for (const message of pending) message.disks.add(copy)
        this.#disks.push(copy)
        this.#start(copy)
        return
      }
      case "week":
        for (const process of [...this.#processes]) process.die()
        // Those that start meanwhile.
        await this.#clock.sleep(60_000)
        for (const process of [...this.#processes]) process.die()
        return this.#passWeek()
    }
  }

  async #passWeek(): Promise<void> {
    const wasHealed = this.#isHealed
    // Nothing is started in that time.
    this.#isHealed = true
    for (const process of [...this.#processes]) process.die()
    await this.#clock.sleep(WEEK_MS)
    this.#server.forgetProducers()
    this.#isHealed = wasHealed
    for (const disk of this.#disks) if (!disk.isLost) this.#start(disk)
  }

  /** A copy of a disk, with the messages that are on it and not acknowledged. */
  #copyOf(disk: Disk): { copy: Disk; pending: Message[] } {
    const copy = this.#newDisk(disk.database.copy())
    const rows = [...copy.database.disk.messages.values()].map(({ bytes }) => bytes)
    const sealed = [...copy.database.disk.records.values()].flatMap(({ bytes }) => bytes ?? [])
    const content = [...rows, ...sealed].map((bytes) => new TextDecoder().decode(bytes)).join()
    const pending = [...this.#messages.values()].filter(({ text }) => content.includes(`"${text}"`))
    return { copy, pending }
  }

  /** A last process delivers what a disk has. */
  async #drain(disk: Disk, closes: boolean): Promise<void> {
    const process = this.#start(disk)
    const deadlineMs = this.#clock.elapsedMs + RECOVERY_MS
    const isOnly = this.#disks.filter(({ isLost }) => !isLost).length === 1
    for (;;) {
      await this.#clock.sleep(1_000)
      const { outbox } = process
      const pending = outbox === undefined ? 1 : (await outbox.undelivered()).messages.length
      if (pending === 0 && outbox?.state === "idle") break
      if (this.#clock.elapsedMs < deadlineMs) continue
      this.#problems.push(
        `${process.name} has ${pending} messages left: ${String(outbox?.state)} ${String(outbox?.error)}`,
      )
      return
    }
    const { outbox } = process
    if (closes && isOnly) {
      await outbox!.close()
      if (!this.#server.stream("/log").closed) this.#problems.push("the stream is not closed")
      const late = await outbox!.append(0).catch((error: unknown) => error)
      if ((late as OutboxError).code !== "ALREADY_CLOSED")
        this.#problems.push("appended when closed")
    }
    await outbox!.detach()
  }

  /** Property 3 across all processes and disks. */
  #check(): string[] {
    const log = this.#log()
    const problems: string[] = []
    const counts = new Map<string, number>()
    for (const text of log) counts.set(text, (counts.get(text) ?? 0) + 1)
    for (const { text, fate, disks } of this.#messages.values()) {
      const count = counts.get(text) ?? 0
      const max = fate === "never" ? 0 : disks.size
      if (count > max) problems.push(`${text} (${fate}) is stored ${count} times`)
      const isLost = [...disks].every((disk) => disk.isLost)
      const isRejected = text.includes(POISON) || this.#isTooLarge(text)
      if (fate === "confirmed" && count === 0 && !isLost && !isRejected) {
        problems.push(`${text} is lost`)
      }
    }
    // Messages that several disks have are delivered by each.
    const ordered = log.map((text) => this.#messages.get(text)).filter((it) => it?.disks.size === 1)
    const last = new Map<string, number>()
    for (const message of ordered) {
      const index = Number(/\.(\d+)/.exec(message!.text)![1])
      if (index < (last.get(message!.thread) ?? -1))
        problems.push(`${message!.text} is out of order`)
      last.set(message!.thread, index)
    }
    return problems
  }

  #isTooLarge(text: string): boolean {
    return JSON.stringify([text]).length > this.scenario.maxBodyBytes
  }

  #log(): string[] {
    return this.#server.stream("/log").messages.map((text) => String(JSON.parse(text)))
  }

  #tell(name: string, what: string): void {
    this.#story.push(`${Math.round(this.#clock.elapsedMs)} ${name} ${what}`)
  }
}

function textOf(bytes: Uint8Array): string {
  return String(JSON.parse(new TextDecoder().decode(bytes)))
}
