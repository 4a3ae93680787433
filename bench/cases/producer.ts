import { SAME_CLIENT, type BenchCase, type Client, type Costs, type Job } from "../case.ts"
import { scaled, timed } from "../timed.ts"
import { perSecond } from "../units.ts"
import { expectReceived, messages, postAll, sinkUrl } from "./sink-stream.ts"

const MESSAGE_BYTES = 100
const BATCH_BYTES = 1 << 20
const DIFFERENT = 1000

type Send = (
  producer: InstanceType<Client["IdempotentProducer"]>,
  body: string | Uint8Array,
) => void

const append: Send = (producer, body) => {
  producer.append(body)
}

async function produce(
  { DurableStream, IdempotentProducer }: Client,
  { serverUrl, scale }: Job,
  type: "json" | "bytes",
  send: Send,
): Promise<Costs> {
  const count = scaled(1_000_000, scale)
  const url = sinkUrl(serverUrl, type)
  const contentType = type === "json" ? "application/json" : "application/octet-stream"
  const texts = messages(DIFFERENT, MESSAGE_BYTES)
  const bodies = type === "json" ? texts : texts.map((text) => new TextEncoder().encode(text))
  const handle = new DurableStream({ url, contentType, warnOnHttp: false })
  const costs = await timed(count, async () => {
    const producer = new IdempotentProducer(handle, "bench", { maxBatchBytes: BATCH_BYTES })
    for (let index = 0; index < count; index++) send(producer, bodies[index % DIFFERENT] ?? "")
    await producer.flush()
  })
  await expectReceived(url, count * MESSAGE_BYTES)
  return costs
}

/** Batches of strings joined by commas, posted: what any producer of JSON must do, without checking the strings. */
async function floorOfStrings({ serverUrl, scale }: Job): Promise<Costs> {
  const count = scaled(1_000_000, scale)
  const url = sinkUrl(serverUrl, "json")
  const texts = messages(DIFFERENT, MESSAGE_BYTES)
  const inBatch = Math.floor(BATCH_BYTES / (MESSAGE_BYTES + 1))
  return timed(count, () =>
    postAll(
      url,
      "application/json",
      (function* () {
        for (let start = 0; start < count; start += inBatch) {
          const batch: string[] = []
          const end = Math.min(count, start + inBatch)
          for (let index = start; index < end; index++) batch.push(texts[index % DIFFERENT] ?? "")
          yield `[${batch.join(",")}]`
        }
      })(),
      "floor",
    ),
  )
}

/** @param atOnce - all bodies are made before the first is posted, as by a loop that never waits */
async function floorOfBytes({ serverUrl, scale }: Job, atOnce = false): Promise<Costs> {
  const count = scaled(1_000_000, scale)
  const url = sinkUrl(serverUrl, "bytes")
  const parts = messages(DIFFERENT, MESSAGE_BYTES).map((text) => new TextEncoder().encode(text))
  const inBatch = Math.floor(BATCH_BYTES / MESSAGE_BYTES)
  const bodies = function* () {
    for (let start = 0; start < count; start += inBatch) {
      const end = Math.min(count, start + inBatch)
      const batch = new Uint8Array((end - start) * MESSAGE_BYTES)
      for (let index = start; index < end; index++) {
        const part = parts[index % DIFFERENT]
        if (part !== undefined) batch.set(part, (index - start) * MESSAGE_BYTES)
      }
      yield batch
    }
  }
  return timed(count, () =>
    postAll(url, "application/octet-stream", atOnce ? [...bodies()] : bodies(), "floor"),
  )
}

const show = perSecond("msg")

/** Writing as fast as it goes. */
export const producerCases: readonly BenchCase[] = [
  {
    name: "producer-json",
    rows: [
      {
        title: "producer, 1 M strings of 100 B, JSON",
        metric: "time",
        target: { ofFloor: 0.6, timesPeer: 2.2 },
        show,
      },
    ],
    floor: floorOfStrings,
    client: (client, job) => produce(client, job, "json", append),
  },
  {
    name: "producer-bytes",
    rows: [
      {
        title: "producer, 1 M × 100 B, bytes",
        metric: "time",
        target: { ofFloor: 0.75, timesPeer: 1.3 },
        show,
      },
    ],
    floor: (job) => floorOfBytes(job),
    client: (client, job) => produce(client, job, "bytes", append),
  },
  {
    name: "producer-bytes-at-once",
    notQuick: SAME_CLIENT,
    rows: [
      {
        title: "the same (floor: all bodies are made before the first is posted)",
        metric: "time",
        target: {},
        show,
      },
    ],
    floor: (job) => floorOfBytes(job, true),
    withoutPeer: true,
    client: (client, job) => produce(client, job, "bytes", append),
  },
  {
    name: "producer-send",
    rows: [
      {
        title: "producer, send() for each of 1 M strings (floor: append() of ours)",
        metric: "time",
        target: { ofFloor: 0.8 },
        show,
      },
    ],
    floor: async (job) => produce(await job.loadOurs(), job, "json", append),
    withoutPeer: true,
    client: async (client, job) => {
      let stored = 0
      return produce(client, job, "json", (producer, body) => {
        void producer.send(body).then(() => stored++)
      })
    },
  },
]
