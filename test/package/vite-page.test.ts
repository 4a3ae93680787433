import { cp, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { chromium, type Browser } from "playwright-core"
import * as vite from "vite"
import { afterAll, beforeAll, describe, expect, inject, it, onTestFinished } from "vitest"
import { DurableStream } from "../../src/index.ts"
import { CHROMIUM_FLAGS, findChromium } from "../browser/chromium.ts"
import { startReferenceServer, type ReferenceServer } from "../support/reference-server.ts"

const executablePath = findChromium()

interface Site {
  readonly url: string
  close(): Promise<void>
}

/** The settings that the tests need; what a user gets from Vite without any settings stays as it is. */
const settings = (root: string) =>
  ({ root, configFile: false, logLevel: "warn" }) satisfies vite.InlineConfig

async function serveSources(root: string): Promise<Site> {
  const server = await vite.createServer({
    ...settings(root),
    server: { host: "127.0.0.1", port: 0 },
  })
  await server.listen()
  return { url: urlOf(server), close: () => server.close() }
}

async function serveBuilt(root: string): Promise<Site> {
  await vite.build(settings(root))
  const server = await vite.preview({
    ...settings(root),
    preview: { host: "127.0.0.1", port: 0 },
  })
  return { url: urlOf(server), close: () => server.close() }
}

function urlOf({ resolvedUrls }: vite.ViteDevServer | vite.PreviewServer): string {
  const [url] = resolvedUrls?.local ?? []
  if (url === undefined) throw new Error("Vite tells no address")
  return url
}

/** An empty project with the packed package and the page in it. */
async function newProject(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "durable-streams-page-"))
  await cp(join(inject("consumerFolder"), "package.json"), join(folder, "package.json"))
  const modules = join(inject("packageFolder"), "../..")
  await cp(modules, join(folder, "node_modules"), { recursive: true })
  await cp(join(import.meta.dirname, "page"), folder, { recursive: true })
  return folder
}

describe.skipIf(executablePath === undefined)("a page by Vite, with a worker", () => {
  let browser: Browser
  let server: ReferenceServer
  beforeAll(async () => {
    const args = [...CHROMIUM_FLAGS]
    browser = await chromium.launch({ executablePath: executablePath!, args })
    server = await startReferenceServer()
  })
  afterAll(async () => {
    await browser?.close()
    await server?.stop()
  })

  it.each([
    ["served as it is written", serveSources],
    ["built", serveBuilt],
  ])("shows what is written while it is open, and goes on after a reload: %s", async (_, serve) => {
    const folder = await newProject()
    onTestFinished(() => rm(folder, { recursive: true, maxRetries: 5 }))
    const site = await serve(folder)
    onTestFinished(() => site.close())
    const chat = await DurableStream.create({
      url: server.streamUrl("chat"),
      contentType: "application/json",
      body: [{ text: "stored" }],
    })
    const context = await browser.newContext()
    onTestFinished(() => context.close())
    const page = await context.newPage()
    const complaints: string[] = []
    page.on("pageerror", (error) => complaints.push(error.message))
    page.on("console", (message) => {
      if (["warning", "error"].includes(message.type())) complaints.push(message.text())
    })
    const texts = (list: string) => page.locator(`${list} li`).allInnerTexts()

    await page.goto(`${site.url}?stream=${encodeURIComponent(chat.url)}`)
    await page.getByText("sent by the page").nth(1).waitFor()
    await chat.append({ text: "written while it is open" })
    for (const list of ["#page", "#worker"]) {
      await expect
        .poll(() => texts(list))
        .toEqual(["stored", "sent by the page", "written while it is open"])
    }

    await page.reload()
    await chat.append({ text: "written after the reload" })
    await expect.poll(() => texts("#page")).toEqual(["written after the reload"])
    await expect.poll(async () => (await texts("#worker")).length).toBe(4)
    expect(complaints).toEqual([])
  })
})
