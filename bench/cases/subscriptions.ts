import type * as subscriptions from "../../src/subscriptions/index.ts"
import type { BenchCase, Job } from "../case.ts"
import { expectCount, scaled, timed } from "../timed.ts"
import { perSecond } from "../units.ts"

const contentType = "application/json"
const STREAMS = 160
const PARTS = 8
/** What a handler waits for: a database, another service. */
const HANDLER_MS = 5

interface Fleet {
  readonly subscriptions: number
  /** Of each subscription. */
  readonly workers: number
  readonly concurrency: number
}

function row(metric: string, title: string) {
  return { title, metric, target: {}, show: perSecond("streams") }
}

/** How many streams with a message are handled a second, by a handler that waits 5 ms for each. */
export const subscriptionCases: readonly BenchCase[] = [
  {
    name: "subscriptions",
    server: "reference",
    withoutPeer: true,
    rows: [
      row("one", `subscriptions, a handler of ${HANDLER_MS} ms: one subscription, one worker`),
      row("workers", `the same: ${PARTS} workers on it (a lease covers a whole subscription)`),
      row("concurrency", `the same: one worker, concurrency ${PARTS}`),
      row("parts", `the same: ${PARTS} subscriptions with disjoint patterns, a worker each`),
    ],
    async client(_client, job) {
      return {
        one: await handleAll(job, "one", { subscriptions: 1, workers: 1, concurrency: 1 }),
        workers: await handleAll(job, "many", { subscriptions: 1, workers: PARTS, concurrency: 1 }),
        concurrency: await handleAll(job, "wide", {
          subscriptions: 1,
          workers: 1,
          concurrency: PARTS,
        }),
        parts: await handleAll(job, "parts", { subscriptions: PARTS, workers: 1, concurrency: 1 }),
      }
    },
  },
]

/** @returns the milliseconds for one stream */
async function handleAll(job: Job, name: string, fleet: Fleet): Promise<number> {
  const { runWorker, Subscriptions } = await loadSubscriptions(job)
  const streams = Math.max(PARTS, scaled(STREAMS, job.scale))
  const folder = `bench-${process.pid}-${name}`
  const root = `${job.serverUrl}/v1/stream`
  const put = (path: string) =>
    fetch(`${root}/${path}`, { method: "PUT", headers: { "content-type": contentType } })
  const paths = Array.from(
    { length: streams },
    (_, index) => `${folder}/${index % fleet.subscriptions}/${index}`,
  )
  await put(`${folder}-wake`)
  for (const path of paths) await put(path)
  const client = new Subscriptions({ root })
  const ids = Array.from({ length: fleet.subscriptions }, (_, index) => `${folder}-${index}`)
  for (const [index, id] of ids.entries()) {
    const pattern = `${folder}/${index}/*`
    await client.create(id, { type: "pull-wake", pattern, wakeStream: `${folder}-wake` })
  }
  for (const path of paths) {
    const headers = { "content-type": contentType }
    await fetch(`${root}/${path}`, { method: "POST", headers, body: "[1]" })
  }
  let handled = 0
  let onLast: () => void = () => undefined
  const last = new Promise<void>((resolve) => (onLast = resolve))
  const { time } = await timed(streams, async () => {
    const workers = ids.flatMap((id) =>
      Array.from({ length: fleet.workers }, () =>
        runWorker(client, id, {
          worker: "bench",
          concurrency: fleet.concurrency,
          onBatch: async () => {
            await new Promise((resolve) => setTimeout(resolve, HANDLER_MS))
            if (++handled === streams) onLast()
          },
        }),
      ),
    )
    await last
    await Promise.all(workers.map((worker) => worker.stop()))
  })
  expectCount("streams", handled, streams)
  return time ?? 0
}

async function loadSubscriptions({ entries }: Job): Promise<typeof subscriptions> {
  // The built file has what its source exports.
  return (await import(new URL("subscriptions.js", entries.ours).href)) as typeof subscriptions
}
