import type { BenchCase, Client, Costs, Job } from "../case.ts"
import { expectCount, scaled, timed } from "../timed.ts"
import { perSecond } from "../units.ts"
import { followPages } from "./floor-pages.ts"
import { messages, postAll } from "./sink-stream.ts"

const MESSAGE_BYTES = 100
const COUNT = 100_000
const IN_BATCH = 1000

const contentType = "application/json"

/** A stream of the reference server, empty or with messages in it. */
async function createStream({ serverUrl }: Job, texts: readonly string[]): Promise<string> {
  const url = `${serverUrl}/bench-${process.pid}`
  await fetch(url, { method: "PUT", headers: { "content-type": contentType } })
  await postAll(url, contentType, batches(texts))
  return url
}

function* batches(texts: readonly string[]): Generator<string> {
  for (let start = 0; start < texts.length; start += IN_BATCH) {
    yield `[${texts.slice(start, start + IN_BATCH).join(",")}]`
  }
}

async function countStored(url: string): Promise<number> {
  let count = 0
  await followPages(url, async (response) => {
    count += (JSON.parse(await response.text()) as unknown[]).length
  })
  return count
}

async function produceAll(client: Client, job: Job): Promise<Costs> {
  const { DurableStream, IdempotentProducer } = client
  const texts = messages(scaled(COUNT, job.scale), MESSAGE_BYTES)
  const url = await createStream(job, [])
  const handle = new DurableStream({ url, contentType, warnOnHttp: false })
  const costs = await timed(texts.length, async () => {
    const producer = new IdempotentProducer(handle, "bench", { maxBatchBytes: 100_000 })
    for (const text of texts) producer.append(text)
    await producer.flush()
  })
  expectCount("stored messages", await countStored(url), texts.length)
  return costs
}

/** The same work against the reference server, whose own cost is in every figure. */
export const referenceCases: readonly BenchCase[] = [
  {
    name: "reference-json",
    server: "reference",
    rows: [
      {
        title: "reference server, 100 k messages: json()",
        metric: "time",
        target: {},
        show: perSecond("msg"),
      },
    ],
    async floor(job) {
      const texts = messages(scaled(COUNT, job.scale), MESSAGE_BYTES)
      const url = await createStream(job, texts)
      return timed(texts.length, async () =>
        expectCount("messages", await countStored(url), texts.length),
      )
    },
    async client({ stream }, job) {
      const texts = messages(scaled(COUNT, job.scale), MESSAGE_BYTES)
      const url = await createStream(job, texts)
      return timed(texts.length, async () => {
        const response = await stream({ url, warnOnHttp: false })
        expectCount("messages", (await response.json()).length, texts.length)
      })
    },
  },
  {
    name: "reference-producer",
    server: "reference",
    rows: [
      {
        title: "reference server, 100 k messages: producer, batches of 100 KB",
        metric: "time",
        target: {},
        show: perSecond("msg"),
      },
    ],
    async floor(job) {
      const texts = messages(scaled(COUNT, job.scale), MESSAGE_BYTES)
      const url = await createStream(job, [])
      return timed(texts.length, () => postAll(url, contentType, batches(texts)))
    },
    client: produceAll,
  },
]
