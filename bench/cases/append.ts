import { SAME_CLIENT, type BenchCase, type Client, type Costs, type Job } from "../case.ts"
import { scaled, timed } from "../timed.ts"
import { perSecond } from "../units.ts"
import { expectReceived, messages, postAll, sinkUrl } from "./sink-stream.ts"

const MESSAGE_BYTES = 100
const IN_BODY = 9_000

async function appendAll({ DurableStream }: Client, { serverUrl, scale }: Job): Promise<Costs> {
  const count = scaled(100_000, scale)
  const texts = messages(count, MESSAGE_BYTES)
  const url = sinkUrl(serverUrl, "json")
  const handle = new DurableStream({ url, contentType: "application/json", warnOnHttp: false })
  const costs = await timed(count, () => Promise.all(texts.map((text) => handle.append(text))))
  await expectReceived(url, texts.join("").length)
  return costs
}

/** Each string is checked and has a promise of its own, and bodies stay below 1 MiB. */
async function floorOfContract({ serverUrl, scale }: Job): Promise<Costs> {
  const count = scaled(100_000, scale)
  const texts = messages(count, MESSAGE_BYTES)
  const url = sinkUrl(serverUrl, "json")
  return timed(count, async () => {
    const settle: ((result: { offset: string }) => void)[] = []
    const settled = texts.map((text) => {
      JSON.parse(text)
      return new Promise<{ offset: string }>((resolve) => settle.push(resolve))
    })
    for (let start = 0; start < count; start += IN_BODY) {
      const body = `[${texts.slice(start, start + IN_BODY).join(",")}]`
      const headers = { "content-type": "application/json" }
      const response = await fetch(url, { method: "POST", headers, body })
      const offset = response.headers.get("stream-next-offset") ?? ""
      for (const resolve of settle.slice(start, start + IN_BODY)) resolve({ offset })
    }
    await Promise.all(settled)
  })
}

/** Calls that nobody waits for before the next one. */
export const appendCases: readonly BenchCase[] = [
  {
    name: "append",
    rows: [
      {
        title: "append() un-awaited, 100 k strings of 100 B, JSON",
        metric: "time",
        target: { timesPeer: 1.3 },
        show: perSecond("msg"),
      },
    ],
    async floor({ serverUrl, scale }) {
      const count = scaled(100_000, scale)
      const texts = messages(count, MESSAGE_BYTES)
      const url = sinkUrl(serverUrl, "json")
      return timed(count, () =>
        postAll(url, "application/json", [texts[0] ?? "", `[${texts.slice(1).join(",")}]`]),
      )
    },
    client: appendAll,
  },
  {
    name: "append-contract",
    notQuick: SAME_CLIENT,
    rows: [
      {
        title: "the same (floor: a check and a promise for each, bodies below 1 MiB)",
        metric: "time",
        target: {},
        show: perSecond("msg"),
      },
    ],
    floor: floorOfContract,
    client: appendAll,
  },
]
