import type { BenchCase } from "../case.ts"
import { expectCount, scaled, timed } from "../timed.ts"
import { perSecond } from "../units.ts"
import { followPagesAhead } from "./floor-pages.ts"

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
]

function farUrl(serverUrl: string, pages: number): string {
  return `${serverUrl}/far/${ROUND_TRIP_MS}/${BYTES_PER_SECOND}/json/${pages}/${MESSAGES}/100`
}
