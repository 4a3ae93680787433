import type { BenchCase } from "../case.ts"
import { expectCount, scaled, timed } from "../timed.ts"
import { perSecond } from "../units.ts"
import { message } from "../server/content.ts"
import { followPagesAhead } from "./floor-pages.ts"
import { postAll } from "./sink-stream.ts"

const ROUND_TRIP_MS = 50
/** 16 Mbit/s: a page of 100 KB is on its way for about as long as a request for it. */
const BYTES_PER_SECOND = 2e6
const MESSAGES = 1000

/** Pages over a link where a request costs more than its work. */
export const farLinkCases: readonly BenchCase[] = [
  {
    name: "far-link",
    rows: [
      {
        title: "catch-up over a link with 50 ms round trip (16 Mbit/s), 100 pages of 100 KB",
        metric: "time",
        target: { timesPeer: 1.8 },
        show: perSecond("pages"),
      },
    ],
    async floor({ serverUrl, scale }) {
      const pages = scaled(100, scale)
      return timed(pages, async () => {
        let count = 0
        await followPagesAhead(farUrl(serverUrl, pages), async (response) => {
          count += (JSON.parse(await response.text()) as unknown[]).length
        })
        expectCount("messages", count, pages * MESSAGES)
      })
    },
    async client({ stream }, { serverUrl, scale }) {
      const pages = scaled(100, scale)
      return timed(pages, async () => {
        const url = farUrl(serverUrl, pages)
        const response = await stream({ url, warnOnHttp: false })
        expectCount("messages", (await response.json()).length, pages * MESSAGES)
      })
    },
  },
  {
    name: "far-producer",
    rows: [
      {
        title: "producer over a link with 30 ms and 2 ms of jitter, maxInFlight 5, 200 batches",
        metric: "time",
        target: { ofFloor: 1 / 1.3 },
        show: perSecond("batches"),
      },
      {
        title: "the same: requests for each batch",
        metric: "requests",
        target: { atMost: 1.3 },
        show: (requests) => requests.toFixed(2),
      },
    ],
    // What the link allows: five at a time, whatever order they arrive in.
    async floor({ serverUrl, scale }) {
      const { url, batches } = jitterStream(serverUrl, scale)
      const bodies = Array.from({ length: batches }, (_, index) => `[${message(index, 100)}]`)
      const costs = await timed(batches, () => postAll(url, "application/json", bodies))
      return { ...costs, requests: (await requestCount(url)) / batches }
    },
    async client({ DurableStream, IdempotentProducer }, { serverUrl, scale }) {
      const { url, batches } = jitterStream(serverUrl, scale)
      const handle = new DurableStream({ url, contentType: "application/json", warnOnHttp: false })
      const costs = await timed(batches, async () => {
        const settings = { lingerMs: 0, maxBatchBytes: 1, maxInFlight: 5 }
        const producer = new IdempotentProducer(handle, "bench", settings)
        for (let index = 0; index < batches; index++) producer.append(message(index, 100))
        await producer.flush()
      })
      return { ...costs, requests: (await requestCount(url)) / batches }
    },
  },
]

function jitterStream(serverUrl: string, scale: number): { url: string; batches: number } {
  return {
    url: `${serverUrl}/jitter/${process.pid}/30/2`,
    batches: Math.max(50, scaled(200, scale)),
  }
}

async function requestCount(url: string): Promise<number> {
  return Number(await (await fetch(url)).text())
}

function farUrl(serverUrl: string, pages: number): string {
  return `${serverUrl}/far/${ROUND_TRIP_MS}/${BYTES_PER_SECOND}/json/${pages}/${MESSAGES}/100`
}
