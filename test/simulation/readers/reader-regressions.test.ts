import { describe, expect, it } from "vitest"
import { stream, type StreamOptions } from "../../../src/index.ts"
import { FaultyNetwork, type NetworkChoices } from "../../support/faulty-network/network.ts"
import { ModelServer } from "../../../src/testing/server.ts"
import { SeededRandom } from "../../support/seeded-random.ts"
import type { VirtualClock } from "../../support/virtual-clock.ts"
import { runInVirtualTime, type VirtualRunReport } from "../../support/virtual-time.ts"

const URL_OF_STREAM = "http://model.test/regressions"

interface World {
  clock: VirtualClock
  server: ModelServer
  network: FaultyNetwork
  options: StreamOptions
  append: (body: string) => Promise<void>
}

/** A JSON stream with the messages 1 to 6, three a page, on a calm network. */
async function inWorld<T>(
  choices: Partial<NetworkChoices>,
  body: (world: World) => Promise<T>,
): Promise<VirtualRunReport<T>> {
  return runInVirtualTime({ traceTimers: true }, async (clock) => {
    const server = new ModelServer(clock, { pageLimit: () => 3 })
    const network = new FaultyNetwork({
      server,
      clock,
      random: new SeededRandom(1),
      choices: { maxLatencyMs: 0, split: 0, trickle: 0, ...choices },
    })
    const send = async (method: string, content: string): Promise<void> => {
      const headers = new Map([["content-type", "application/json"]])
      const bytes = new TextEncoder().encode(content)
      await server.handle({ method, url: new URL(URL_OF_STREAM), headers, body: bytes })
    }
    await send("PUT", "[1,2,3,4,5,6]")
    const options = { url: URL_OF_STREAM, fetch: network.fetch, warnOnHttp: false }
    return body({ clock, server, network, options, append: (content) => send("POST", content) })
  })
}

/** Each was found by a seed of the simulation. */
describe("a reader", () => {
  it("leaves no timer of a page that was requested ahead when it is cancelled", async () => {
    const report = await inWorld({}, async ({ options, clock }) => {
      const response = await stream({ ...options, live: false })
      for await (const batch of response.jsonBatches()) {
        await clock.sleep(1000)
        if (batch.items.length > 0) break
      }
    })
    expect(report.leftoverTimers).toEqual([])
  })

  it("leaves no timer after a response without a body", async () => {
    const report = await inWorld({}, async ({ options, clock, server }) => {
      const response = await stream({ ...options, live: "long-poll" })
      response.subscribeJson(() => undefined)
      await clock.sleep(1000)
      server.stream("/regressions").close(undefined)
      server.stream("/regressions").changed()
      await response.closed
    })
    expect(report.leftoverTimers).toEqual([])
  })

  it("resolves closed when it is aborted, subscribed or not", async () => {
    const report = await inWorld({}, async ({ options, clock }) => {
      const controller = new AbortController()
      const response = await stream({ ...options, signal: controller.signal })
      response.subscribeJson(() => undefined)
      await clock.sleep(1000)
      controller.abort()
      await response.closed
    })
    expect(report.unhandledRejections).toEqual([])
  })

  it("takes a page that moved and came without a byte for broken off, not for empty", async () => {
    const report = await inWorld({}, async ({ options, network }) => {
      let responses = 0
      const fetch: typeof globalThis.fetch = async (input, init) => {
        const response = await network.fetch(input, init)
        if (++responses !== 2) return response
        await response.body?.cancel()
        // As after a connection that was closed at once, by a fetch that sees no failure in it.
        return new Response("", { status: response.status, headers: response.headers })
      }
      return (await stream({ ...options, fetch, live: false })).json()
    })
    expect(report.value).toEqual([1, 2, 3, 4, 5, 6])
  })

  it("takes a response without a body for an empty page, as it does at the start of a stream", async () => {
    const report = await inWorld({}, async ({ options }) => {
      const headers = { "content-type": "application/json", "stream-next-offset": "7" }
      const responses = [
        new Response("", { headers }),
        new Response(null, { headers: { ...headers, "stream-next-offset": "8" } }),
        new Response("[1]", {
          headers: { ...headers, "stream-next-offset": "9", "stream-closed": "true" },
        }),
      ]
      const fetch = (): Promise<Response> =>
        Promise.resolve(responses.shift() ?? new Response("no", { status: 403 }))
      return (await stream({ ...options, fetch, live: false })).json()
    })
    expect(report.value).toEqual([1])
  })

  it("lets go of the signals of requests that failed, however long the server is away", async () => {
    const report = await inWorld({ faults: { status: 1 } }, async ({ options, network, clock }) => {
      const signals: AbortSignal[] = []
      const fetch: typeof globalThis.fetch = (input, init) => {
        if (init?.signal) signals.push(init.signal)
        return network.fetch(input, init)
      }
      const controller = new AbortController()
      const reading = stream({ ...options, fetch, signal: controller.signal })
      await clock.sleep(60_000)
      controller.abort()
      await reading.catch(() => undefined)
      return { requests: signals.length, followed: signals.filter((s) => s.aborted).length }
    })
    expect(report.value.requests).toBeGreaterThan(10)
    expect(report.value.followed).toBeLessThanOrEqual(1)
  })

  it("that gathers keeps its offset when it fails on the way: nothing was delivered", async () => {
    const report = await inWorld({ maxLatencyMs: 0 }, async ({ options, network }) => {
      let requests = 0
      const fetch: typeof globalThis.fetch = (input, init) =>
        ++requests === 1
          ? network.fetch(input, init)
          : Promise.resolve(new Response("no", { status: 403 }))
      const response = await stream({ ...options, fetch, live: false })
      const failure = await response.json().catch((error: unknown) => error)
      return { failed: failure instanceof Error, offset: response.offset }
    })
    expect(report.value).toEqual({ failed: true, offset: "-1" })
  })
})
