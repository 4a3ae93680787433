import { expect, it, onTestFinished } from "vitest"
import { DurableStream, stream } from "../../src/index.ts"
import { startBreakingProxy } from "../support/breaking-proxy.ts"
import { describeInBrowser } from "./browser-tests.ts"

describeInBrowser("Writing in a browser, to another origin", (world) => {
  it("creates, appends, closes and deletes", async () => {
    const { page } = await world.open()
    const outcome = await page.evaluate(
      async ([url, other]) => {
        const { DurableStream } = window.testPage.client
        const handle = await DurableStream.create({ url, contentType: "application/json" })
        await Promise.all([1, 2, 3].map((n) => handle.append({ n })))
        const { finalOffset } = await handle.close({ body: { n: 4 } })
        const deleted = await DurableStream.create({ url: other, contentType: "text/plain" })
        await deleted.delete()
        return {
          head: await handle.head(),
          finalOffset,
          refusal: await handle.append({ n: 5 }).catch(window.testPage.describe),
          deleted: await deleted.head(),
        }
      },
      [world.server.streamUrl(), world.server.streamUrl()] as const,
    )
    expect(outcome.head).toMatchObject({ exists: true, streamClosed: true })
    expect(outcome.head).toMatchObject({ offset: outcome.finalOffset })
    expect(outcome.refusal).toMatch(/^StreamClosedError/)
    expect(outcome.deleted).toEqual({ exists: false })
  })

  it("appends a stream in batches, as no browser uploads one over HTTP/1.1", async () => {
    const { page, messages } = await world.open()
    const requests: string[] = []
    page.on("request", (request) => requests.push(request.method()))
    const url = world.server.streamUrl()
    const lines = await page.evaluate(async (target) => {
      const { DurableStream } = window.testPage.client
      const handle = await DurableStream.create({ url: target, contentType: "text/plain" })
      async function* words() {
        for (let i = 0; i < 1_000; i++) {
          if (i % 100 === 0) await new Promise((resolve) => setTimeout(resolve))
          yield `word ${i}, kůň\n`
        }
      }
      await handle.appendStream(words())
      return (await handle.head()).exists
    }, url)
    expect(lines).toBe(true)
    const stored = await (await stream({ url, live: false })).text()
    expect(stored).toBe(Array.from({ length: 1_000 }, (_, i) => `word ${i}, kůň\n`).join(""))
    expect(requests.filter((method) => method === "POST").length).toBeGreaterThan(0)
    expect(messages.filter((message) => /error|uncaught/.test(message))).toEqual([])
  })

  it("pipes a ReadableStream of the page into writable()", async () => {
    const { page } = await world.open()
    const url = world.server.streamUrl()
    await page.evaluate(async (target) => {
      const { DurableStream } = window.testPage.client
      const handle = await DurableStream.create({ url: target, contentType: "text/plain" })
      const blob = new Blob(["one ", "two ", "three"])
      await blob.stream().pipeTo(handle.writable())
    }, url)
    const response = await stream({ url })
    expect(await response.text()).toBe("one two three")
    expect(response.streamClosed).toBe(true)
  })

  it("stores each message of a producer once, in order", async () => {
    const handle = await createJson(world.server.streamUrl())
    const { page } = await world.open()
    const state = await page.evaluate(async (url) => {
      const { DurableStream, IdempotentProducer } = window.testPage.client
      const producer = new IdempotentProducer(new DurableStream({ url }), "page")
      for (let n = 0; n < 500; n++) producer.append({ n })
      await producer.flush()
      const { duplicate } = await producer.send({ n: 500 })
      await producer.close()
      return { pending: producer.pendingCount, duplicate }
    }, handle.url)
    expect(state).toEqual({ pending: 0, duplicate: false })
    expect(await numbersIn(handle.url)).toEqual(Array.from({ length: 501 }, (_, n) => n))
  })

  it.each([
    // A browser resends it by itself: the producer gets only a duplicate, which in a fresh epoch is its own.
    ["the first write", 0],
    ["a later write", 1],
  ])("stores each message once although the response to %s is lost", async (_, index) => {
    const handle = await createJson(world.server.streamUrl())
    const proxy = await startBreakingProxy(world.server.url)
    onTestFinished(() => proxy.stop())
    let writes = 0
    proxy.decide = ({ method }) =>
      method === "POST" && writes++ === index
        ? { kind: "lose-response", how: "reset" }
        : { kind: "pass" }
    const { page } = await world.open()
    const outcome = await page.evaluate(async (url) => {
      const { DurableStream, IdempotentProducer } = window.testPage.client
      const handle = await DurableStream.connect({ url })
      const producer = new IdempotentProducer(handle, "page", { autoClaim: true, lingerMs: 0 })
      const sent: unknown[] = []
      for (let n = 0; n < 20; n++) {
        sent.push(await producer.send({ n }).catch(window.testPage.describe))
      }
      await producer.detach().catch(() => undefined)
      return sent.filter((result) => typeof result === "string")
    }, proxy.through(handle.url))
    expect(outcome).toEqual([])
    expect(await numbersIn(handle.url)).toEqual(Array.from({ length: 20 }, (_, n) => n))
    expect(proxy.requests.filter(({ action }) => action.kind === "lose-response").length).toBe(1)
  })

  it("finds out that it was fenced, by a header that has to be exposed", async () => {
    const handle = await createJson(world.server.streamUrl())
    const { page } = await world.open()
    const outcome = await page.evaluate(async (url) => {
      const { DurableStream, IdempotentProducer, StaleEpochError } = window.testPage.client
      const handle = new DurableStream({ url, contentType: "application/json" })
      const newer = new IdempotentProducer(handle, "page", { epoch: 3 })
      await newer.send(1)
      const older = new IdempotentProducer(handle, "page")
      const error: unknown = await older.send(2).catch((reason: unknown) => reason)
      return error instanceof StaleEpochError ? error.currentEpoch : String(error)
    }, handle.url)
    expect(outcome).toBe(3)
  })
})

function createJson(url: string): Promise<DurableStream> {
  return DurableStream.create({ url, contentType: "application/json" })
}

async function numbersIn(url: string): Promise<number[]> {
  const messages = await (await stream<{ n: number }>({ url, live: false })).json()
  return messages.map(({ n }) => n)
}
