import type { BenchCase, Client, Costs, Job } from "../case.ts"
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

/** A stream whose server takes it slowly, and how many chunks of 100 KB it is to get. */
function openSink({ DurableStream }: Client, { serverUrl, scale }: Job) {
  const url = sinkUrl(serverUrl, "bytes", BYTES_PER_SECOND)
  const contentType = "application/octet-stream"
  const handle = new DurableStream({ url, contentType, warnOnHttp: false })
  return { url, handle, chunks: scaled(10_000, scale) }
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
    async client(client, job) {
      const { url, chunks, handle } = openSink(client, job)
      const costs = await timed(chunks, async () => {
        const producer = new client.IdempotentProducer(handle, "bench")
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
    async client(client, job) {
      const { url, chunks, handle } = openSink(client, job)
      const costs = await timed(chunks, () => source(chunks).pipeTo(handle.writable()))
      await expectReceived(url, chunks * CHUNK_BYTES)
      return costs
    },
  },
]
