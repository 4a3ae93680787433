import { afterAll, beforeAll, expect, it } from "vitest"
import { DurableStream, IdempotentProducer, stream } from "../../src/index.ts"
import { createTestServer } from "../../src/testing/index.ts"
import { startReferenceServer, type ReferenceServer } from "../support/reference-server.ts"

/** What has to work in a test environment that puts a browser's globals, of another realm, over Node's. */
export function itReadsAndWritesHere(): void {
  let server: ReferenceServer
  beforeAll(async () => {
    server = await startReferenceServer({ longPollTimeout: 500 })
  })
  afterAll(() => server.stop())

  it("has a document", () => {
    expect(document.createElement("p").tagName).toBe("P")
  })

  it.each(["sse", "long-poll"] as const)("appends, produces and reads live by %s", async (live) => {
    const url = server.streamUrl()
    const handle = await DurableStream.create({ url, contentType: "application/json" })
    await handle.append({ n: 1 })
    const response = await stream<{ n: number }>({ url, live })
    const seen: number[] = []
    response.subscribeJson(async ({ items }) => {
      seen.push(...items.map(({ n }) => n))
      if (seen.length === 1) {
        const producer = new IdempotentProducer(handle, "writer", { autoClaim: true })
        await producer.send({ n: 2 })
        await producer.close({ n: 3 })
      }
    })
    await response.closed
    expect(seen).toEqual([1, 2, 3])
  })

  it("reads text with the signal and the URL of this realm, and aborts", async () => {
    const url = new URL(server.streamUrl())
    const handle = await DurableStream.create({ url, contentType: "text/plain" })
    await handle.append("text é")
    const controller = new AbortController()
    const { signal } = controller
    expect(await (await stream({ url, live: false, signal })).text()).toBe("text é")
    const live = await stream({ url, signal })
    let text = ""
    live.subscribeText((chunk) => {
      text += chunk.text
      controller.abort()
    })
    await live.closed.catch(() => undefined)
    expect(text).toBe("text é")
  })

  it("writes and reads bytes", async () => {
    const url = server.streamUrl()
    const handle = await DurableStream.create({ url, contentType: "application/octet-stream" })
    await handle.append(new Uint8Array([0, 255, 7]))
    expect([...(await (await stream({ url, live: false })).body())]).toEqual([0, 255, 7])
  })

  it("has a test server in memory: reads live, aborts, and loses a response", async () => {
    await using memory = createTestServer()
    const url = `${memory.url}/chat`
    const { fetch } = memory
    const chat = await DurableStream.create({ url, contentType: "application/json", fetch })
    const controller = new AbortController()
    const response = await stream<{ n: number }>({ url, fetch, signal: controller.signal })
    const seen: number[] = []
    response.subscribeJson(({ items }) => {
      seen.push(...items.map(({ n }) => n))
      if (seen.length === 2) controller.abort()
    })
    memory.dropResponse({ method: "POST" })
    const producer = new IdempotentProducer(chat, "writer", { autoClaim: true })
    await producer.send({ n: 1 })
    await producer.send({ n: 2 })
    await response.closed
    expect(seen).toEqual([1, 2])
    expect(memory.streams.get(url)?.messages).toEqual([{ n: 1 }, { n: 2 }])
  })
}
