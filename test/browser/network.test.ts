import { expect, it, onTestFinished, vi } from "vitest"
import { DurableStream, stream } from "../../src/index.ts"
import { startCorsProxy } from "../support/cors-proxy.ts"
import { describeInBrowser, type Tail } from "./browser-tests.ts"
import type { TailRecord } from "./page/tails.ts"

describeInBrowser("A browser's network", (world) => {
  const createJson = () =>
    DurableStream.create({ url: world.server.streamUrl(), contentType: "application/json" })

  it.each(["sse", "long-poll"] as const)("goes away and comes back under %s", async (live) => {
    const handle = await createJson()
    await handle.append(1)
    const tab = await world.open()
    const backoffOptions = { maxDelay: 200 }
    const options = { url: handle.url, live, as: "json", backoffOptions } as const
    const tail = await tab.tail(options)
    await tail.until(({ upToDate }) => upToDate)
    await tab.context.setOffline(true)
    // What is open may live on or not; a new tail shows that the page is in fact offline.
    const offline = await tab.tail(options)
    await offline.until(({ events }) => events.filter(({ kind }) => kind === "retry").length >= 3)
    for (const n of [2, 3]) await handle.append(n)
    await tab.context.setOffline(false)
    await handle.append(4)
    await handle.close()
    for (const each of [tail, offline]) {
      const record = await each.until(({ end }) => end !== undefined)
      expect([record.items, record.end]).toEqual([[1, 2, 3, 4], "ended"])
    }
  })

  it("is gone at once in the state of a session and of a producer, whose connections are kept", async () => {
    const handle = await createJson()
    await handle.append(1)
    const tab = await world.open()
    const tail = await tab.tail({ url: handle.url, live: "sse", as: "json" })
    const state = ({ events }: TailRecord) =>
      events.flatMap((event) => (event.kind === "state" ? [event.state.kind] : [])).at(-1)
    const requests = ({ events }: TailRecord) => events.filter(({ kind }) => kind === "request")
    const before = await tail.until((record) => state(record) === "live")
    await tab.context.setOffline(true)
    const offline = await tail.until((record) => state(record) === "offline")
    expect(requests(offline)).toEqual(requests(before))
    const producing = tab.page.evaluate(async (url) => {
      const { DurableStream, IdempotentProducer } = window.testPage.client
      const contentType = "application/json"
      const stream = new DurableStream({ url, contentType, backoffOptions: { maxDelay: 200 } })
      const kinds: string[] = []
      const producer = new IdempotentProducer(stream, "page", {
        observe: (event) => event.kind === "state" && kinds.push(event.state.kind),
      })
      producer.append(2)
      await producer.flush()
      return kinds
    }, handle.url)
    await tab.page.waitForEvent("requestfailed")
    await tab.context.setOffline(false)
    const kinds = await producing
    expect([kinds[0], kinds[1], kinds.at(-1)]).toEqual(["sending", "offline", "idle"])
    const { items } = await tail.until((record) => record.items.length === 2)
    expect(items).toEqual([1, 2])
    expect(state(await tail.now())).toBe("live")
  })

  it("comes back: what waits for a retry waits no longer", async () => {
    const handle = await createJson()
    await handle.append(1)
    const tab = await world.open()
    await tab.context.setOffline(true)
    // An hour or so, if it were for the delays alone.
    const backoffOptions = { initialDelay: 7_200_000 }
    const tail = await tab.tail({ url: handle.url, as: "json", backoffOptions })
    await tail.until(({ events }) => events.some(({ kind }) => kind === "retry"))
    await tab.context.setOffline(false)
    expect((await tail.until(({ items }) => items.length > 0)).items).toEqual([1])
  })

  it("is gone while a producer writes, and nothing is lost or stored twice", async () => {
    const handle = await createJson()
    const tab = await world.open()
    await tab.page.evaluate(async (url) => {
      const { DurableStream, IdempotentProducer } = window.testPage.client
      const handle = await DurableStream.connect({ url, backoffOptions: { maxDelay: 200 } })
      const producer = new IdempotentProducer(handle, "page")
      await producer.send(0)
      Object.assign(window, { producer })
    }, handle.url)
    await tab.context.setOffline(true)
    let failures = 0
    tab.page.on("requestfailed", () => failures++)
    const outcome = tab.page.evaluate(async () => {
      const { producer } = window as unknown as {
        producer: InstanceType<typeof window.testPage.client.IdempotentProducer>
      }
      for (let n = 1; n <= 50; n++) producer.append(n)
      await producer.flush()
      return producer.pendingCount
    })
    await vi.waitUntil(() => failures >= 3, { timeout: 30_000 })
    expect(await (await handle.stream({ live: false })).json()).toEqual([0])
    await tab.context.setOffline(false)
    expect(await outcome).toBe(0)
    const stored = await (await stream({ url: handle.url, live: false })).json()
    expect(stored).toEqual(Array.from({ length: 51 }, (_, n) => n))
  })

  it("has six connections for HTTP/1.1: every stream gets its turn, and a local server causes no warning", async () => {
    // As a server does once a minute, but sooner: its connections end and others get theirs.
    const proxy = await startCorsProxy(world.server.url, EXPOSED, { sseLifetimeMs: 1_500 })
    onTestFinished(() => proxy.stop())
    const tab = await world.open()
    const handles = await Promise.all(Array.from({ length: 9 }, createJson))
    const tails: Tail[] = []
    for (const handle of handles) {
      const url = handle.url.replace(world.server.url, proxy.url)
      tails.push(await tab.tail({ url, as: "json" }))
    }
    for (const [n, handle] of handles.entries()) await handle.append(n)
    for (const [n, tail] of tails.entries()) {
      const { items } = await tail.until((record) => record.items.length === 1)
      expect(items).toEqual([n])
    }
    for (const handle of handles) await handle.close()
    for (const tail of tails) {
      expect((await tail.until(({ end }) => end !== undefined)).end).toBe("ended")
    }
    const warnings = tab.messages.filter((message) => message.startsWith("warning:"))
    expect(warnings.filter((text) => /about six connections/.test(text))).toEqual([])
  })

  it("has none left for a request, which then fails in its time and says so", async () => {
    const tab = await world.open()
    for (let n = 0; n < 6; n++) {
      const tail = await tab.tail({ url: (await createJson()).url, as: "json" })
      await tail.until(({ events }) =>
        events.some((event) => event.kind === "response" && event.transport === "sse"),
      )
    }
    const handle = await createJson()
    const outcome = await tab.page.evaluate(async (url) => {
      const { DurableStream, stream, DurableStreamError } = window.testPage.client
      const codeOf = (error: unknown) => error instanceof DurableStreamError && error.code
      const handle = new DurableStream({
        url,
        contentType: "application/json",
        requestTimeoutMs: 500,
        backoffOptions: { maxRetries: 0 },
      })
      return {
        append: await handle.append(1).catch(codeOf),
        read: await stream({
          url,
          idleTimeoutMs: 500,
          backoffOptions: { maxRetries: 0 },
        }).catch(codeOf),
      }
    }, handle.url)
    expect(outcome).toEqual({ append: "TIMEOUT", read: "TIMEOUT" })
  })
})

const EXPOSED = ["Stream-Next-Offset", "Stream-Up-To-Date", "Stream-Closed", "Stream-Cursor"]
