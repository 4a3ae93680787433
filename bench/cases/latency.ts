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
  const row = (metric: string, ofFloor: number) => ({
    title: `live latency append → callback, ${transport}, ${metric}`,
    metric,
    target: { ofFloor },
    show: milliseconds,
  })
  return {
    name: `latency-${transport}`,
    rows: [row("p50", 1), row("p99", 0.95)],
    floor: ({ serverUrl, scale }) => measureLatency(serverUrl, scale, floors[transport]),
    client: ({ stream }, { serverUrl, scale }) =>
      measureLatency(serverUrl, scale, (url, onMessages) => {
        void stream({ url, live: transport, warnOnHttp: false }).then((response) =>
          response.subscribeJson(({ items }) => onMessages(items)),
        )
      }),
  }
}

const CALLBACK_MS = 100
const ROUND_TRIP_MS = 100
const INTERVAL_MS = 100

type ListenSlowly = (url: string, callback: (messages: readonly unknown[]) => Promise<void>) => void

/** How old a message is when its callback begins, if callbacks take as long as messages take to come. */
async function measureLag(serverUrl: string, scale: number, listen: ListenSlowly): Promise<Costs> {
  const samples = Math.max(5, scaled(60, scale))
  const sentAt: number[] = []
  const lags: number[] = []
  const done = new Promise<void>((resolve) => {
    listen(`${serverUrl}/far-live/${ROUND_TRIP_MS}/${process.pid}`, async (messages) => {
      if (messages.length === 0) return
      for (const message of messages) {
        const { n } = message as { n: number }
        lags.push(performance.now() - (sentAt[n] ?? NaN))
      }
      if (lags.length >= samples) resolve()
      await sleep(CALLBACK_MS)
    })
  })
  await untilWaiting(serverUrl, 1)
  for (let n = 0; n < samples; n++) {
    sentAt[n] = performance.now()
    const body = JSON.stringify({ n })
    await (await fetch(`${serverUrl}/live/${process.pid}`, { method: "POST", body })).arrayBuffer()
    await sleep(Math.max(0, INTERVAL_MS - (performance.now() - (sentAt[n] ?? 0))))
  }
  await done
  lags.sort((a, b) => a - b)
  return { p50: lags[lags.length >> 1] ?? NaN }
}

/** Asks for the next page as soon as this one's headers have named its offset, and keeps one page for the callback. */
const pollAhead: ListenSlowly = (url, callback) => {
  const ask = (offset: string) => fetch(`${url}?live=long-poll&offset=${offset}`)
  void (async () => {
    for (let next = ask("0"); ;) {
      const response = await next
      next = ask(response.headers.get("stream-next-offset") ?? "")
      await callback(JSON.parse(await response.text()) as unknown[])
    }
  })()
}

const lagCase: BenchCase = {
  name: "lag-long-poll",
  rows: [
    {
      title:
        "live lag, long-poll, 100 ms round trip, callback of 100 ms, a message every 100 ms, p50",
      metric: "p50",
      target: { atMost: 75 },
      show: milliseconds,
    },
  ],
  floor: ({ serverUrl, scale }) => measureLag(serverUrl, scale, pollAhead),
  client: ({ stream }, { serverUrl, scale }) =>
    measureLag(serverUrl, scale, (url, callback) => {
      void stream({ url, live: "long-poll", warnOnHttp: false }).then((response) =>
        response.subscribeJson(({ items }) => callback(items)),
      )
    }),
}

/** From one client's append to another's callback. */
export const latencyCases: readonly BenchCase[] = [
  latencyCase("sse"),
  latencyCase("long-poll"),
  lagCase,
]
