import { expect, it } from "vitest"
import { runWorker, Subscriptions } from "../../../src/subscriptions/index.ts"
import { FaultyNetwork } from "../../support/faulty-network/network.ts"
import { SubscriptionModelServer } from "../../../src/testing/subscriptions.ts"
import { SeededRandom } from "../../support/seeded-random.ts"
import { runInVirtualTime } from "../../support/virtual-time.ts"

const WORKERS = 300
const APPENDS = 30
const ROOT = `http://model.test/v1/stream`

it(
  `${WORKERS} workers of one subscription do not claim all at once`,
  { timeout: 120_000 },
  async () => {
    const report = await runInVirtualTime({ maxSteps: 1_000_000, stacks: false }, async (clock) => {
      const server = new SubscriptionModelServer(clock.server, "/v1/stream")
      const network = new FaultyNetwork({ server, clock, random: new SeededRandom(1) })
      const put = (path: string, body = "") =>
        server.handle({
          method: "PUT",
          url: new URL(`${ROOT}/${path}`),
          headers: new Map([["content-type", "application/json"]]),
          body: new TextEncoder().encode(body),
        })
      await put("wake")
      await put("work/a")
      await put(
        "__ds/subscriptions/jobs",
        JSON.stringify({ type: "pull-wake", pattern: "work/*", wake_stream: "wake" }),
      )
      const claims: number[] = []
      const latencies: number[] = []
      let appendedAtMs = 0
      const fetch: typeof globalThis.fetch = (input, init) => {
        if (String(input).endsWith("/claim")) claims.push(clock.elapsedMs)
        return network.fetch(input, init)
      }
      const subscriptions = new Subscriptions({ root: ROOT, fetch })
      const workers = Array.from({ length: WORKERS }, () =>
        runWorker(subscriptions, "jobs", {
          worker: "w",
          onBatch: () => void latencies.push(clock.elapsedMs - appendedAtMs),
        }),
      )
      await clock.sleep(10_000)
      claims.length = 0
      for (let n = 0; n < APPENDS; n++) {
        appendedAtMs = clock.elapsedMs
        await server.append("work/a", [n])
        await clock.sleep(10_000)
      }
      await Promise.all(workers.map((worker) => worker.stop()))
      return { claims, latencies }
    })
    const { claims, latencies } = report.value
    expect(latencies).toHaveLength(APPENDS)
    // Once the workers know that they are many, which takes them some races.
    const late = claims.filter((atMs) => atMs > 10_000 + 15 * 10_000)
    const perSecond = new Map<number, number>()
    for (const atMs of late) {
      const second = Math.floor(atMs / 1000)
      perSecond.set(second, (perSecond.get(second) ?? 0) + 1)
    }
    console.log(
      `${claims.length} claims for ${APPENDS} wakes, at most ${Math.max(...perSecond.values())} in a second; handled after at most ${Math.round(Math.max(...latencies))} ms`,
    )
    // Each worker claims once for a wake at most, and once in 30 s without one.
    expect(claims.length).toBeLessThan(WORKERS * (APPENDS + 12))
    expect(Math.max(...perSecond.values())).toBeLessThan(WORKERS / 2)
  },
)
