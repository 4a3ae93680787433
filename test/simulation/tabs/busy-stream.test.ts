import { describe, expect, it } from "vitest"
import { openSharedStream } from "../../../src/tabs/shared-stream.ts"
import { FaultyNetwork } from "../../support/faulty-network/network.ts"
import { ModelServer } from "../../../src/testing/server.ts"
import { SimulatedChannels, type ChannelChoices } from "../../support/origin/channels.ts"
import { SimulatedLocks } from "../../support/origin/locks.ts"
import { SeededRandom } from "../../support/seeded-random.ts"
import type { VirtualClock } from "../../support/virtual-clock.ts"
import { runInVirtualTime } from "../../support/virtual-time.ts"
import { Tab, tabTimers } from "./tab.ts"

const PATH = "/tabs/busy"
const TABS = 12
const MESSAGE_GAP_MS = 5
const DURATION_MS = 6_000

interface BusyStream {
  readonly contentType: string
  readonly channel?: Partial<ChannelChoices>
  /** What each consumer takes for a batch. */
  readonly slownessMs?: number
  readonly maxLatencyMs?: number
}

/** What became of twelve tabs that read 200 messages a second. */
interface BusyOutcome {
  /** Of each tab: requests in the busiest second after the first two. */
  readonly requestsPerSecond: readonly number[]
  /** Of each tab, after the first two seconds. */
  readonly requests: readonly number[]
  readonly lengths: readonly number[]
  readonly expected: number
  /** Messages of followers in the busiest second. */
  readonly wantsPerSecond: number
}

async function readBusyStream(options: BusyStream): Promise<BusyOutcome> {
  const { value } = await runInVirtualTime(
    { seed: 1, stacks: false, maxSteps: 2_000_000 },
    (clock) => run(clock, options),
  )
  return value
}

async function run(clock: VirtualClock, options: BusyStream): Promise<BusyOutcome> {
  const endTimers = tabTimers()
  const { contentType, slownessMs = 0, maxLatencyMs = 20 } = options
  const random = new SeededRandom(7)
  const server = new ModelServer(clock, { pageLimit: () => 100_000 })
  const network = new FaultyNetwork({
    server,
    clock,
    random,
    choices: { maxLatencyMs, trickle: 0 },
  })
  const channels = new SimulatedChannels(clock, random, {
    maxLatencyMs: 3,
    loss: 0,
    duplication: 0,
    ...options.channel,
  })
  const browser = { locks: new SimulatedLocks(), channels }
  const write = (method: string, text: string, headers = {}) =>
    server.handle({
      method,
      url: new URL(`http://model.test${PATH}`),
      headers: new Map(Object.entries({ "content-type": contentType, ...headers })),
      body: new TextEncoder().encode(text),
    })
  await write("PUT", "")
  const lengths = new Array<number>(TABS).fill(0)
  const tabs = lengths.map((_, index) => new Tab(`t${index}`, browser, network.client()))
  const reads = tabs.map(async (tab, index) => {
    await clock.sleep(index * 50)
    await new Promise<void>((resolve, reject) => {
      tab.run(() => {
        const take = async (size: number) => {
          lengths[index] = (lengths[index] ?? 0) + size
          if (slownessMs > 0) await new Promise((wait) => setTimeout(wait, slownessMs))
        }
        const url = `http://model.test${PATH}`
        const fetch = tab.fetch(() => clock.elapsedMs)
        const shared = { url, fetch, shareKey: "user", warnOnHttp: false, pauseWhenHidden: tab }
        const read = async () => {
          for await (const batch of await openSharedStream<string>(shared, tab.origin(false))) {
            await take(
              "items" in batch ? batch.items.length : "data" in batch ? batch.data.length : 0,
            )
          }
        }
        read().then(resolve, reject)
      })
    })
  })
  const isJson = contentType === "application/json"
  for (let sent = 0; sent < DURATION_MS / MESSAGE_GAP_MS; sent++) {
    await write("POST", isJson ? `["message ${sent}"]` : "0123456789")
    await clock.sleep(MESSAGE_GAP_MS)
  }
  await write("POST", "", { "stream-closed": "true" })
  await Promise.all(reads)
  endTimers()
  const later = tabs.map(({ requestTimes }) => requestTimes.filter((ms) => ms > 2_000))
  const wants = channels.posted.filter(({ data }) => (data as { kind: string }).kind === "want")
  return {
    requestsPerSecond: later.map(busiestSecond),
    requests: later.map((times) => times.filter((ms) => ms < DURATION_MS).length),
    lengths,
    expected: server.stream(PATH).length,
    wantsPerSecond: busiestSecond(wants.map(({ atMs }) => atMs)),
  }
}

function busiestSecond(times: readonly number[]): number {
  const count = (from: number) => times.filter((ms) => ms >= from && ms < from + 1_000).length
  return Math.max(0, ...times.map(count))
}

describe("200 messages a second, 12 tabs", { timeout: 120_000 }, () => {
  it("makes no requests but the holder's over SSE", async () => {
    const { requests, ...outcome } = await readBusyStream({ contentType: "application/json" })
    expect(outcome.lengths).toEqual(outcome.lengths.map(() => outcome.expected))
    expect(Math.max(...requests)).toBe(0)
  })

  it("bounds the requests of each tab over long-poll, of which a page holds several messages", async () => {
    const outcome = await readBusyStream({ contentType: "application/octet-stream" })
    expect(outcome.lengths).toEqual(outcome.lengths.map(() => outcome.expected))
    const [holder = 0, ...others] = [...outcome.requestsPerSecond].sort((a, b) => b - a)
    // The holder polls again as soon as it has a page.
    expect(holder).toBeGreaterThan(10)
    // Alone: 250 ms apart, so five begin within a second; and a catch-up request before.
    expect(Math.max(...others)).toBeLessThanOrEqual(6)
  })

  it("follows again soon over long-poll, where few offsets are boundaries of the holder's pages", async () => {
    const { requests } = await readBusyStream({ contentType: "application/octet-stream" })
    const [, ...others] = [...requests].sort((a, b) => b - a)
    // A reader that stays on its own makes four a second.
    expect(others.reduce((sum, count) => sum + count, 0)).toBeLessThanOrEqual(2 * TABS)
  })

  it("bounds them if a tenth of the messages between tabs is lost, and another one comes twice", async () => {
    const channel = { loss: 0.1, duplication: 0.1, maxLatencyMs: 20 }
    const outcome = await readBusyStream({ contentType: "application/json", channel })
    expect(outcome.lengths).toEqual(outcome.lengths.map(() => outcome.expected))
    expect(Math.max(...outcome.requestsPerSecond)).toBeLessThanOrEqual(3)
    expect(outcome.wantsPerSecond).toBeLessThanOrEqual(4 * TABS)
  })

  it("bounds them if consumers are slower than the stream", async () => {
    const outcome = await readBusyStream({ contentType: "application/json", slownessMs: 100 })
    expect(outcome.lengths).toEqual(outcome.lengths.map(() => outcome.expected))
    expect(Math.max(...outcome.requestsPerSecond)).toBeLessThanOrEqual(3)
    expect(outcome.wantsPerSecond).toBeLessThanOrEqual(4 * TABS)
  })
})
