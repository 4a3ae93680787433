import type { BenchCase, Costs, Job } from "../case.ts"
import { scaled, timed } from "../timed.ts"
import { megabytes } from "../units.ts"
import { expectReceived, postAll, sinkUrl } from "./sink-stream.ts"

const CHUNK_BYTES = 100_000
const BYTES_PER_SECOND = 100e6

/** Bodies of 1 MB one after another. */
async function floor({ serverUrl, scale }: Job): Promise<Costs> {
  const url = sinkUrl(serverUrl, "bytes", BYTES_PER_SECOND)
  const batches = scaled(1000, scale)
  return timed(batches, () =>
    postAll(
      url,
      "application/octet-stream",
      (function* () {
        for (let index = 0; index < batches; index++) yield new Uint8Array(1e6)
      })(),
      "floor",
    ),
  )
}

/** What pipes out of a source that is faster than the server. */
function source(chunks: number): ReadableStream<Uint8Array> {
  let given = 0
  return new ReadableStream({
    pull(controller) {
      if (given++ < chunks) controller.enqueue(new Uint8Array(CHUNK_BYTES))
      else controller.close()
    },
  })
}

/** A program that has more to say than its server can take, and waits where the client lets it. */
export const slowServerCases: readonly BenchCase[] = [
  {
    name: "slow-server",
    rows: [
      {
        title: "1 GB through a server that takes 100 MB/s: peak memory",
        metric: "rss",
        target: { atMost: 160e6 },
        show: megabytes,
      },
    ],
    floor,
    async client({ DurableStream, IdempotentProducer }, { serverUrl, scale }) {
      const url = sinkUrl(serverUrl, "bytes", BYTES_PER_SECOND)
      const chunks = scaled(10_000, scale)
      const handle = new DurableStream({
        url,
        contentType: "application/octet-stream",
        warnOnHttp: false,
      })
      const costs = await timed(chunks, async () => {
        const producer = new IdempotentProducer(handle, "bench")
        for (let index = 0; index < chunks; index++) {
          producer.append(new Uint8Array(CHUNK_BYTES))
          // The published client has no such thing: there is nothing to wait for.
          await producer.ready
        }
        await producer.flush()
      })
      await expectReceived(url, chunks * CHUNK_BYTES)
      return costs
    },
  },
  {
    name: "slow-server-writable",
    rows: [
      {
        title: "the same by pipeTo(writable()): peak memory",
        metric: "rss",
        target: { atMost: 160e6 },
        show: megabytes,
      },
    ],
    floor,
    async client({ DurableStream }, { serverUrl, scale }) {
      const url = sinkUrl(serverUrl, "bytes", BYTES_PER_SECOND)
      const chunks = scaled(10_000, scale)
      const handle = new DurableStream({
        url,
        contentType: "application/octet-stream",
        warnOnHttp: false,
      })
      const costs = await timed(chunks, () => source(chunks).pipeTo(handle.writable()))
      await expectReceived(url, chunks * CHUNK_BYTES)
      return costs
    },
  },
]
