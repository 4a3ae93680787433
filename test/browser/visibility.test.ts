import { afterAll, beforeAll, expect, inject, it, vi } from "vitest"
import { DurableStream } from "../../src/index.ts"
import { describeInBrowser } from "./browser-tests.ts"
import type { TailOptions, TailRecord } from "./page/main.ts"
import { startPlainBrowser, type PlainBrowser, type PlainTab } from "./plain-browser.ts"

const PATIENCE = { timeout: 40_000, interval: 20 }

describeInBrowser("A tab that is hidden and shown again", (world) => {
  let browser: PlainBrowser
  beforeAll(async () => {
    browser = await startPlainBrowser(inject("chromiumPath") ?? "")
  })
  afterAll(() => browser?.stop())

  const tailIn = (tab: PlainTab, options: TailOptions) =>
    tab.evaluate(`testPage.tail("tail", ${JSON.stringify(options)})`)
  const recordOf = (tab: PlainTab) => tab.evaluate<TailRecord>(`testPage.tails["tail"]`)
  const until = async (tab: PlainTab, condition: (record: TailRecord) => boolean) => {
    await vi.waitUntil(async () => condition(await recordOf(tab)), PATIENCE)
    return recordOf(tab)
  }
  const kinds = ({ events }: TailRecord) => events.map(({ kind }) => kind)
  const createJson = () =>
    DurableStream.create({ url: world.server.streamUrl(), contentType: "application/json" })

  it.each(["sse", "long-poll"] as const)("pauses %s, then goes on where it was", async (live) => {
    const handle = await createJson()
    await handle.append(1)
    const tab = await browser.open(world.pageUrl)
    await tailIn(tab, { url: handle.url, live, as: "json" })
    await until(tab, ({ events }) =>
      events.some((event) => event.kind === "request" && event.transport === live),
    )
    const other = await browser.open(world.pageUrl)
    const paused = await until(tab, (record) => kinds(record).includes("pause"))
    for (const n of [2, 3]) await handle.append(n)
    // The other tab reads both to the end, so they would be here by now had this one asked for them.
    await tailIn(other, { url: handle.url, as: "json" })
    await until(other, ({ items }) => items.length === 3)
    const hidden = await recordOf(tab)
    expect(hidden.items).toEqual([1])
    expect(kinds(hidden).filter((kind) => kind === "request")).toEqual(
      kinds(paused).filter((kind) => kind === "request"),
    )
    await tab.show()
    await until(tab, (record) => kinds(record).includes("resume"))
    await handle.close({ body: 4 })
    const record = await until(tab, ({ end }) => end !== undefined)
    expect([record.items, record.end]).toEqual([[1, 2, 3, 4], "ended"])
    await tab.close()
    await other.close()
  })

  it("goes on reading where it was asked to", async () => {
    const handle = await createJson()
    const tab = await browser.open(world.pageUrl)
    await tailIn(tab, { url: handle.url, as: "json", pauseWhenHidden: false })
    await until(tab, ({ upToDate }) => upToDate)
    const other = await browser.open(world.pageUrl)
    await vi.waitUntil(() => tab.evaluate<boolean>("document.hidden"), PATIENCE)
    await handle.append(1)
    const record = await until(tab, ({ items }) => items.length === 1)
    expect(kinds(record)).not.toContain("pause")
    await tab.close()
    await other.close()
  })

  it("sends what is queued before it is closed", async () => {
    const handle = await createJson()
    const tab = await browser.open(world.pageUrl)
    await queueInPage(tab, handle.url, 20)
    expect(await (await handle.stream({ live: false })).json()).toEqual([])
    await tab.close()
    const response = await handle.stream<number>()
    const arrived: number[] = []
    for await (const n of response.jsonStream()) if (arrived.push(n) === 20) break
    expect(arrived).toEqual(Array.from({ length: 20 }, (_, n) => n))
  })

  it("sends what is queued as soon as it is hidden, as nothing may come after that", async () => {
    const handle = await createJson()
    const tab = await browser.open(world.pageUrl)
    await queueInPage(tab, handle.url, 20)
    const other = await browser.open(world.pageUrl)
    const pending = `producer.pendingCount`
    await vi.waitUntil(async () => (await tab.evaluate(pending)) === 0, PATIENCE)
    expect(await (await handle.stream({ live: false })).json()).toHaveLength(20)
    await tab.close()
    await other.close()
  })
})

/** Queues numbers in a producer that waits so long for more that only the page's departure can send them. */
async function queueInPage(tab: PlainTab, url: string, count: number): Promise<void> {
  await tab.evaluate(`(async () => {
    const { DurableStream, IdempotentProducer } = testPage.client
    const handle = await DurableStream.connect({ url: ${JSON.stringify(url)} })
    globalThis.producer = new IdempotentProducer(handle, "page", { lingerMs: 600_000 })
    for (let n = 0; n < ${count}; n++) producer.append(n)
  })()`)
}
