import { afterAll, beforeAll, describe, expect, it, vi } from "vitest"
import { DurableStream } from "../../src/durable-stream.ts"
import { startBreakingProxy } from "../support/breaking-proxy.ts"
import { startReferenceServer, type ReferenceServer } from "../support/reference-server.ts"
import { rejection } from "../support/rejection.ts"
import { makeResponse, scriptedFetch } from "../support/scripted-fetch.ts"

let server: ReferenceServer
beforeAll(async () => {
  server = await startReferenceServer()
})
afterAll(() => server.stop())

const backoffOptions = { initialDelay: 1, maxDelay: 2 }

function createStream(contentType: string): Promise<DurableStream> {
  return DurableStream.create({ url: server.streamUrl(), contentType })
}

async function contentOf(handle: DurableStream): Promise<string> {
  return (await fetch(`${handle.url}?offset=-1`)).text()
}

describe("writable", () => {
  it("stores what is piped into it, and closing it closes the stream", async () => {
    const handle = await createStream("text/plain")
    const source = new Blob(["some ", "text, ", "ünd more"]).stream()
    await source.pipeTo(handle.writable())
    expect(await contentOf(handle)).toBe("some text, ünd more")
    expect(await handle.head()).toMatchObject({ streamClosed: true })
  })

  it("stores once what a layer below sends twice: nobody else can have used its new id", async () => {
    const { url } = await createStream("text/plain")
    const twice: typeof fetch = async (input, init) => {
      if (init?.method === "POST") await (await fetch(input, init)).arrayBuffer()
      return fetch(input, init)
    }
    const handle = new DurableStream({ url, fetch: twice, contentType: "text/plain" })
    const writer = handle.writable({ maxBatchBytes: 1 }).getWriter()
    for (const chunk of "abc") await writer.write(chunk)
    await writer.close()
    expect(await contentOf(handle)).toBe("abc")
  })

  it("stores each chunk as a message on a JSON stream", async () => {
    const handle = await createStream("application/json")
    const writer = handle.writable().getWriter()
    await writer.write('{"a":1}')
    await writer.write("")
    await writer.write(new TextEncoder().encode("[2,3]"))
    await writer.close()
    expect(await contentOf(handle)).toBe('[{"a":1},[2,3]]')
  })

  it.each([403, 405, 501])("posts octets if the server rejects HEAD with %i", async (status) => {
    const { fetch, calls } = scriptedFetch([
      makeResponse(status),
      makeResponse(200, { "stream-next-offset": "1" }),
    ])
    const writer = new DurableStream({ url: "https://h.test/s", fetch }).writable().getWriter()
    await writer.write("a")
    await writer.close()
    expect(calls.map(({ init }) => init.method).slice(0, 2)).toEqual(["HEAD", "POST"])
    expect(calls[1]?.headers["content-type"]).toBe("application/octet-stream")
  })

  it("keeps a character whole whose halves come in two chunks", async () => {
    const handle = await createStream("text/plain")
    const writer = handle.writable({ lingerMs: 0, maxBatchBytes: 1 }).getWriter()
    const chunks = ["a\ud83d", "\ude00b", "\ud83d", "", "\ude00", new TextEncoder().encode("d")]
    for (const chunk of chunks) await writer.write(chunk)
    await writer.close()
    expect(await contentOf(handle)).toBe("a😀b😀d")
  })

  it("rejects half of a character that no other half follows", async () => {
    for (const after of [["b"], [new TextEncoder().encode("b")], []]) {
      const handle = await createStream("text/plain")
      const writer = handle.writable().getWriter()
      writer.closed.catch(() => undefined)
      await writer.write("a\ud83d")
      const writes = after.map((chunk) => rejection(writer.write(chunk)))
      const errors = [...(await Promise.all(writes)), await rejection(writer.close())]
      expect(errors[0]).toMatchObject({ code: "BAD_REQUEST" })
      expect(errors[0]?.message).toContain("half of a character")
      expect(await handle.head()).toMatchObject({ streamClosed: false })
    }
  })

  it("stores each chunk once, whatever the network does", async () => {
    await using proxy = await startBreakingProxy(server.url)
    const { url } = await createStream("application/json")
    const handle = new DurableStream({ url: proxy.through(url), backoffOptions })
    let count = 0
    proxy.decide = () => {
      const faults = [
        { kind: "pass" },
        { kind: "lose-response", how: "reset" },
        { kind: "respond", status: 503 },
        { kind: "lose-request", how: "reset" },
        { kind: "respond", status: 502 },
      ] as const
      return faults[count++ % faults.length] ?? { kind: "pass" }
    }
    const writer = handle.writable({ lingerMs: 0, maxBatchBytes: 20 }).getWriter()
    for (let index = 0; index < 30; index++) await writer.write(String(index))
    await writer.close()
    const messages = Array.from({ length: 30 }, (_, index) => index)
    expect(JSON.parse(await contentOf(new DurableStream({ url })))).toEqual(messages)
    expect(await DurableStream.head({ url })).toMatchObject({ streamClosed: true })
  })

  it("leaves the stream open when it is aborted, and does not send what is left", async () => {
    const handle = await createStream("text/plain")
    const writer = handle.writable({ lingerMs: 60_000 }).getWriter()
    await writer.write("never sent")
    await writer.abort("changed my mind")
    expect(await rejection(writer.write("more"))).toBe("changed my mind")
    expect(await handle.head()).toMatchObject({ streamClosed: false })
    expect(await contentOf(handle)).toBe("")
  })

  it("rejects a chunk that is no message, and everything after it", async () => {
    const handle = await createStream("application/json")
    const writer = handle.writable().getWriter()
    writer.closed.catch(() => undefined)
    expect(await rejection(writer.write("{bad"))).toMatchObject({ code: "PARSE_ERROR" })
    expect(await rejection(writer.write("1"))).toMatchObject({ code: "PARSE_ERROR" })
    expect(await rejection(writer.close())).toBeInstanceOf(Error)
    expect(await handle.head()).toMatchObject({ streamClosed: false })
  })

  it("fails with what the server refuses, and tells onError", async () => {
    const { fetch } = scriptedFetch([makeResponse(403)])
    const onError = vi.fn()
    const handle = new DurableStream({
      url: "http://server.test/s",
      contentType: "text/plain",
      fetch,
    })
    const writer = handle.writable({ lingerMs: 0, onError }).getWriter()
    await writer.write("taken")
    const failure = await rejection(writer.closed)
    expect(failure).toMatchObject({ code: "FORBIDDEN", status: 403 })
    expect(await rejection(writer.write("more"))).toBe(failure)
    expect(onError).toHaveBeenCalledExactlyOnceWith(failure)
  })

  it("rejects the close where the stream was closed by somebody else", async () => {
    const handle = await createStream("text/plain")
    const { finalOffset } = await handle.close()
    const writer = handle.writable({ lingerMs: 60_000 }).getWriter()
    writer.closed.catch(() => undefined)
    await writer.write("too late")
    const error = await rejection(writer.close())
    expect(error).toMatchObject({ code: "STREAM_CLOSED", finalOffset })
  })

  it("holds writes back while too much is not acknowledged", async () => {
    const { fetch, calls } = scriptedFetch(["hang"])
    const controller = new AbortController()
    const handle = new DurableStream({
      url: "http://server.test/s",
      contentType: "text/plain",
      fetch,
      signal: controller.signal,
    })
    const writer = handle.writable({ lingerMs: 0, highWaterMarkBytes: 100 }).getWriter()
    const closed = rejection(writer.closed)
    await writer.write("x".repeat(50))
    const held = rejection(writer.write("x".repeat(60)))
    await expect.poll(() => calls.length).toBeGreaterThan(0)
    expect(writer.desiredSize).toBe(0)
    controller.abort("over")
    expect(await held).toMatchObject({ code: "ABORTED", cause: "over" })
    expect(await closed).toMatchObject({ code: "ABORTED" })
  })

  it("waits for room where a chunk would exceed maxBufferedBytes, rather than fail", async () => {
    const handle = await createStream("text/plain")
    const writer = handle.writable({ maxBufferedBytes: 100 }).getWriter()
    const chunks = [40, 64, 1, 99, 100, 30].map((length) => "x".repeat(length))
    for (const chunk of chunks) await writer.write(chunk)
    await writer.close()
    expect(await contentOf(handle)).toBe(chunks.join(""))
  })

  it("rejects a chunk that is larger than maxBufferedBytes", async () => {
    const { fetch } = scriptedFetch([makeResponse(200, { "stream-next-offset": "1" })])
    const url = "http://server.test/s"
    const handle = new DurableStream({ url, contentType: "text/plain", fetch })
    const writer = handle.writable({ maxBufferedBytes: 10 }).getWriter()
    writer.closed.catch(() => undefined)
    const error = await rejection(writer.write("x".repeat(11)))
    expect(error).toMatchObject({ code: "BUFFER_FULL" })
    expect(error.message).toContain("larger than maxBufferedBytes (10)")
  })

  it("is aborted at once, also while a write waits for a server that does not respond", async () => {
    const { fetch, calls } = scriptedFetch(["hang"])
    const onError = vi.fn()
    const url = "http://server.test/s"
    const handle = new DurableStream({ url, contentType: "text/plain", fetch })
    const writer = handle.writable({ lingerMs: 0, highWaterMarkBytes: 1, onError }).getWriter()
    const closed = rejection(writer.closed)
    const held = rejection(writer.write("held"))
    await expect.poll(() => calls.length).toBe(1)
    await writer.abort("over")
    expect(await held).toMatchObject({ code: "ABORTED", cause: "over" })
    expect(await closed).toBe("over")
    expect(onError).toHaveBeenCalledOnce()
  })

  it("carries the handle's and its own settings, and claims its epoch", async () => {
    const { fetch, calls } = scriptedFetch([
      makeResponse(403, { "producer-epoch": "4" }),
      makeResponse(200, { "producer-epoch": "5", "producer-seq": "0", "stream-next-offset": "1" }),
    ])
    const handle = new DurableStream({
      url: "http://server.test/s?from=url",
      contentType: "text/plain",
      fetch,
      headers: { a: "handle", b: "handle" },
      params: { p: "1" },
    })
    const writer = handle
      .writable({ producerId: "me", epoch: 0, headers: { b: "call" } })
      .getWriter()
    await writer.write("x")
    await writer.close()
    expect(calls[0]?.url).toBe("http://server.test/s?from=url&p=1")
    expect(calls[0]?.headers).toMatchObject({ a: "handle", b: "call", "Producer-Id": "me" })
    expect(calls[1]?.headers).toMatchObject({ "Producer-Epoch": "5", "Producer-Seq": "0" })
    expect(calls.at(-1)?.headers).toMatchObject({ "Stream-Closed": "true" })
  })

  it.each([{ producerId: "" }, { lingerMs: -1 }, { maxBatchBytes: 0 }, { signal: {} }])(
    "refuses the options %o",
    (options) => {
      const handle = new DurableStream({ url: "http://server.test/s" })
      // Options that the types forbid.
      expect(() => handle.writable(options as object)).toThrow(
        expect.objectContaining({ code: "BAD_REQUEST" }),
      )
    },
  )
})
