import { chromium, type Browser, type BrowserContext, type Page } from "playwright-core"
import { afterAll, beforeAll, describe, inject, it, onTestFinished } from "vitest"
import { startReferenceServer, type ReferenceServer } from "../support/reference-server.ts"
import type { TrackedHttpServer } from "../support/tracked-http-server.ts"
import { CHROMIUM_FLAGS } from "./chromium.ts"
import { startPageServer } from "./page-server.ts"
import type { TailOptions, TailRecord } from "./page/tails.ts"

/** How long a condition may take to become true. */
const PATIENCE_MS = 40_000

/** A page in a browser, with the package in it. */
export interface Tab {
  readonly page: Page
  readonly context: BrowserContext
  /** What the page wrote to its console, and what it failed with, each with its kind in front. */
  readonly messages: readonly string[]
  /** Begins to tail a stream. */
  tail(options: TailOptions): Promise<Tail>
}

/** A tail in a page. */
export interface Tail {
  /** What it brought so far. */
  now(): Promise<TailRecord>
  /** Waits until the condition holds. */
  until(condition: (record: TailRecord) => boolean): Promise<TailRecord>
}

/** What the browser tests of one file share. */
export interface BrowserWorld {
  readonly pageUrl: string
  readonly server: ReferenceServer
  readonly browser: Browser
  /** Opens a page of another origin than the stream server's; closed after the test. */
  open(context?: BrowserContext): Promise<Tab>
}

/** Tests that run in a browser; left out, by name, where none is installed. */
export function describeInBrowser(name: string, define: (world: BrowserWorld) => void): void {
  const executablePath = inject("chromiumPath")
  if (executablePath === undefined) {
    it.skip(`${name}: left out, as no Chromium is installed`)
    return
  }
  describe(name, () => {
    let browser: Browser
    let server: ReferenceServer
    let pages: TrackedHttpServer
    beforeAll(async () => {
      const args = [...CHROMIUM_FLAGS]
      browser = await chromium.launch({ executablePath, args, headless: true })
      server = await startReferenceServer({ longPollTimeout: 2_000 })
      pages = await startPageServer(inject("pageScript"))
    })
    afterAll(async () => {
      await browser?.close()
      await server?.stop()
      await pages?.stop()
    })
    define({
      get pageUrl() {
        return pages.url
      },
      get server() {
        return server
      },
      get browser() {
        return browser
      },
      open: (context) => openTab(browser, pages.url, context),
    })
  })
}

async function openTab(browser: Browser, url: string, shared?: BrowserContext): Promise<Tab> {
  const context = shared ?? (await browser.newContext())
  const page = await context.newPage()
  if (shared === undefined) onTestFinished(() => context.close())
  const messages: string[] = []
  page.on("console", (message) => messages.push(`${message.type()}: ${message.text()}`))
  page.on("pageerror", (error) => messages.push(`uncaught: ${error.message}`))
  await page.goto(url)
  let tails = 0
  return {
    page,
    context,
    messages,
    async tail(options) {
      const name = `tail-${++tails}`
      // Not waited for: a page that has used up its connections gets no response.
      await page.evaluate(([key, how]) => void window.testPage.tail(key, how), [
        name,
        options,
      ] as const)
      return tailOf(page, name)
    },
  }
}

function tailOf(page: Page, name: string): Tail {
  const now = () => page.evaluate((key) => window.testPage.tails[key]!, name)
  return {
    now,
    async until(condition) {
      const lateAt = Date.now() + PATIENCE_MS
      for (;;) {
        const record = await now()
        if (condition(record)) return record
        if (Date.now() > lateAt) {
          throw new Error(`${condition.toString()} did not become true: ${JSON.stringify(record)}`)
        }
        await page.waitForTimeout(20)
      }
    },
  }
}
