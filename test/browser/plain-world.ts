import { afterAll, beforeAll, inject, onTestFinished } from "vitest"
import { startReferenceServer, type ReferenceServer } from "../support/reference-server.ts"
import type { TrackedHttpServer } from "../support/tracked-http-server.ts"
import { startPageServer } from "./page-server.ts"
import type { PlainBrowser, PlainTab } from "./plain-browser.ts"

/** What the tests of one browser share, while they run. */
export interface PlainWorld {
  readonly browser: PlainBrowser
  readonly server: ReferenceServer
  readonly pages: TrackedHttpServer
  /** Opens the test page; it is closed at the end of the test. */
  openTab(): Promise<PlainTab>
}

/** Starts a browser, a reference server and a server of the test page before the tests of a `describe`, and stops them after. */
export function usePlainBrowser(start: () => Promise<PlainBrowser>): PlainWorld {
  let browser: PlainBrowser
  let server: ReferenceServer
  let pages: TrackedHttpServer
  beforeAll(async () => {
    server = await startReferenceServer({ longPollTimeout: 2_000 })
    pages = await startPageServer(inject("pageScript"), inject("workerScript"))
    browser = await start()
  }, 90_000)
  afterAll(async () => {
    await browser?.stop()
    await server?.stop()
    await pages?.stop()
  })
  return {
    get browser() {
      return browser
    },
    get server() {
      return server
    },
    get pages() {
      return pages
    },
    async openTab() {
      const tab = await browser.open(pages.url)
      onTestFinished(() => tab.close().catch(() => undefined))
      return tab
    },
  }
}
