import { build } from "esbuild"
import { chromium, type Browser, type Page } from "playwright-core"
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest"
import { DurableStream } from "../../src/index.ts"
import { startGateway, type Gateway } from "../support/gateway.ts"
import { CHROMIUM_FLAGS } from "./chromium.ts"

const chromiumPath = inject("chromiumPath")
const SCRIPTS = ["web-worker", "shared-worker", "service-worker"]

describe.skipIf(chromiumPath === undefined)("The examples of workers, in Chromium", () => {
  let browser: Browser
  let gateway: Gateway

  beforeAll(async () => {
    const { outputFiles } = await build({
      entryPoints: SCRIPTS.map((name) => `examples/frameworks/${name}.ts`),
      bundle: true,
      format: "iife",
      outdir: "out",
      write: false,
    })
    gateway = await startGateway(
      new Map(outputFiles.map(({ path, text }) => [`/${path.split("/").at(-1)}`, text])),
    )
    browser = await chromium.launch({ executablePath: chromiumPath!, args: [...CHROMIUM_FLAGS] })
  })
  afterAll(async () => {
    await browser?.close()
    await gateway?.stop()
  })

  const createStream = () =>
    DurableStream.create({ url: gateway.streamUrl(), contentType: "application/json", body: [1] })

  const seen = (page: Page) => page.evaluate(() => (window as unknown as { seen: unknown[] }).seen)

  it("read a stream in a worker until the page says stop", async () => {
    const list = await createStream()
    const page = await browser.newPage()
    await page.goto(gateway.origin)
    await page.evaluate((url) => {
      const worker = new Worker("/web-worker.js")
      const state = { seen: [] as unknown[], isStopped: false, worker }
      Object.assign(window, state)
      worker.onmessage = ({ data }) => {
        if (data.kind === "batch") state.seen.push(...data.items)
        else Object.assign(window, { isStopped: true })
      }
      worker.postMessage({ kind: "start", url })
    }, list.url)
    await expect.poll(() => seen(page)).toEqual([1])
    await expect.poll(() => gateway.openLiveReads.size).toBe(1)
    await list.append(2)
    await expect.poll(() => seen(page)).toEqual([1, 2])
    await page.evaluate(() =>
      (window as unknown as { worker: Worker }).worker.postMessage({ kind: "stop" }),
    )
    await expect.poll(() => gateway.openLiveReads.size).toBe(0)
    expect(await page.evaluate(() => (window as unknown as { isStopped: boolean }).isStopped)).toBe(
      true,
    )
    await page.close()
  })

  it("share one connection among tabs, and end it with the last one", async () => {
    const list = await createStream()
    const context = await browser.newContext()
    const openTab = async () => {
      const page = await context.newPage()
      await page.goto(gateway.origin)
      await page.evaluate((url) => {
        const { port } = new SharedWorker(`/shared-worker.js?url=${encodeURIComponent(url)}`)
        port.onmessage = ({ data }) => Object.assign(window, { seen: data })
        addEventListener("pagehide", () => port.postMessage("leave"))
      }, list.url)
      return page
    }
    const tabs = [await openTab(), await openTab(), await openTab()]
    for (const tab of tabs) await expect.poll(() => seen(tab)).toEqual([1])
    await list.append(2)
    for (const tab of tabs) await expect.poll(() => seen(tab)).toEqual([1, 2])
    expect(gateway.openLiveReads.size).toBe(1)
    for (const tab of tabs) await tab.goto("about:blank")
    await expect.poll(() => gateway.openLiveReads.size).toBe(0)
    await context.close()
  })

  it("keep a service worker away from streams, while it serves files offline", async () => {
    const list = await createStream()
    const context = await browser.newContext()
    const page = await context.newPage()
    await page.goto(gateway.origin)
    await page.evaluate(async () => {
      await navigator.serviceWorker.register("/service-worker.js")
      await navigator.serviceWorker.ready
    })
    // A page is controlled from its next load on.
    await page.reload()
    await expect
      .poll(() => page.evaluate(() => navigator.serviceWorker.controller !== null))
      .toBe(true)
    const response = await page.evaluate(async (url) => {
      const { body, status } = await fetch(`${url}?offset=-1&live=sse`)
      const { value } = await body!.getReader().read()
      return { status, text: new TextDecoder().decode(value) }
    }, list.url)
    expect(response.status).toBe(200)
    expect(response.text).toContain("event: data")
    const stored = await page.evaluate(async () => {
      const keys = await (await caches.open("files-1")).keys()
      return keys.map(({ url }) => new URL(url).pathname)
    })
    expect(stored).toContain("/")
    expect(stored.filter((path) => path.startsWith("/v1/"))).toEqual([])
    await context.setOffline(true)
    await page.reload()
    expect(await page.title()).toBe("page")
    await context.close()
  })
})
