import { setTimeout as sleep } from "node:timers/promises"
import type { BenchCase, Costs } from "../case.ts"
import { scaled } from "../timed.ts"
import { milliseconds } from "../units.ts"
import { readEvents, untilWaiting } from "./live-server.ts"

type Transport = "sse" | "long-poll"
type Listen = (url: string, onMessages: (messages: readonly unknown[]) => void) => void

/** How long an append is away from a callback: one at a time, sent by bare fetch whoever reads. */
async function measureLatency(serverUrl: string, scale: number, listen: Listen): Promise<Costs> {
  const samples = scaled(2000, scale)
  const url = `${serverUrl}/live/${process.pid}`
  let arrived: (n: unknown) => void = () => undefined
  listen(url, (messages) => {
    for (const message of messages) arrived((message as { n: unknown }).n)
  })
  await untilWaiting(serverUrl, 1)
  const latencies: number[] = []
  // The first ones pay for compiling.
  for (let n = -Math.ceil(samples / 10); n < samples; n++) {
    await sleep(1)
    await untilWaiting(serverUrl, 1)
    const startedAt = performance.now()
    const callback = new Promise<void>((resolve) => {
      arrived = (arrivedN) => {
        if (arrivedN === n) resolve()
      }
    })
    const posted = fetch(url, { method: "POST", body: JSON.stringify({ n }) })
    await callback
    if (n >= 0) latencies.push(performance.now() - startedAt)
    await (await posted).arrayBuffer()
  }
  latencies.sort((a, b) => a - b)
  const at = (share: number) => latencies[Math.floor(latencies.length * share)] ?? NaN
  return { p50: at(0.5), p99: at(0.99) }
}

const floors: Readonly<Record<Transport, Listen>> = {
  sse: (url, onMessages) => {
    void readEvents(url, (data) => onMessages(JSON.parse(data) as unknown[]))
  },
  "long-poll": (url, onMessages) => {
    void (async () => {
      for (let offset = "0"; ;) {
        const response = await fetch(`${url}?live=long-poll&offset=${offset}`)
        onMessages(JSON.parse(await response.text()) as unknown[])
        offset = response.headers.get("stream-next-offset") ?? ""
      }
    })()
  },
}

function latencyCase(transport: Transport): BenchCase {
  const row = (metric: string) => ({
    title: `live latency append → callback, ${transport}, ${metric}`,
    metric,
    target: { ofFloor: 1 / 1.05 },
    show: milliseconds,
  })
  return {
    name: `latency-${transport}`,
    rows: [row("p50"), row("p99")],
    floor: ({ serverUrl, scale }) => measureLatency(serverUrl, scale, floors[transport]),
    client: ({ stream }, { serverUrl, scale }) =>
      measureLatency(serverUrl, scale, (url, onMessages) => {
        void stream({ url, live: transport, warnOnHttp: false }).then((response) =>
          response.subscribeJson(({ items }) => onMessages(items)),
        )
      }),
  }
}

/** From one client's append to another's callback. */
export const latencyCases: readonly BenchCase[] = [latencyCase("sse"), latencyCase("long-poll")]
