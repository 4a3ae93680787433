import { readFileSync } from "node:fs"
import { CHROMIUM_FLAGS, findChromium } from "../../test/browser/chromium.ts"
import type { PageReader } from "../browser/readers.ts"
import type { BenchCase, Costs, Job, Row } from "../case.ts"
import { expectCount, scaled } from "../timed.ts"
import { perSecond } from "../units.ts"

declare global {
  interface Window {
    /** What the page script offers. */
    readonly reader: PageReader
  }
}

interface BrowserCase {
  readonly name: string
  readonly title: string
  readonly unit: "msg" | "events"
  readonly target: Row["target"]
  readonly method: keyof PageReader
  /** The path of a stream on the minimal server, and how many messages it has. */
  readonly content: (scale: number) => { readonly path: string; readonly total: number }
}

/** Browsers report only tasks of at least so long; a run without one counts as this. */
const LONG_TASK_MS = 50

/** Reads a stream in a page of a browser of its own: how long it takes, and the longest task of the page's main thread. */
async function measurePage(job: Job, { content, method }: BrowserCase): Promise<Costs> {
  const { path, total } = content(job.scale)
  const url = `${job.serverUrl}/${path}`
  await fetch(url, { method: "HEAD" })
  // Loaded here only: it would count as memory of every other case.
  const { chromium } = await import("playwright-core")
  const executablePath = findChromium()
  if (executablePath === undefined) throw new Error("no Chromium is installed")
  const browser = await chromium.launch({ executablePath, args: [...CHROMIUM_FLAGS] })
  try {
    const page = await browser.newPage()
    await page.goto(`${job.serverUrl}/page`)
    await page.addScriptTag({ content: readFileSync(job.pageScripts[job.contender], "utf8") })
    const { count, elapsedMs, longestMs } = await page.evaluate(readInPage, { url, method, total })
    expectCount("messages", count, total)
    const longest = Math.max(longestMs, LONG_TASK_MS)
    // The memory of this process is not the browser's.
    return { time: elapsedMs / total, longest, rss: undefined }
  } finally {
    await browser.close()
  }
}

/** Runs in the page. */
async function readInPage(how: { url: string; method: keyof PageReader; total: number }) {
  let longestMs = 0
  const observer = new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) longestMs = Math.max(longestMs, duration)
  })
  observer.observe({ type: "longtask" })
  // The task that loaded this script is not the reader's.
  await new Promise((resolve) => setTimeout(resolve, 100))
  longestMs = 0
  const startedAt = performance.now()
  const count = await window.reader[how.method](how.url, how.total)
  const elapsedMs = performance.now() - startedAt
  // The last task is reported when it is over.
  await new Promise((resolve) => setTimeout(resolve, 100))
  return { count, elapsedMs, longestMs }
}

function browserCase(settings: BrowserCase): BenchCase {
  const { name, title, unit, target } = settings
  return {
    name,
    rows: [
      { title, metric: "time", target, show: perSecond(unit) },
      {
        title: "the same: the longest task of the main thread",
        metric: "longest",
        target: { atMost: LONG_TASK_MS },
        show: (ms) => (ms <= LONG_TASK_MS ? `≤ ${LONG_TASK_MS} ms` : `${ms.toFixed(0)} ms`),
      },
    ],
    notQuick: "a browser starts for each contender",
    missing: () => (findChromium() === undefined ? "no Chromium is installed" : undefined),
    floor: (job) => measurePage(job, settings),
    client: (_client, job) => measurePage(job, settings),
  }
}

/** Reading in a page, whose main thread also has to draw it. */
export const browserCases: readonly BenchCase[] = [
  browserCase({
    name: "browser-json",
    title: "Chromium, catch-up of 50 MB of JSON in pages of 1 MB: subscribeJson",
    unit: "msg",
    target: { timesPeer: 1 },
    method: "catchUp",
    content: (scale) => {
      const pages = scaled(50, scale)
      return { path: `pages/json/${pages}/10000/100`, total: pages * 10_000 }
    },
  }),
  browserCase({
    name: "browser-sse",
    title: "Chromium, SSE, 100 k events of 100 B",
    unit: "events",
    target: { timesPeer: 1 },
    method: "events",
    content: (scale) => {
      const events = scaled(100_000, scale)
      return { path: `events/${events}/1/100/65536`, total: events }
    },
  }),
]
