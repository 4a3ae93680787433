import { describe, expect, it } from "vitest"
import { DurableStream } from "../../src/index.ts"
import { knownBrowsers } from "./installed-browsers.ts"
import type { Elsewhere } from "./page/elsewhere.ts"
import type { TailOptions, TailRecord } from "./page/tails.ts"
import { untilTrue, type PlainTab } from "./plain-browser.ts"
import { usePlainBrowser } from "./plain-world.ts"

describe.each(knownBrowsers())("A shared connection in $name", ({ name, packages, start }) => {
  if (start === undefined) {
    it.skip(`left out: ${name} is not installed (apt-get install ${packages})`)
    return
  }
  const world = usePlainBrowser(start)
  const { openTab } = world

  const createNumbers = async () => {
    const url = world.server.streamUrl()
    const handle = await DurableStream.create({ url, contentType: "application/json" })
    const options = { url, as: "json", shareKey: "user", pauseWhenHidden: false } as const
    return { handle, options: { ...options, warnOnHttp: false } satisfies TailOptions }
  }

  it("is one for a page, its frame, its worker and a shared worker, and outlives the one that holds it", async () => {
    const { handle, options } = await createNumbers()
    const tab = await openTab()
    const places = ["worker", "frame", "page", "shared-worker"] as const
    // In this order they queue for the lock.
    const readers: Participant[] = []
    for (const place of places) readers.push(await begin(tab, place, options))
    const [worker, frame, page, sharedWorker] = readers as Four
    await worker.until(isHolder)

    const expectAll = async (living: readonly Participant[], count: number) => {
      const numbers = Array.from({ length: count }, (_, n) => n)
      for (const reader of living) {
        await reader.until(({ items }) => items.length >= count)
        expect((await reader.now()).items).toEqual(numbers)
      }
    }
    for (let n = 0; n < 5; n++) await handle.append(n)
    await expectAll(readers, 5)
    const records = await Promise.all(readers.map((reader) => reader.now()))
    expect(records.flatMap(liveTransports)).toEqual(["sse"])

    // What is appended just before, while, and after it dies.
    await handle.append(5)
    await Promise.all([worker.close(), handle.append(6)])
    await handle.append(7)
    await expectAll([frame, page, sharedWorker], 8)
    await frame.until(isHolder)

    await Promise.all([frame.close(), handle.append(8)])
    await handle.append(9)
    await expectAll([page, sharedWorker], 10)
    await page.until(isHolder)

    await handle.close()
    for (const reader of [page, sharedWorker]) {
      await reader.until(({ end }) => end !== undefined)
      expect((await reader.now()).end).toBe("ended")
    }
    await expectAll([page, sharedWorker], 10)
  }, 180_000)

  it("is one for three tabs, and outlives the tab that holds it", async () => {
    const { handle, options } = await createNumbers()
    const readers: Participant[] = []
    for (let n = 0; n < 3; n++) readers.push(await begin(await openTab(), "page", options))
    await handle.append(0)
    for (const reader of readers) await reader.until(({ items }) => items.length === 1)
    // A tab in front asks the one behind it for the connection.
    const records = () => Promise.all(readers.map((reader) => reader.now()))
    await untilTrue(async () => (await records()).filter(isConnected).length === 1)
    const seen = await records()
    const held = seen.flatMap(({ events }) => events.filter(isOwn))
    expect(seen.flatMap(liveTransports).length).toBeLessThanOrEqual(held.length)
    const [holder] = readers.splice(seen.findIndex(isConnected), 1)
    await Promise.all([holder?.close(), handle.append(1)])
    await handle.append(2)
    for (const reader of readers) {
      await reader.until(({ items }) => items.length >= 3)
      expect((await reader.now()).items).toEqual([0, 1, 2])
    }
    await untilTrue(async () => (await records()).filter(isConnected).length === 1)
  }, 180_000)

  it("is none in a frame of an opaque origin, which reads for itself and says why", async () => {
    const { handle, options } = await createNumbers()
    await handle.append(0)
    const frame = await begin(await openTab(), "sandbox", options, ({ kind }) => kind === "alone")
    await frame.until(({ items }) => items.length === 1)
    await handle.append(1)
    await frame.until(({ items }) => items.length === 2)
    const { events, items } = await frame.now()
    const reasons = events.flatMap((event) => (event.kind === "alone" ? [event.reason] : []))
    console.log(`${name}: a sandboxed frame is alone: ${reasons.join()}`)
    expect(reasons).toHaveLength(1)
    expect(["locks-denied", "no-locks", "no-channel", "no-crypto"]).toContain(reasons[0])
    expect(items).toEqual([0, 1])
  }, 120_000)
})

/** One reader, in a tab or in a frame or worker of it. */
interface Participant {
  now(): Promise<TailRecord>
  until(condition: (record: TailRecord) => boolean): Promise<void>
  /** Ends it without a word: the worker, the frame or the tab. */
  close(): Promise<void>
}
type Four = [Participant, Participant, Participant, Participant]

/** Begins to tail, and waits until it follows. */
async function begin(
  tab: PlainTab,
  place: "page" | Elsewhere,
  options: TailOptions,
  isReady: (event: TailEvent) => boolean = ({ kind }) => kind === "holder",
): Promise<Participant> {
  const given = JSON.stringify(options)
  const call =
    place === "page" ? `tail("page", ${given})` : `tailElsewhere("${place}", "${place}", ${given})`
  await tab.evaluate(`void testPage.${call}`)
  const now = () => tab.evaluate<TailRecord>(`testPage.tails["${place}"]`)
  const until = (condition: (record: TailRecord) => boolean) =>
    untilTrue(async () => condition(await now()))
  await until(({ events }) => events.some(isReady))
  const close = () =>
    place === "page" ? tab.close() : tab.evaluate<void>(`testPage.closers["${place}"]()`)
  return { now, until, close }
}

type TailEvent = TailRecord["events"][number]

function isHolder({ events }: TailRecord): boolean {
  return events.filter((event) => event.kind === "holder").at(-1)?.isSelf === true
}

const isOwn = (event: TailEvent) => event.kind === "holder" && event.isSelf

function isConnected(record: TailRecord): boolean {
  return isHolder(record) && liveTransports(record).length > 0
}

function liveTransports({ events }: TailRecord): string[] {
  return events.flatMap((event) =>
    event.kind === "request" && event.transport !== "catch-up" ? [event.transport] : [],
  )
}
