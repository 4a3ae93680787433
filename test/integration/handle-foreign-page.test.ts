import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { DurableStream, IdempotentProducer, type DurableStreamOptions } from "../../src/index.ts"
import { bareResponse } from "../support/bare-response.ts"
import { respond, startMisbehavingServer } from "../support/misbehaving-server.ts"
import { startReferenceServer, type ReferenceServer } from "../support/reference-server.ts"
import { rejection } from "../support/rejection.ts"
import { makeResponse } from "../support/scripted-fetch.ts"

let server: ReferenceServer
beforeAll(async () => {
  server = await startReferenceServer()
})
afterAll(() => server.stop())

async function* oneChunk() {
  yield await Promise.resolve("1")
}

const writes: [string, (options: DurableStreamOptions) => Promise<unknown>][] = [
  ["append", (options) => new DurableStream(options).append(1)],
  ["appendStream", (options) => new DurableStream(options).appendStream(oneChunk())],
  ["close", (options) => new DurableStream(options).close()],
  ["close with a body", (options) => new DurableStream(options).close({ body: 1 })],
  ["create", (options) => DurableStream.create(options)],
  ["delete", (options) => DurableStream.delete(options)],
]

async function produce(options: DurableStreamOptions) {
  const producer = new IdempotentProducer(new DurableStream(options), "p")
  producer.append("1")
  await producer.flush()
}

describe("a page of HTML in the server's place", () => {
  const page = respond(200, { "content-type": "text/html; charset=utf-8" }, "<p>Log in</p>")

  it.each([...writes, ["a producer", produce] as const])(
    "is no success for %s",
    async (_name, write) => {
      await using portal = await startMisbehavingServer(page)
      const options = { url: `${portal.url}/s?secret`, contentType: "application/json" }
      const error = await rejection(write(options))
      expect(error).toMatchObject({ code: "PROTOCOL", status: 200, indeterminate: true })
      expect(error.message).toContain("did not come from a Durable Streams server")
      expect(error.message).not.toContain("secret")
      expect(portal.requests).toHaveLength(1)
    },
  )

  it("is no success where the response's headers can do no more than get", async () => {
    const fetch = () =>
      Promise.resolve(
        bareResponse(new Response("<p>", { headers: { "content-type": "text/html" } })),
      )
    const handle = new DurableStream({
      url: "http://portal.test/s",
      contentType: "text/plain",
      fetch,
    })
    expect(await rejection(handle.append("a"))).toMatchObject({ code: "PROTOCOL", status: 200 })
  })

  it("is no stream for head and connect", async () => {
    await using portal = await startMisbehavingServer(page)
    const options = { url: portal.url }
    for (const ask of [() => DurableStream.head(options), () => DurableStream.connect(options)]) {
      expect(await rejection(ask())).toMatchObject({ code: "PROTOCOL", indeterminate: false })
    }
    // Nothing was written yet where only the content type was asked for.
    const handle = new DurableStream(options)
    for (const write of [() => handle.appendStream(oneChunk()), () => handle.fork({ url: "/f" })]) {
      expect(await rejection(write())).toMatchObject({ code: "PROTOCOL", indeterminate: false })
    }
    expect(portal.requests.map(({ method }) => method)).toEqual(Array(4).fill("HEAD"))
  })
})

describe("what is HTML and no such page", () => {
  it("a stream of HTML", async () => {
    const options = { url: server.streamUrl(), contentType: "text/html" }
    const handle = await DurableStream.create({ ...options, body: "<p>" })
    await handle.append("</p>")
    await handle.appendStream(oneChunk())
    expect(await handle.head()).toMatchObject({ exists: true, contentType: "text/html" })
    const found = await DurableStream.connect({ url: options.url })
    expect(found.contentType).toBe("text/html")
    const producer = new IdempotentProducer(found, "p")
    producer.append("2")
    await producer.flush()
    await handle.close()
    expect(await (await handle.stream({ live: false })).text()).toBe("<p></p>12")
    await handle.delete()
  })

  it.each<[string, number, Record<string, string>]>([
    ["the server's word that it has created something", 201, {}],
    ["no page, by a framework's default type", 200, { "content-length": "0" }],
    ["a response that knows the offset", 200, { "stream-next-offset": "1" }],
    ["a response that knows of the end", 200, { "stream-closed": "true" }],
  ])("%s", async (_name, status, headers) => {
    const fetch = () =>
      Promise.resolve(makeResponse(status, { "content-type": "text/html", ...headers }))
    for (const [name, write] of writes) {
      const options = { url: "http://server.test/s", contentType: "application/json", fetch }
      await expect(write(options), name).resolves.not.toThrow()
    }
  })
})
