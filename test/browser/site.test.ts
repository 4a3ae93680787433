import { execFile } from "node:child_process"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { extname, join, resolve } from "node:path"
import { promisify } from "node:util"
import type { Page } from "playwright-core"
import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest"
import { startTrackedHttpServer, type TrackedHttpServer } from "../support/tracked-http-server.ts"
import { describeInBrowser } from "./browser-tests.ts"

const REPOSITORY = resolve(import.meta.dirname, "../..")
const BUILD_TIMEOUT_MS = 300_000
const TYPES: Readonly<Record<string, string>> = {
  ".css": "text/css",
  ".html": "text/html",
  ".js": "text/javascript",
  ".svg": "image/svg+xml",
}

describeInBrowser("The site of npm run docs", (world) => {
  let folder: string
  let server: TrackedHttpServer
  let pages: string[]
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "durable-streams-site-"))
    const program = join(REPOSITORY, "node_modules/typedoc/bin/typedoc")
    await promisify(execFile)(process.execPath, [program, "--out", folder], { cwd: REPOSITORY })
    server = await startTrackedHttpServer(({ url = "/" }, response) => {
      const file = join(folder, decodeURIComponent(new URL(url, "http://site").pathname))
      if (!existsSync(file)) return void response.writeHead(404).end()
      response.setHeader("Content-Type", TYPES[extname(file)] ?? "application/octet-stream")
      response.end(readFileSync(file))
    })
    const guides = readdirSync(join(folder, "documents")).map((name) => `documents/${name}`)
    // Long names, and long signatures.
    const reference = [
      "classes/client.FetchBackoffAbortError.html",
      "classes/client.IdempotentProducer.html",
      "interfaces/client.StreamResponse.html",
      "modules/client.html",
    ]
    pages = ["index.html", ...guides, ...reference]
  }, BUILD_TIMEOUT_MS)
  afterAll(async () => {
    await server?.stop()
    if (folder !== undefined) await rm(folder, { recursive: true, force: true })
  })

  async function open(width: number): Promise<Page> {
    const page = await world.browser.newPage({ viewport: { width, height: 900 } })
    onTestFinished(() => page.close())
    return page
  }

  it.for([360, 768, 1280])(
    "fits a window of %i pixels, and code keeps its lines",
    async (width) => {
      const page = await open(width)
      const problems: string[] = []
      page.on("console", (message) => {
        if (message.type() === "error") problems.push(message.text())
      })
      for (const path of pages) {
        await page.goto(`${server.url}/${encodeURI(path)}`, { waitUntil: "domcontentloaded" })
        const { wide, wrapped } = await page.evaluate(() => ({
          wide: document.documentElement.scrollWidth > document.documentElement.clientWidth,
          wrapped: [...document.querySelectorAll(".tsd-typography pre")].some(
            (code) => getComputedStyle(code).whiteSpace !== "pre",
          ),
        }))
        if (wide) problems.push(`${path} is wider than the window`)
        if (wrapped) problems.push(`${path} breaks lines of code`)
      }
      expect(problems).toEqual([])
    },
  )

  it("lists the guides first, in the order of their own list, and then what is imported", async () => {
    const page = await open(1280)
    await page.goto(`${server.url}/index.html`)
    const links = page.locator(".site-menu .tsd-navigation a")
    await links.filter({ hasText: "client/outbox" }).waitFor()
    const names = await links.allInnerTexts()
    const list = readFileSync(join(REPOSITORY, "docs/README.md"), "utf8")
    const files = [...list.matchAll(/^\| \[.+?\]\((.+?)\)/gm)].map(([, file]) => file!)
    const titles = ["README.md", ...files].map(
      (file) => /^# (.+)$/m.exec(readFileSync(join(REPOSITORY, "docs", file), "utf8"))![1],
    )
    const first = names.indexOf("Guides")
    expect(names.slice(first, first + titles.length)).toEqual(titles)
    expect(names.slice(first + titles.length)[0]).toBe("client")
  })

  it.for([
    ["BUFFER_FULL", "client.IdempotentProducer.append"],
    ["lingerMs", "client.IdempotentProducerOptions.lingerMs"],
    ["Exactly once", "Exactly once, also after a crash"],
    ["react native", "Frameworks"],
  ])("finds %s by its search", async ([wanted, name]) => {
    const page = await open(1280)
    await page.goto(`${server.url}/index.html`)
    await page.locator("#tsd-search-trigger").click()
    await page.locator("#tsd-search-input").fill(wanted!)
    await page.locator("#tsd-search-results li", { hasText: name! }).first().waitFor()
  })
})
