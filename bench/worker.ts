import { benchCases } from "./cases/all.ts"
import type { BenchCase, Client, Contender, Costs, Job } from "./case.ts"

/** What a worker is told, as its only argument, in JSON. */
export interface WorkerOrder {
  readonly name: string
  readonly contender: Contender
  readonly serverUrl: string
  readonly scale: number
  readonly entries: Job["entries"]
  readonly pageScripts: Job["pageScripts"]
}

/** What it answers. */
export type WorkerReport =
  | { readonly kind: "measured"; readonly costs: Costs }
  | { readonly kind: "failed"; readonly reason: string }

/** Runs one case for one contender in this process, then ends it. */
async function main(order: WorkerOrder): Promise<WorkerReport> {
  const benchCase = benchCases.find(({ name }) => name === order.name)
  if (benchCase === undefined) throw new Error(`no case ${order.name}`)
  const job: Job = { ...order, loadOurs: async () => (await load(order.entries.ours)).client }
  const costs = await run(benchCase, job)
  // Kilobytes on every platform that Node runs on.
  return { kind: "measured", costs: { rss: process.resourceUsage().maxRSS * 1024, ...costs } }
}

async function run(benchCase: BenchCase, job: Job): Promise<Costs | undefined> {
  if (job.contender === "floor") return benchCase.floor?.(job)
  const { client, importMs } = await load(job.entries[job.contender])
  return { import: importMs, ...(await benchCase.client(client, job)) }
}

async function load(entry: string): Promise<{ client: Client; importMs: number }> {
  // Finding the file is Node's work and not the package's.
  const url = import.meta.resolve(entry)
  const startedAt = performance.now()
  const client = (await import(url)) as Client
  return { client, importMs: performance.now() - startedAt }
}

function report(answer: WorkerReport): void {
  process.send?.(answer, () => process.exit(0))
}

// Written by measure.ts.
main(JSON.parse(process.argv[2] ?? "{}") as WorkerOrder).then(report, (error: unknown) =>
  report({ kind: "failed", reason: String(error) }),
)
