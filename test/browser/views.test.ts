import type { Page } from "playwright-core"
import { expect, it, onTestFinished } from "vitest"
import { DurableStream } from "../../src/index.ts"
import { describeInBrowser } from "./browser-tests.ts"
import type { ViewRecord } from "./page/views.ts"

const PATIENCE = { timeout: 40_000, interval: 20 }

describeInBrowser("Views in a browser", (world) => {
  const createNumbers = (...numbers: number[]) =>
    DurableStream.create({
      url: world.server.streamUrl(),
      contentType: "application/json",
      body: JSON.stringify(numbers),
    })
  /** Tabs that share their storage. */
  const user = async () => {
    const context = await world.browser.newContext()
    onTestFinished(() => context.close())
    return { open: () => world.open(context) }
  }
  const view = (page: Page, url: string, storage: "localStorage" | "IndexedDB") =>
    page.evaluate(([at, kind]) => window.testPage.view("view", at, kind), [url, storage] as const)
  const recordOf = (page: Page): Promise<ViewRecord> =>
    page.evaluate(() => window.testPage.views["view"]!)
  const until = async (page: Page, ...numbers: number[]) => {
    await expect
      .poll(async () => (await recordOf(page)).shown.at(-1), PATIENCE)
      .toEqual({ status: "live", numbers })
  }

  it.each(["localStorage", "IndexedDB"] as const)(
    "resume after a reload and in another tab (%s)",
    async (storage) => {
      const { open } = await user()
      const handle = await createNumbers(1, 2)
      const { page } = await open()
      await view(page, handle.url, storage)
      await until(page, 1, 2)
      const saved = async () =>
        storage === "localStorage" ||
        (await page.evaluate(async (name) => {
          const request = indexedDB.open(`ada/${name}`)
          const database = await new Promise<IDBDatabase>(
            (resolve) => (request.onsuccess = () => resolve(request.result)),
          )
          const stored = database.transaction("view").objectStore("view").get("current")
          await new Promise((resolve) => (stored.onsuccess = resolve))
          database.close()
          return (stored.result as { value?: string } | undefined)?.value === "[1,2]"
        }, new URL(handle.url).pathname))
      await expect.poll(saved, PATIENCE).toBe(true)
      await page.reload()
      await handle.append(3)
      await view(page, handle.url, storage)
      await until(page, 1, 2, 3)
      const record = await recordOf(page)
      expect(record.shown).toContainEqual({ status: "catching-up", numbers: [1, 2] })
      expect([record.offsets.includes("-1"), record.error]).toEqual([false, undefined])
      await page.close()
      const other = await open()
      await view(other.page, handle.url, storage)
      await until(other.page, 1, 2, 3)
      expect((await recordOf(other.page)).offsets).not.toContain("-1")
    },
  )

  it("keep the newer record of two tabs", async () => {
    const { open } = await user()
    const handle = await createNumbers(1)
    const [first, second] = [await open(), await open()]
    for (const { page } of [first, second]) {
      await view(page, handle.url, "IndexedDB")
      await until(page, 1)
    }
    for (const n of [2, 3, 4, 5]) await handle.append(n)
    for (const { page } of [first, second]) await until(page, 1, 2, 3, 4, 5)
    await first.page.close()
    await second.page.close()
    const third = await open()
    await view(third.page, handle.url, "IndexedDB")
    await until(third.page, 1, 2, 3, 4, 5)
    expect((await recordOf(third.page)).offsets).not.toContain("-1")
  })

  it("are shown by React, and again after a reload, without an error on the console", async () => {
    const { open } = await user()
    const handle = await createNumbers(1, 2)
    const { page, messages } = await open()
    const list = () => page.locator("#list").textContent()
    await page.evaluate((url) => window.testPage.showList(url), handle.url)
    await expect.poll(list, PATIENCE).toBe("live: 1,2")
    await page.reload()
    const isStored = await page.evaluate(() => Object.keys(localStorage).length)
    expect(isStored).toBe(1)
    await handle.append(3)
    await page.evaluate((url) => window.testPage.showList(url), handle.url)
    await expect.poll(list, PATIENCE).toBe("live: 1,2,3")
    await handle.close()
    await expect.poll(list, PATIENCE).toBe("closed: 1,2,3")
    expect(messages.filter((message) => /^(error|uncaught)/.test(message))).toEqual([])
  })
})
