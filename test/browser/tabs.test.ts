import { DurableStream } from "../../src/index.ts"
import { expect, inject, it, onTestFinished } from "vitest"
import { describeInBrowser, type Tab, type Tail } from "./browser-tests.ts"
import { startChromium } from "./chromium.ts"
import type { TailRecord } from "./page/tails.ts"
import { untilTrue } from "./plain-browser.ts"

interface Reader {
  readonly tab: Tab
  readonly tail: Tail
}

describeInBrowser("Tabs of a browser that share a connection", (world) => {
  const createJson = () =>
    DurableStream.create({ url: world.server.streamUrl(), contentType: "application/json" })

  /** Opens tabs of one browser, in which every tab counts as visible. */
  const opener = async (url: string) => {
    const context = await world.browser.newContext()
    onTestFinished(() => context.close())
    return async (): Promise<Reader> => {
      const tab = await world.open(context)
      const tail = await tab.tail({
        url,
        as: "json",
        shareKey: "user",
        pauseWhenHidden: false,
        warnOnHttp: false,
      })
      return { tab, tail }
    }
  }

  const openMany = async (open: () => Promise<Reader>, count: number): Promise<Reader[]> => {
    const readers: Reader[] = []
    for (let opened = 0; opened < count; opened++) {
      const reader = await open()
      await reader.tail.until(isFollowing)
      readers.push(reader)
    }
    return readers
  }

  it(
    "12 tabs read over one connection on HTTP/1.1, which has six",
    { timeout: 180_000 },
    async () => {
      const handle = await createJson()
      const readers = await openMany(await opener(handle.url), 12)
      const all = await appendAndWait(handle, readers, 0, 10)
      const records = await Promise.all(readers.map(({ tail }) => tail.now()))
      expect(records.map(({ items }) => items)).toEqual(readers.map(() => all))
      const live = records
        .flatMap(({ events }) => transports(events))
        .filter((it) => it !== "catch-up")
      expect(live).toEqual(["sse"])
    },
  )

  it(
    "goes on when the tab that holds the connection is killed, 20 times",
    { timeout: 400_000 },
    async () => {
      const handle = await createJson()
      const open = await opener(handle.url)
      const readers = await openMany(open, 6)
      for (let kill = 0; kill < 20; kill++) {
        const holder = await findHolder(readers)
        readers.splice(readers.indexOf(holder), 1)
        // What was appended just before, while, and after it dies.
        await handle.append(kill * 2)
        await Promise.all([holder.tab.page.close(), handle.append(kill * 2 + 1)])
        readers.push(await open())
        const whole = Array.from({ length: (kill + 1) * 2 }, (_, n) => n)
        for (const { tail } of readers) {
          const { items } = await tail.until((record) => record.items.length >= whole.length)
          expect(items).toEqual(whole)
        }
      }
    },
  )

  it("is offline in each of them while the browser is", { timeout: 180_000 }, async () => {
    const handle = await createJson()
    const readers = await openMany(await opener(handle.url), 3)
    const context = readers[0]!.tab.context
    const until = (kind: string) =>
      Promise.all(readers.map(({ tail }) => tail.until((record) => stateOf(record) === kind)))
    await until("live")
    await context.setOffline(true)
    await until("offline")
    await context.setOffline(false)
    await until("live")
    await appendAndWait(handle, readers, 0, 2)
  })

  it("ends in each of them at the end of the stream, without a request of one that follows", async () => {
    const handle = await createJson()
    const readers = await openMany(await opener(handle.url), 4)
    await appendAndWait(handle, readers, 0, 2)
    // The next in the queue for the lock can get it before it gets the last page. It holds the connection then, by a request.
    const requests = async () =>
      (await Promise.all(readers.map(({ tail }) => tail.now()))).map(
        ({ events }) =>
          transports(events).length -
          events.filter((event) => event.kind === "holder" && event.isSelf).length,
      )
    const before = await requests()
    await handle.close({ body: "2" })
    const records = await Promise.all(
      readers.map(({ tail }) => tail.until(({ end }) => end !== undefined)),
    )
    expect(records.map(({ items, end }) => [items.length, end])).toEqual(
      readers.map(() => [3, "ended"]),
    )
    for (const [index, count] of (await requests()).entries()) {
      expect(count).toBeLessThanOrEqual(before[index]!)
    }
  })

  it("goes on when it is frozen, and it comes back", { timeout: 180_000 }, async () => {
    const handle = await createJson()
    const readers = await openMany(await opener(handle.url), 3)
    const holder = await findHolder(readers)
    const others = readers.filter((reader) => reader !== holder)
    const devtools = await holder.tab.context.newCDPSession(holder.tab.page)
    await devtools.send("Page.setWebLifecycleState", { state: "frozen" })
    await appendAndWait(handle, others, 0, 3)
    await devtools.send("Page.setWebLifecycleState", { state: "active" })
    const { items } = await holder.tail.until((record) => record.items.length === 3)
    expect(items).toEqual([0, 1, 2])
    await appendAndWait(handle, readers, 3, 2)
  })

  it(
    "takes the connection from a tab that hangs without a word",
    { timeout: 180_000 },
    async () => {
      const handle = await createJson()
      const readers = await openMany(await opener(handle.url), 3)
      const holder = await findHolder(readers)
      const others = readers.filter((reader) => reader !== holder)
      const watcher = others[0]!.tab.page
      await watcher.evaluate(() => {
        const channel = new BroadcastChannel("test")
        const hung = new Promise((resolve) => channel.addEventListener("message", resolve))
        Object.assign(window, { hung: hung.then(() => channel.close()) })
      })
      const hang = holder.tab.page.evaluate(() => {
        new BroadcastChannel("test").postMessage("hangs")
        const until = performance.now() + 15_000
        while (performance.now() < until);
        return window.testPage.tails["tail-1"]?.items.length
      })
      await watcher.evaluate(() => (window as unknown as { hung: Promise<void> }).hung)
      await appendAndWait(handle, others, 0, 3)
      expect(await hang).toBe(0)
      const { items } = await holder.tail.until((record) => record.items.length === 3)
      expect(items).toEqual([0, 1, 2])
      await appendAndWait(handle, readers, 3, 2)
      const stolen = await Promise.all(others.map(({ tail }) => tail.now()))
      expect(stolen.flatMap(({ events }) => events)).toContainEqual(
        expect.objectContaining({ kind: "holder", isSelf: true, reason: "silent-holder" }),
      )
    },
  )

  it(
    "goes on when it is sent to the back/forward cache, and it comes back",
    { timeout: 180_000 },
    async () => {
      const browser = await startChromium(String(inject("chromiumPath")))
      onTestFinished(() => browser.stop())
      const handle = await createJson()
      const options = { url: handle.url, as: "json", shareKey: "user", pauseWhenHidden: false }
      const openPlain = async () => {
        const tab = await browser.open(`${world.pageUrl}/`)
        await tab.evaluate(`void testPage.tail("t", ${JSON.stringify(options)})`)
        const now = () => tab.evaluate<TailRecord>("testPage.tails.t")
        await untilTrue(async () => isFollowing(await now()))
        return {
          tab,
          has: (count: number) => untilTrue(async () => (await now()).items.length >= count),
          now,
        }
      }
      const holder = await openPlain()
      await untilTrue(async () => isHolder(await holder.now()))
      const other = await openPlain()
      await holder.tab.evaluate(
        "void addEventListener('pageshow', (e) => (window.kept = e.persisted))",
      )
      await holder.tab.goTo(`${world.pageUrl}/other`)
      await handle.append(0)
      await other.has(1)
      await untilTrue(async () => isHolder(await other.now()))
      await holder.tab.goBack()
      await untilTrue(() => holder.tab.evaluate("window.kept === true"))
      await holder.has(1)
      await handle.append(1)
      await holder.has(2)
      await other.has(2)
      expect((await holder.now()).items).toEqual([0, 1])
      expect((await other.now()).items).toEqual([0, 1])
    },
  )
})

/** Appends numbers, and waits until every reader has them. */
async function appendAndWait(
  handle: DurableStream,
  readers: readonly Reader[],
  from: number,
  count: number,
): Promise<number[]> {
  for (let n = from; n < from + count; n++) await handle.append(n)
  const all = Array.from({ length: from + count }, (_, n) => n)
  for (const { tail } of readers) {
    const { items } = await tail.until((record) => record.items.length >= all.length)
    expect(items).toEqual(all)
  }
  return all
}

async function findHolder(readers: readonly Reader[]): Promise<Reader> {
  for (;;) {
    for (const reader of readers) if (isHolder(await reader.tail.now())) return reader
    await readers[0]?.tab.page.waitForTimeout(20)
  }
}

function isHolder({ events }: TailRecord): boolean {
  return events.filter((event) => event.kind === "holder").at(-1)?.isSelf === true
}

function isFollowing({ events }: TailRecord): boolean {
  return events.some(({ kind }) => kind === "holder")
}

function transports(events: TailRecord["events"]): string[] {
  return events.flatMap((event) => (event.kind === "request" ? [event.transport] : []))
}

function stateOf({ events }: TailRecord): string | undefined {
  return events.flatMap((event) => (event.kind === "state" ? [event.state.kind] : [])).at(-1)
}
