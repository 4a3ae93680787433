import { beforeAll, describe, expect, it, onTestFinished, vi } from "vitest"
import { cors, DurableStream } from "../../src/index.ts"
import { smokeCases, type SmokeResult } from "../runtimes/smoke-cases.ts"
import { startSmokeServer } from "../runtimes/smoke-server.ts"
import { startBreakingProxy } from "../support/breaking-proxy.ts"
import { startCorsProxy } from "../support/cors-proxy.ts"
import { knownBrowsers } from "./installed-browsers.ts"
import type { TailOptions, TailRecord } from "./page/tails.ts"
import { untilTrue, type PlainTab } from "./plain-browser.ts"
import { usePlainBrowser } from "./plain-world.ts"

const PATIENCE = { timeout: 40_000, interval: 20 }

describe.each(knownBrowsers())("$name", ({ name, packages, start }) => {
  if (start === undefined) {
    it.skip(`left out: ${name} is not installed (apt-get install ${packages})`)
    return
  }
  const world = usePlainBrowser(start)
  const { openTab } = world
  const createJson = () =>
    DurableStream.create({ url: world.server.streamUrl(), contentType: "application/json" })
  const isHidden = (tab: PlainTab) => tab.evaluate<boolean>("document.hidden")

  describe("runs the smoke cases", () => {
    let results: SmokeResult[] = []
    let lostCount = 0
    beforeAll(async () => {
      const smokeServer = await startSmokeServer()
      const tab = await world.browser.open(world.pages.url)
      results = await tab.evaluate(`testPage.smoke(${JSON.stringify(smokeServer.url)})`)
      console.log(`${name}: ${await tab.evaluate<string>("navigator.userAgent")}`)
      lostCount = smokeServer.lost.size
      await tab.close()
      await smokeServer.stop()
    }, 90_000)

    it.each(Object.keys(smokeCases))("%s", (caseName) => {
      expect(results.find((result) => result.name === caseName)).toEqual({ name: caseName })
    })

    it("and was in fact denied a response", () => {
      expect(lostCount).toBe(1)
    })
  })

  describe("in a tab that is hidden and shown again", () => {
    it.each(["sse", "long-poll"] as const)("pauses %s, then continues from there", async (live) => {
      const handle = await createJson()
      await handle.append(1)
      const tab = await openTab()
      await tail(tab, { url: handle.url, live, as: "json" })
      await until(tab, ({ events }) =>
        events.some((event) => event.kind === "request" && event.transport === live),
      )
      await tab.hide()
      const paused = await until(tab, (record) => kinds(record).includes("pause"))
      for (const n of [2, 3]) await handle.append(n)
      // Another reader gets both, so they would be here by now had this one requested them.
      const other = await handle.stream<number>()
      for await (const n of other.jsonStream()) if (n === 3) break
      const hidden = await recordOf(tab)
      expect(hidden.items).toEqual([1])
      expect(requestCount(hidden)).toBe(requestCount(paused))
      await tab.show()
      await until(tab, (record) => kinds(record).includes("resume"))
      await handle.close({ body: 4 })
      const record = await until(tab, ({ end }) => end !== undefined)
      expect([record.items, record.end]).toEqual([[1, 2, 3, 4], "ended"])
    })

    it("continues reading if it was requested", async () => {
      const handle = await createJson()
      const tab = await openTab()
      await tail(tab, { url: handle.url, as: "json", pauseWhenHidden: false })
      await until(tab, ({ upToDate }) => upToDate)
      await tab.hide()
      await vi.waitUntil(() => isHidden(tab), PATIENCE)
      await handle.append(1)
      const record = await until(tab, ({ items }) => items.length === 1)
      expect(kinds(record)).not.toContain("pause")
    })

    it("sends what is queued as soon as it is hidden, as nothing may come after that", async () => {
      const handle = await createJson()
      const tab = await openTab()
      await queue(tab, handle.url, 20)
      await tab.hide()
      const stored = async () => (await (await handle.stream({ live: false })).json()).length
      await expect.poll(stored, PATIENCE).toBe(20)
    })
  })

  it("sends what is queued before its tab is closed", async () => {
    const handle = await createJson()
    // The last tab of a process takes the process with it.
    await openTab()
    const tab = await openTab()
    // Firefox makes no CORS preflight for a page that is being closed: it must have made one before, and remember it.
    const sentCount = name === "Firefox" ? 1 : 0
    const proxy = await startCorsProxy(world.server.url, cors.exposedHeaders)
    onTestFinished(() => proxy.stop())
    await queue(tab, handle.url.replace(world.server.url, proxy.url), 20, sentCount)
    expect(await (await handle.stream({ live: false })).json()).toHaveLength(sentCount)
    await tab.close()
    const response = await handle.stream<number>()
    const arrived: number[] = []
    for await (const n of response.jsonStream()) if (arrived.push(n) === 20) break
    expect(arrived).toEqual(Array.from({ length: 20 }, (_, n) => n))
  })

  it.each([true, false])(
    "reads on at once in a page that comes back from the back/forward cache (pauseWhenHidden: %s)",
    async (pauseWhenHidden) => {
      const handle = await createJson()
      await handle.append(1)
      const tab = await openTab()
      await tail(tab, { url: handle.url, as: "json", pauseWhenHidden })
      await until(tab, ({ upToDate }) => upToDate)
      await tab.evaluate("void (window.shown = [])")
      await tab.evaluate(
        "void addEventListener('pageshow', (event) => shown.push(event.persisted))",
      )
      await tab.goTo(`${world.pages.url}/other`)
      await handle.append(2)
      await tab.goBack()
      const cameBack = `location.pathname === "/" && (window.shown?.[0] ?? document.readyState === "complete")`
      await untilTrue(() => tab.evaluate(cameBack))
      if (!(await tab.evaluate("window.shown !== undefined"))) {
        // It loads a page anew that had a request under way.
        expect(name).toBe("Firefox")
        return
      }
      // Well before the idle timeout of 75 s would find that the connection is dead.
      const record = await until(tab, ({ items }) => items.length === 2, 30_000)
      expect(record.items).toEqual([1, 2])
      await handle.close()
      expect((await until(tab, ({ end }) => end !== undefined, 30_000)).end).toBe("ended")
    },
  )

  it("reads on when the network comes back, also from a wait of hours", async () => {
    const proxy = await startBreakingProxy(world.server.url)
    onTestFinished(() => proxy.stop())
    const handle = await createJson()
    await handle.append(1)
    const tab = await openTab()
    proxy.decide = () => ({ kind: "lose-request", how: "reset" })
    const url = handle.url.replace(world.server.url, proxy.url)
    await tail(tab, { url, as: "json", backoffOptions: { initialDelay: 7_200_000 } })
    await until(tab, (record) => kinds(record).includes("retry"))
    proxy.decide = () => ({ kind: "pass" })
    await tab.evaluate("dispatchEvent(new Event('online'))")
    expect((await until(tab, ({ items }) => items.length > 0)).items).toEqual([1])
  })

  it("replaces a live request that hangs when the network comes back", async () => {
    const proxy = await startBreakingProxy(world.server.url)
    onTestFinished(() => proxy.stop())
    const handle = await createJson()
    await handle.append(1)
    const tab = await openTab()
    proxy.decide = ({ path }) => ({ kind: path.includes("live=") ? "hang" : "pass" })
    const url = handle.url.replace(world.server.url, proxy.url)
    await tail(tab, { url, as: "json", live: "long-poll" })
    await until(tab, ({ events }) =>
      events.some((event) => event.kind === "request" && event.transport === "long-poll"),
    )
    await handle.append(2)
    proxy.decide = () => ({ kind: "pass" })
    await tab.evaluate("dispatchEvent(new Event('online'))")
    const record = await until(tab, ({ items }) => items.length === 2, 30_000)
    expect(record.items).toEqual([1, 2])
  })

  describe("across origins", () => {
    it("needs no more than Stream-Next-Offset and Stream-Up-To-Date to be exposed for SSE", async () => {
      const proxy = await startCorsProxy(world.server.url, [
        "Stream-Next-Offset",
        "Stream-Up-To-Date",
      ])
      onTestFinished(() => proxy.stop())
      const handle = await createJson()
      await handle.append(1)
      const tab = await openTab()
      await tail(tab, { url: handle.url.replace(world.server.url, proxy.url), as: "json" })
      await until(tab, ({ upToDate }) => upToDate)
      await handle.append(2)
      await until(tab, ({ items }) => items.length === 2)
      await handle.close()
      const record = await until(tab, ({ end }) => end !== undefined)
      expect([record.items, record.end]).toEqual([[1, 2], "ended"])
    })

    it("says what to expose if the offset is hidden", async () => {
      const proxy = await startCorsProxy(world.server.url, [])
      onTestFinished(() => proxy.stop())
      const handle = await createJson()
      await handle.append(1)
      const tab = await openTab()
      await tail(tab, { url: handle.url.replace(world.server.url, proxy.url), as: "json" })
      const { end } = await until(tab, (record) => record.end !== undefined)
      expect(end).toMatch(/Stream-Next-Offset.*Access-Control-Expose-Headers/)
    })
  })
})

const tail = (tab: PlainTab, options: TailOptions) =>
  tab.evaluate(`void testPage.tail("tail", ${JSON.stringify(options)})`)

const recordOf = (tab: PlainTab) => tab.evaluate<TailRecord>(`testPage.tails["tail"]`)

async function until(
  tab: PlainTab,
  condition: (record: TailRecord) => boolean,
  timeout = PATIENCE.timeout,
): Promise<TailRecord> {
  await vi.waitUntil(async () => condition(await recordOf(tab)), { ...PATIENCE, timeout })
  return recordOf(tab)
}

const kinds = ({ events }: TailRecord) => events.map(({ kind }) => kind)

const requestCount = (record: TailRecord) =>
  kinds(record).filter((kind) => kind === "request").length

/**
 * Queues numbers in a producer that waits so long for more that only the page's departure can send them.
 *
 * @param sentCount - how many of them are sent at once
 */
async function queue(tab: PlainTab, url: string, count: number, sentCount = 0): Promise<void> {
  await tab.evaluate(`(async () => {
    const { DurableStream, IdempotentProducer } = testPage.client
    const handle = await DurableStream.connect({ url: ${JSON.stringify(url)} })
    globalThis.producer = new IdempotentProducer(handle, "page", { lingerMs: 600_000 })
    for (let n = 0; n < ${count}; n++) {
      producer.append(n)
      if (n < ${sentCount}) await producer.flush()
    }
  })()`)
}
