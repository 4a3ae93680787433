import type { BenchCase, Client, Job, Row } from "../case.ts"
import { expectCount, scaled, timed } from "../timed.ts"
import { megabytes, megabytesPerSecond } from "../units.ts"
import { followPages } from "./floor-pages.ts"

const PAGE_BYTES = 1e6

type Take = (response: Response) => Promise<number>
type Read = (response: Awaited<ReturnType<Client["stream"]>>) => Promise<number>

interface BytesCase {
  readonly name: string
  readonly rows: readonly Row[]
  readonly pages: number
  readonly pageBytes?: number
  /** What the floor does with each answer. */
  readonly floor: () => { readonly take: Take; readonly end?: () => number }
  readonly read: Read
}

function bytesCase({
  name,
  rows,
  pages,
  pageBytes = PAGE_BYTES,
  floor,
  read,
}: BytesCase): BenchCase {
  const begin = async ({ serverUrl, scale }: Job) => {
    // Of many pages there are fewer; a few large ones shrink.
    const count = pages > 10 ? scaled(pages, scale) : pages
    const bytes = pages > 10 ? pageBytes : scaled(pageBytes, scale)
    const url = `${serverUrl}/pages/bytes/${count}/${bytes}`
    await fetch(url, { method: "HEAD" })
    return { url, total: count * bytes }
  }
  return {
    name,
    rows,
    async floor(job) {
      const { url, total } = await begin(job)
      return timed(total, async () => {
        const { take, end } = floor()
        let received = 0
        await followPages(url, async (response) => {
          received += await take(response)
        })
        expectCount("bytes", end?.() ?? received, total)
      })
    },
    async client({ stream }, job) {
      const { url, total } = await begin(job)
      return timed(total, async () => {
        const response = await stream({ url, warnOnHttp: false })
        expectCount("bytes", await read(response), total)
      })
    },
  }
}

const throughput = (what: string): Row => ({
  title: `100 MB of bytes: ${what}`,
  metric: "time",
  target: { ofFloor: 0.95, timesPeer: 1.05 },
  show: megabytesPerSecond,
})

const takeWhole: Take = async (response) => (await response.arrayBuffer()).byteLength

const takeChunks: Take = async ({ body }) => {
  let received = 0
  // Node's body iterates; the library's type does not know it.
  for await (const chunk of body as unknown as AsyncIterable<Uint8Array>)
    received += chunk.byteLength
  return received
}

const readStream: Read = async (response) => {
  let received = 0
  for await (const chunk of response.bodyStream()) received += chunk.byteLength
  return received
}

/** Reading what is stored, as bytes. */
export const bytesCases: readonly BenchCase[] = [
  bytesCase({
    name: "body",
    rows: [throughput("body()")],
    pages: 100,
    floor: () => {
      const pages: Buffer[] = []
      return {
        take: async (response) => pages.push(Buffer.from(await response.arrayBuffer())),
        end: () => Buffer.concat(pages).byteLength,
      }
    },
    read: async (response) => (await response.body()).byteLength,
  }),
  bytesCase({
    name: "body-stream",
    rows: [throughput("bodyStream()")],
    pages: 100,
    floor: () => ({ take: takeChunks }),
    read: readStream,
  }),
  bytesCase({
    name: "subscribe-bytes",
    rows: [throughput("subscribeBytes")],
    pages: 100,
    floor: () => ({ take: takeWhole }),
    read: async (response) => {
      let received = 0
      await new Promise<void>((resolve) => {
        response.subscribeBytes(({ data, upToDate }) => {
          received += data.byteLength
          if (upToDate) resolve()
        })
      })
      return received
    },
  }),
  bytesCase({
    name: "body-stream-memory",
    rows: [
      {
        title: "bodyStream() of 1 GB, pages of 100 MB: peak memory",
        metric: "rss",
        target: { ofFloor: 0.9 },
        show: megabytes,
      },
    ],
    pages: 10,
    pageBytes: 1e8,
    floor: () => ({ take: takeChunks }),
    read: readStream,
  }),
]
