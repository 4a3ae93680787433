import { expect, it } from "vitest"
import { DurableStream } from "../../src/index.ts"
import type { Outbox } from "../../src/outbox/index.ts"
import { describeInBrowser, type Tab } from "./browser-tests.ts"

declare global {
  interface Window {
    box: Outbox
    /** Tells the test that a message was confirmed. */
    confirmed(n: number): Promise<void>
  }
}

describeInBrowser("An outbox in IndexedDB", (world) => {
  const createJson = () =>
    DurableStream.create({ url: world.server.streamUrl(), contentType: "application/json" })

  async function open(tab: Tab, url: string): Promise<void> {
    await tab.page.evaluate(async (streamUrl) => {
      const { client, outbox } = window.testPage
      const stream = new client.DurableStream({
        url: streamUrl,
        contentType: "application/json",
        backoffOptions: { maxDelay: 200 },
      })
      const store = outbox.indexedDbStore("user-1")
      window.box = await outbox.openOutbox(stream, { store, pollIntervalMs: 200 })
    }, url)
  }

  const log = async (handle: DurableStream) => (await handle.stream<number>({ live: false })).json()

  it("delivers what was confirmed once and in order, though its tab is reloaded, closed and crashes", async () => {
    const handle = await createJson()
    const context = await world.browser.newContext()
    const confirmed: number[] = []
    await context.exposeFunction("confirmed", (n: number) => confirmed.push(n))
    const ends = ["reload", "close", "crash", "reload", "close", "crash"]
    for (const [life, end] of ends.entries()) {
      const tab = await world.open(context)
      await open(tab, handle.url)
      const before = confirmed.length
      await tab.page.evaluate((first) => {
        const write = async () => {
          for (let n = first; ; n++) {
            await window.box.append(n)
            await window.confirmed(n)
          }
        }
        void write()
      }, life * 10_000)
      await expect.poll(() => confirmed.length).toBeGreaterThan(before + 10)
      if (end === "crash") await tab.page.goto("chrome://crash").catch(() => undefined)
      else if (end === "reload") await tab.page.reload()
      await tab.page.close()
    }
    const last = await world.open(context)
    await open(last, handle.url)
    await last.page.evaluate(() => window.box.detach())
    const stored = await log(handle)
    expect(stored).toEqual([...new Set(stored)].sort((a, b) => a - b))
    expect(confirmed.filter((n) => !stored.includes(n))).toEqual([])
    await context.close()
  })

  it("is one queue for two tabs", async () => {
    const handle = await createJson()
    const context = await world.browser.newContext()
    const tabs = [await world.open(context), await world.open(context)]
    for (const tab of tabs) await open(tab, handle.url)
    await Promise.all(
      tabs.map((tab, index) =>
        tab.page.evaluate(async (first) => {
          for (let n = first; n < first + 50; n++) await window.box.append(n)
          await window.box.flush()
        }, index * 1_000),
      ),
    )
    const stored = await log(handle)
    for (const first of [0, 1_000]) {
      const own = stored.filter((n) => n >= first && n < first + 1_000)
      expect(own).toEqual(Array.from({ length: 50 }, (_, n) => first + n))
    }
    expect(stored).toHaveLength(100)
    await context.close()
  })

  it("takes messages offline, and delivers them from another tab once it is online", async () => {
    const handle = await createJson()
    const context = await world.browser.newContext()
    const tab = await world.open(context)
    const next = await world.open(context)
    await open(tab, handle.url)
    await context.setOffline(true)
    const pending = await tab.page.evaluate(async () => {
      for (let n = 0; n < 5; n++) await window.box.append(n)
      return window.box.pendingCount
    })
    expect(pending).toBe(5)
    await tab.page.close()
    expect(await log(handle)).toEqual([])
    await open(next, handle.url)
    await context.setOffline(false)
    await next.page.evaluate(() => window.box.flush())
    expect(await log(handle)).toEqual([0, 1, 2, 3, 4])
    await context.close()
  })

  it("fails an append with the store's error while the quota is full, and delivers what it confirmed before and after", async () => {
    const handle = await createJson()
    const context = await world.browser.newContext()
    const tab = await world.open(context)
    const devTools = await context.newCDPSession(tab.page)
    const origin = new URL(tab.page.url()).origin
    // Chromium asks for the quota when a database is opened, and then rarely.
    await devTools.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: 3_000_000 })
    await open(tab, handle.url)
    await context.setOffline(true)
    const { error, confirmed } = await tab.page.evaluate(async () => {
      const numbers: number[] = []
      for (let n = 0; n < 20; n++) {
        // Random, as Chromium compresses what it stores.
        const words = () => Array.from(crypto.getRandomValues(new Uint32Array(16_000)))
        const text = [words(), words(), words()].join(",")
        try {
          await window.box.append({ n, text })
          numbers.push(n)
        } catch (failure) {
          const { code, message } = failure as Record<string, unknown>
          return { error: { code, message }, confirmed: numbers }
        }
      }
      return { error: undefined, confirmed: numbers }
    })
    expect(error).toMatchObject({ code: "STORE_FAILED" })
    expect(error).toHaveProperty("message", expect.stringContaining("QuotaExceededError"))
    // Without a size the override ends.
    await devTools.send("Storage.overrideQuotaForOrigin", { origin })
    await context.setOffline(false)
    await tab.page.evaluate(async () => {
      await window.box.flush()
      await window.box.append({ n: 100 })
      await window.box.flush()
    })
    const stored = await (await handle.stream<{ n: number }>({ live: false })).json()
    expect(stored.map(({ n }) => n)).toEqual([...confirmed, 100])
    await context.close()
  })
})
