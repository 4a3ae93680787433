import { runWorker, Subscriptions, type Worker } from "../../../src/subscriptions/index.ts"
import type { RunOptions } from "../simulation-failure.ts"
import { describeEvent, FleetRun, ID, ROOT, runFleet, type FleetProcess } from "./fleet.ts"

/** A third of such a lease is longer than any body takes to arrive. */
const LONG_LEASE_MS = 15_000

/** One seeded run of a fleet of workers on one subscription. Rejects if a property did not hold. */
export async function runSubscriptions(seed: number, options: RunOptions = {}): Promise<void> {
  await runFleet(seed, options, WorkerRun)
}

interface WorkerProcess extends FleetProcess {
  readonly worker: Worker
  /** Of its last claim. */
  generation: number
  /** Of the handlers that are at work. */
  readonly signals: Set<AbortSignal>
}

class WorkerRun extends FleetRun<WorkerProcess> {
  protected readonly wakes = { type: "pull-wake", wake_stream: "wake" }

  protected start(): void {
    if (this.isOver) return
    const common = this.newProcess()
    const { name, fetch } = common
    const signals = new Set<AbortSignal>()
    const subscriptions = new Subscriptions({ root: ROOT, fetch, warnOnRetry: false })
    const worker = runWorker<string>(subscriptions, ID, {
      worker: name,
      concurrency: this.scenario.concurrency,
      backoffOptions: { initialDelay: 100, maxDelay: 5_000 },
      startOffset: (path) => this.offsets.startOffset(path),
      onBatch: async (batch, context) => {
        signals.add(context.signal)
        await this.handle(process, batch, context).finally(() => signals.delete(context.signal))
      },
      observe: (event) => {
        this.tell(name, describeEvent(event))
        if (event.kind === "claimed") process.generation = event.generation
        if (event.kind === "lost" && this.#isCalm()) this.problems.push(`${name} lost a claim`)
      },
      onError: (error) => this.tell(name, `error ${String(error)}`),
    })
    const process: WorkerProcess = Object.assign(common, { worker, generation: 0, signals })
    this.processes.add(process)
    // A supervisor starts what ended.
    const restart = (error?: unknown) => {
      this.tell(name, `ended ${String(error ?? "")}`)
      if (process.isDead || this.isOver) return
      this.processes.delete(process)
      this.clock.after(1_000, () => this.start())
    }
    worker.done.then(() => restart(), restart)
  }

  protected async end({ worker }: WorkerProcess): Promise<void> {
    await worker.stop().catch(() => undefined)
  }

  /** A holder knows that its lease is over no later than the server does: it counts from when it sent its request. */
  protected override onExpire(generation: number): void {
    if (this.has("restart") || this.has("sleep")) return
    this.clock.after(2, () => {
      for (const process of this.processes) {
        if (process.generation !== generation) continue
        if ([...process.signals].every(({ aborted }) => aborted)) continue
        this.problems.push(`${process.name} works on under generation ${generation}, which is over`)
      }
    })
  }

  /** Whether nothing but deaths of processes can end a claim. */
  #isCalm(): boolean {
    const { faults, mishaps, leaseTtlMs } = this.scenario
    // A response can trickle for longer than a third of a short lease: then the heartbeat is right to give up.
    if (leaseTtlMs < LONG_LEASE_MS) return false
    const isHarmless = mishaps.every(({ kind }) => kind === "kill" || kind === "stop")
    return Object.keys(faults).length === 0 && isHarmless
  }
}
