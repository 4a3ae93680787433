import { GCProfiler } from "node:v8"
import type { BenchCase, Costs, Job } from "../case.ts"
import { expectCount, scaled, timed } from "../timed.ts"
import { kilobytes, perSecond } from "../units.ts"
import { followPages } from "./floor-pages.ts"

/** Reads a stream of so many pages with one message on each; resolves to the number of messages. */
type ReadAll = (url: string) => Promise<number>

async function measurePages({ serverUrl, scale }: Job, readAll: ReadAll): Promise<Costs> {
  const pages = scaled(30_000, scale)
  const urlOf = (count: number) => `${serverUrl}/pages/json/${count}/1/100`
  const costs = await timed(pages, async () =>
    expectCount("messages", await readAll(urlOf(pages)), pages),
  )
  const fewer = Math.ceil(pages / 10)
  const allocated = await allocatedBytes(() => readAll(urlOf(fewer)))
  return { ...costs, allocated: allocated / fewer }
}

/** What V8's heap was given while work was done: what each collection found beyond what the one before it had left. */
async function allocatedBytes(work: () => Promise<unknown>): Promise<number> {
  globalThis.gc?.()
  let left = process.memoryUsage().heapUsed
  const profiler = new GCProfiler()
  profiler.start()
  await work()
  const { statistics } = profiler.stop()
  let allocated = 0
  for (const { beforeGC, afterGC } of statistics) {
    allocated += beforeGC.heapStatistics.usedHeapSize - left
    left = afterGC.heapStatistics.usedHeapSize
  }
  return allocated + process.memoryUsage().heapUsed - left
}

/** A stream of tiny appends, where each page costs a request and hardly any content. */
export const smallPagesCases: readonly BenchCase[] = [
  {
    name: "small-pages",
    rows: [
      {
        title: "30 k pages of one message each: subscribeJson",
        metric: "time",
        target: { timesPeer: 1.1 },
        show: perSecond("pages"),
      },
      {
        title: "the same: allocated for each page",
        metric: "allocated",
        target: { timesPeer: 1.1 },
        show: kilobytes,
      },
    ],
    floor: (job) =>
      measurePages(job, async (url) => {
        let count = 0
        await followPages(url, async (response) => {
          count += (JSON.parse(await response.text()) as unknown[]).length
        })
        return count
      }),
    client: ({ stream }, job) =>
      measurePages(job, async (url) => {
        const response = await stream({ url, warnOnHttp: false })
        return new Promise<number>((resolve) => {
          let count = 0
          response.subscribeJson(({ items, upToDate }) => {
            count += items.length
            if (upToDate) resolve(count)
          })
        })
      }),
  },
]
