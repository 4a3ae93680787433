import { getEventListeners } from "node:events"
import { describe, expect, it } from "vitest"
import type { FaultName } from "../../support/faulty-network/faults.ts"
import { FaultyNetwork, type NetworkChoices } from "../../support/faulty-network/network.ts"
import { ModelServer } from "../../../src/testing/server.ts"
import { offsetOf } from "../../../src/testing/offsets.ts"
import { SeededRandom } from "../../support/seeded-random.ts"
import type { VirtualClock } from "../../support/virtual-clock.ts"
import { runInVirtualTime } from "../../support/virtual-time.ts"

const TEXT_URL = "http://model.test/text"
const JSON_URL = "http://model.test/json"

interface World {
  clock: VirtualClock
  server: ModelServer
  network: FaultyNetwork
}

/** Run `body` with a text stream ("0123456789") and a JSON stream ([1,2,3]) on a network with the given choices. */
async function inWorld<T>(
  choices: Partial<NetworkChoices>,
  body: (world: World) => Promise<T>,
): Promise<T> {
  const report = await runInVirtualTime({}, async (clock) => {
    const server = new ModelServer(clock)
    const network = new FaultyNetwork({ server, clock, random: new SeededRandom(1), choices: {} })
    const put = (url: string, type: string, content: string): Promise<Response> =>
      network.fetch(url, { method: "PUT", headers: { "content-type": type }, body: content })
    await put(TEXT_URL, "text/plain", "0123456789")
    await put(JSON_URL, "application/json", "[1,2,3]")
    network.records.length = 0
    Object.assign(network.choices, { split: 0, trickle: 0, ...choices })
    return body({ clock, server, network })
  })
  expect(report.unhandledRejections).toEqual([])
  return report.value
}

function only(fault: FaultName): Partial<NetworkChoices> {
  return { faults: { [fault]: 1 }, ignoreAbort: 0 }
}

async function outcomeOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.catch((error: unknown) => error)
}

describe("a calm network", () => {
  it("carries requests, responses and bodies in any number of pieces", async () => {
    const body = await inWorld({ split: 1, trickle: 1 }, async ({ network }) => {
      const response = await network.fetch(`${TEXT_URL}?offset=-1`)
      expect(response.headers.get("stream-next-offset")).toBe(offsetOf(10))
      const text = await response.text()
      expect(network.leaks()).toEqual([])
      return text
    })
    expect(body).toBe("0123456789")
  })

  it("streams events as they happen, and ends with the connection's lifetime", async () => {
    await inWorld({}, async ({ network, server, clock }) => {
      server.choices.sseHeartbeatMs = 0
      const url = `${JSON_URL}?live=sse&offset=${encodeURIComponent(offsetOf(3))}`
      const response = await network.fetch(url)
      const text = response.text()
      await clock.sleep(1000)
      await network.fetch(JSON_URL, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: '["live"]',
      })
      expect(await text).toContain('data:["live"]')
      expect(clock.elapsedMs).toBeGreaterThan(server.choices.sseLifetimeMs)
    })
  })
})

describe("an abort", () => {
  it("rejects with the signal's reason before the headers and leaves no listener", async () => {
    await inWorld({}, async ({ network }) => {
      const controller = new AbortController()
      const reason = new Error("enough")
      const response = outcomeOf(network.fetch(TEXT_URL, { signal: controller.signal }))
      await Promise.resolve()
      controller.abort(reason)
      expect(await response).toBe(reason)
      expect(await outcomeOf(network.fetch(TEXT_URL, { signal: controller.signal }))).toBe(reason)
      expect(getEventListeners(controller.signal, "abort")).toEqual([])
      expect(network.leaks()).toEqual([])
    })
  })

  it("errors a body in the middle with the signal's reason", async () => {
    await inWorld(only("hang-in-body"), async ({ network, clock }) => {
      const controller = new AbortController()
      const reason = new Error("enough")
      const response = await network.fetch(TEXT_URL, { signal: controller.signal })
      const text = outcomeOf(response.text())
      await clock.sleep(5000)
      expect(network.leaks()).toHaveLength(1)
      controller.abort(reason)
      expect(await text).toBe(reason)
      expect(getEventListeners(controller.signal, "abort")).toEqual([])
      expect(network.leaks()).toEqual([])
    })
  })

  it("goes unnoticed by a fetch that ignores it, which is no leak", async () => {
    await inWorld(
      { ...only("hang-before-headers"), ignoreAbort: 1 },
      async ({ network, clock }) => {
        const controller = new AbortController()
        let settled = false
        void outcomeOf(network.fetch(TEXT_URL, { signal: controller.signal })).then(
          () => (settled = true),
        )
        await clock.sleep(100)
        expect(network.leaks()).toHaveLength(1)
        controller.abort()
        await clock.sleep(100)
        expect({ settled, leaks: network.leaks() }).toEqual({ settled: false, leaks: [] })
      },
    )
  })

  it("ends a request whose streamed body never ends, and cancels that body", async () => {
    await inWorld({}, async ({ network, clock }) => {
      const controller = new AbortController()
      let cancelled: unknown
      const body = new ReadableStream({ cancel: (reason) => void (cancelled = reason) })
      const init = { method: "POST", body, duplex: "half", signal: controller.signal }
      const response = outcomeOf(network.fetch(TEXT_URL, init))
      await clock.sleep(100)
      controller.abort("enough")
      expect([await response, cancelled]).toEqual(["enough", "enough"])
    })
  })
})

describe("leaks", () => {
  it("are bodies neither read nor cancelled", async () => {
    await inWorld({}, async ({ network }) => {
      await network.fetch(TEXT_URL)
      const read = await network.fetch(TEXT_URL)
      await read.text()
      const cancelled = await network.fetch(TEXT_URL)
      await cancelled.body?.cancel()
      await network.fetch(TEXT_URL, { method: "HEAD" })
      expect(network.leaks()).toHaveLength(1)
      expect(network.leaks()[0]).toContain("request 0 ")
    })
  })
})

describe("a fault", () => {
  it.each<[FaultName, boolean]>([
    ["drop-before", false],
    ["drop-after", true],
    ["straggler", false],
  ])("%s is a network failure; the append took effect: %s", async (fault, tookEffect) => {
    await inWorld(only(fault), async ({ network, server, clock }) => {
      const init = { method: "POST", headers: { "content-type": "text/plain" }, body: "x" }
      expect(await outcomeOf(network.fetch(TEXT_URL, init))).toBeInstanceOf(TypeError)
      expect(server.stream("/text").length).toBe(tookEffect ? 11 : 10)
      await clock.sleep(network.choices.maxStragglerMs)
      expect(server.stream("/text").length).toBe(fault === "drop-before" ? 10 : 11)
    })
  })

  it("duplicate stores the same append again later", async () => {
    await inWorld(only("duplicate"), async ({ network, server, clock }) => {
      const init = { method: "POST", headers: { "content-type": "text/plain" }, body: "x" }
      expect((await network.fetch(TEXT_URL, init)).status).toBe(204)
      expect(server.stream("/text").length).toBe(11)
      await clock.sleep(network.choices.maxStragglerMs)
      expect(server.stream("/text").length).toBe(12)
    })
  })

  it.each<[FaultName, number[]]>([
    ["status", [429, 500, 503]],
    ["gateway", [502, 504]],
    ["forged-403", [403]],
    ["forged-409", [409]],
    ["html", [200]],
  ])("%s responses one of %j", async (fault, statuses) => {
    await inWorld(only(fault), async ({ network }) => {
      for (let round = 0; round < 20; round++) {
        const response = await network.fetch(TEXT_URL)
        expect(statuses).toContain(response.status)
        expect(response.headers.get("stream-next-offset")).toBeNull()
        await response.text()
      }
    })
  })

  it("cut-error breaks the body, cut-clean and short-length end it early", async () => {
    for (const fault of ["cut-error", "cut-clean", "short-length"] as const) {
      await inWorld(only(fault), async ({ network }) => {
        let short = 0
        for (let round = 0; round < 20; round++) {
          const response = await network.fetch(TEXT_URL)
          const text = await outcomeOf(response.text())
          if (fault === "cut-error") expect(text).toBeInstanceOf(TypeError)
          else expect(response.headers.get("content-length")).toBe("10")
          if (text !== "0123456789") short++
        }
        expect(short).toBeGreaterThan(10)
      })
    }
  })

  it("stale-page does not move, cached-page repeats an earlier response", async () => {
    await inWorld(only("stale-page"), async ({ network }) => {
      const offset = encodeURIComponent(offsetOf(1))
      const response = await network.fetch(`${JSON_URL}?offset=${offset}`)
      expect(response.headers.get("stream-next-offset")).toBe(offsetOf(1))
      expect(response.headers.get("stream-up-to-date")).toBeNull()
      expect(await response.json()).toEqual([])
    })
    await inWorld({}, async ({ network, server }) => {
      await (await network.fetch(JSON_URL)).text()
      server.stream("/json").append(new TextEncoder().encode("4"))
      network.choices.faults = { "cached-page": 1 }
      expect(await (await network.fetch(JSON_URL)).json()).toEqual([1, 2, 3])
      network.heal()
      expect(await (await network.fetch(JSON_URL)).json()).toEqual([1, 2, 3, 4])
    })
  })

  it("of server-sent events holds back, cuts or replaces them", async () => {
    const url = `${JSON_URL}?live=sse&offset=${encodeURIComponent(offsetOf(1))}`
    await inWorld(only("sse-buffered"), async ({ network, clock, server }) => {
      const response = await network.fetch(url)
      expect(await response.text()).toContain("[2,3]")
      expect(clock.elapsedMs).toBeGreaterThanOrEqual(server.choices.sseLifetimeMs)
    })
    await inWorld(only("sse-cut"), async ({ network }) => {
      const response = await network.fetch(url)
      expect(response.headers.get("content-type")).toBe("text/event-stream")
      expect(["", "TypeError: terminated"]).toContain(String(await outcomeOf(response.text())))
    })
    await inWorld(only("sse-as-page"), async ({ network }) => {
      const response = await network.fetch(url)
      expect(response.headers.get("content-type")).toBe("application/json")
      expect(await response.json()).toEqual([2, 3])
    })
  })

  it("of a whole network resets or silences every open connection", async () => {
    await inWorld({}, async ({ network, clock }) => {
      const url = `${JSON_URL}?live=long-poll&offset=${encodeURIComponent(offsetOf(3))}`
      const reset = outcomeOf(network.fetch(url))
      await clock.sleep(100)
      network.resetAll()
      expect(await reset).toBeInstanceOf(TypeError)
      let settled = false
      void outcomeOf(network.fetch(url)).then(() => (settled = true))
      await clock.sleep(100)
      network.stallAll()
      await clock.sleep(100_000)
      expect(settled).toBe(false)
    })
  })
})
