import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest"
import { DurableStream } from "../../src/durable-stream.ts"
import { FetchError } from "../../src/errors/fetch-error.ts"
import { bareResponse } from "../support/bare-response.ts"
import { startBreakingProxy } from "../support/breaking-proxy.ts"
import { respond, startMisbehavingServer } from "../support/misbehaving-server.ts"
import { startReferenceServer, type ReferenceServer } from "../support/reference-server.ts"
import { rejection } from "../support/rejection.ts"
import { makeResponse, scriptedFetch } from "../support/scripted-fetch.ts"

let server: ReferenceServer
beforeAll(async () => {
  server = await startReferenceServer()
})
afterAll(() => server.stop())
afterEach(() => {
  vi.useRealTimers()
})

async function contentOf(url: string): Promise<string> {
  return (await fetch(`${url}?offset=-1`)).text()
}

describe("create", () => {
  it("gives a handle that knows its content type, whoever named it", async () => {
    const byOption = await DurableStream.create({
      url: server.streamUrl(),
      contentType: "application/json",
    })
    expect(byOption.contentType).toBe("application/json")
    const byHeader = await DurableStream.create({
      url: server.streamUrl(),
      headers: { "CONTENT-type": "text/plain" },
    })
    expect(byHeader.contentType).toBe("text/plain")
    expect(await byHeader.head()).toMatchObject({ contentType: "text/plain" })
    const byServer = await DurableStream.create({ url: server.streamUrl() })
    expect(byServer.contentType).toBe("application/octet-stream")
    const byFunction = await DurableStream.create({
      url: server.streamUrl(),
      headers: { "Content-Type": () => "text/markdown" },
    })
    expect(byFunction.contentType).toBe("text/markdown")
  })

  it("keeps the type that it was told, where the response's is that of the response's own body", async () => {
    const url = server.streamUrl()
    const offset = { "stream-next-offset": "0" }
    for (const headers of [
      { ...offset, "content-type": "text/html", "content-length": "7" },
      { ...offset, "content-type": "text/plain;charset=UTF-8" },
      offset,
      { ...offset, "content-type": "text/css", "content-length": "7" },
    ] as Record<string, string>[]) {
      const fetch = () => Promise.resolve(new Response("created", { status: 201, headers }))
      const handle = await DurableStream.create({ url, contentType: "application/json", fetch })
      expect(handle.contentType).toBe("application/json")
    }
    const spelled = () =>
      new Response(null, { status: 201, headers: { "content-type": "application/json;x=1" } })
    const fetch = () => Promise.resolve(spelled())
    const handle = await DurableStream.create({ url, contentType: "Application/JSON", fetch })
    expect(handle.contentType).toBe("application/json;x=1")
  })

  it("takes the type that the server keeps in place of the one it was told", async () => {
    const url = server.streamUrl()
    const handle = await DurableStream.create({ url, contentType: "image/*" })
    expect(handle.contentType).toBe("application/octet-stream")
    await handle.append("x")
    expect(await contentOf(url)).toBe("x")
  })

  it("takes it from headers that can do no more than get, too", async () => {
    const headers = { "content-type": "text/css", "stream-next-offset": "0" }
    const fetch = () => Promise.resolve(bareResponse(new Response(null, { status: 201, headers })))
    const url = "http://mock.test/s"
    const handle = await DurableStream.create({ url, contentType: "text/x", fetch })
    expect(handle.contentType).toBe("text/css")
  })

  it("succeeds again with the same configuration, and is a CONFLICT_EXISTS with another", async () => {
    const url = server.streamUrl()
    await DurableStream.create({ url, contentType: "text/plain", body: "first" })
    const again = await DurableStream.create({ url, contentType: "text/plain", body: "first" })
    expect(await contentOf(url)).toBe("first")
    expect(again.contentType).toBe("text/plain")
    const error = await rejection(DurableStream.create({ url, contentType: "application/json" }))
    expect(error).toBeInstanceOf(FetchError)
    expect(error).toMatchObject({ code: "CONFLICT_EXISTS", status: 409 })
    expect(error.message).toContain(url)
  })

  it("sends the time to live or the expiry, by option or by hand", async () => {
    const ttl = await DurableStream.create({ url: server.streamUrl(), ttlSeconds: 86_400 })
    expect(await ttl.head()).toMatchObject({ ttlSeconds: 86_400 })
    const expiresAt = new Date(Date.now() + 3_600_000).toISOString()
    const expiring = await DurableStream.create({ url: server.streamUrl(), expiresAt })
    expect(await expiring.head()).toMatchObject({ expiresAt })
    const byHand = await DurableStream.create({
      url: server.streamUrl(),
      headers: { "stream-ttl": "60" },
    })
    expect(await byHand.head()).toMatchObject({ ttlSeconds: 60 })
  })

  it.each([
    [{ ttlSeconds: 60, expiresAt: "2999-01-01T00:00:00Z" }, "exclude"],
    [{ ttlSeconds: 0 }, "ttlSeconds"],
    [{ ttlSeconds: 1.5 }, "ttlSeconds"],
    [{ ttlSeconds: -1 }, "ttlSeconds"],
    [{ ttlSeconds: Number.NaN }, "ttlSeconds"],
    [{ ttlSeconds: "60" }, "ttlSeconds"],
    [{ expiresAt: "tomorrow" }, "expiresAt"],
    [{ expiresAt: "2999-01-01" }, "expiresAt"],
    [{ expiresAt: "2999-02-30T00:00:00Z" }, "expiresAt"],
    [{ expiresAt: "2999-01-01T25:00:00Z" }, "expiresAt"],
    [{ expiresAt: new Date(32_503_680_000_000) }, "expiresAt"],
    [{ contentType: "" }, "contentType"],
    [{ contentType: "text/plain\n" + "x: y" }, "content-type"],
    [{ signal: {} }, "signal"],
    [{ body: { a: 1 }, contentType: "text/plain" }, "JSON stream"],
  ])("refuses %o before any request", async (options, named) => {
    let requests = 0
    const create = DurableStream.create({
      url: "http://localhost:1/s",
      fetch: () => {
        requests++
        return Promise.reject(new Error("no request was to be made"))
      },
      ...(options as object),
    })
    const error = await rejection(create)
    expect(error).toMatchObject({ code: "BAD_REQUEST" })
    expect(error.message).toContain(named)
    expect(requests).toBe(0)
  })

  it("is not retried if it has expired by the clock of the server, which cannot create it", async () => {
    const expiresAt = "1999-01-01T00:00:00Z"
    const seen: unknown[] = []
    const create = (status: number): Promise<DurableStream> =>
      DurableStream.create({
        url: "https://streams.test/s",
        contentType: "text/plain",
        expiresAt,
        fetch: (_url, init) => {
          seen.push((init?.headers as Record<string, string>)["Stream-Expires-At"])
          const headers = { date: "Fri, 01 Jan 1999 00:00:01 GMT" }
          return Promise.resolve(new Response(null, { status, headers }))
        },
      })
    await create(201)
    expect(await rejection(create(500))).toMatchObject({ status: 500 })
    expect(seen).toEqual([expiresAt, expiresAt])
  })

  it("stores a first body: an array on a JSON stream is its messages, anything else one", async () => {
    const cases: [body: unknown, stored: string][] = [
      [{ a: 1 }, '[{"a":1}]'],
      ['{"a":1}', '[{"a":1}]'],
      [new TextEncoder().encode('"text"'), '["text"]'],
      [[1, 2], "[1,2]"],
      ["[1,2]", "[1,2]"],
      [[[1, 2]], "[[1,2]]"],
      [[], "[]"],
      [null, "[null]"],
    ]
    for (const [body, stored] of cases) {
      const url = server.streamUrl()
      await DurableStream.create({ url, contentType: "application/json", body })
      expect(await contentOf(url)).toBe(stored)
    }
    for (const body of ["{bad", '1},{"x":2', "", () => 1]) {
      const create = DurableStream.create({
        url: server.streamUrl(),
        contentType: "application/json",
        body,
      })
      expect(await rejection(create)).toMatchObject({ code: "PARSE_ERROR" })
    }
  })

  it("sends no content type unless one is named, as 0.2.x: the same stream is not a conflict", async () => {
    for (const [body, stored] of [
      [undefined, ""],
      ["", ""],
      ["grüße", "grüße"],
      [new TextEncoder().encode("bytes"), "bytes"],
      [{ a: 1 }, '{"a":1}'],
      [new Blob(["blob"]), "blob"],
    ] as const) {
      const types: unknown[] = []
      const watched: typeof globalThis.fetch = (url, init) => {
        const request = new Request(url, init)
        types.push(request.headers.get("content-type"))
        return fetch(request)
      }
      const url = server.streamUrl()
      await fetch(url, { method: "PUT" })
      const again = await DurableStream.create({ url, body, fetch: watched })
      expect(again.contentType).toBe("application/octet-stream")
      const other = await DurableStream.create({ url: server.streamUrl(), body, fetch: watched })
      expect(await contentOf(other.url)).toBe(stored)
      expect(types).toEqual([null, null])
    }
  })

  it("stores the bytes of a Blob, with its type unless another is named", async () => {
    const blob = new Blob(["a", new Uint8Array([0xff])], { type: "text/css" })
    for (const [contentType, type] of [
      [undefined, "text/css"],
      ["image/png", "image/png"],
    ] as const) {
      const { url } = await DurableStream.create({
        url: server.streamUrl(),
        contentType,
        body: blob,
      })
      const response = await fetch(`${url}?offset=-1`)
      expect(response.headers.get("content-type")).toBe(type)
      expect(new Uint8Array(await response.arrayBuffer())).toEqual(new Uint8Array([0x61, 0xff]))
    }
    const json = { contentType: "application/json", body: new Blob(["[1,2]"]) }
    const { url } = await DurableStream.create({ url: server.streamUrl(), ...json })
    expect(await contentOf(url)).toBe("[1,2]")
  })

  it("is retried after a 503 although it has expired by this machine's clock", async () => {
    // The local clock is an hour ahead of the server's.
    vi.setSystemTime(Date.now() + 3_600_000)
    const expiresAt = new Date(Date.now() - 1_800_000).toISOString()
    const url = "https://streams.test/s"
    for (const date of [undefined, new Date(Date.now() - 3_600_000).toUTCString()]) {
      const headers = { ...(date !== undefined && { date }) }
      const { fetch, calls } = scriptedFetch([makeResponse(503, headers), makeResponse(201)])
      const backoffOptions = { initialDelay: 1, maxDelay: 1 }
      await DurableStream.create({
        url,
        contentType: "text/plain",
        expiresAt,
        fetch,
        backoffOptions,
      })
      expect(calls).toHaveLength(2)
    }
  })

  it("rejects a body with half of a character before any request", async () => {
    const { fetch, calls } = scriptedFetch([makeResponse(201)])
    const create = (options: object) =>
      DurableStream.create({ url: "http://h/s", fetch, ...options })
    for (const contentType of [undefined, "text/plain"]) {
      const error = await rejection(create({ contentType, body: "a\uD83D" }))
      expect(error).toMatchObject({ code: "BAD_REQUEST" })
      expect(error.message).toContain("half of a character")
    }
    const message = create({ contentType: "application/json", body: '"\uDE00"' })
    expect(await rejection(message)).toMatchObject({ code: "PARSE_ERROR" })
    expect(calls).toEqual([])
  })

  it("creates a stream that is closed from the start", async () => {
    const handle = await DurableStream.create({
      url: server.streamUrl(),
      contentType: "text/plain",
      body: "all there is",
      closed: true,
    })
    expect(await handle.head()).toMatchObject({ streamClosed: true })
    expect(await rejection(handle.append("more"))).toMatchObject({ code: "STREAM_CLOSED" })
  })

  it("keeps headers that are for the create alone out of every other request", async () => {
    await using misbehaving = await startMisbehavingServer(
      respond(201, { "content-type": "text/plain" }),
      respond(204, { "stream-next-offset": "1" }),
    )
    const handle = await DurableStream.create({
      url: misbehaving.url,
      headers: { "Stream-Closed": "true", "Stream-TTL": "60", "x-mine": "1" },
    })
    await handle.append("a")
    const [put, post] = misbehaving.requests
    expect(put?.headers).toMatchObject({ "stream-closed": "true", "stream-ttl": "60" })
    expect(post?.headers).toMatchObject({ "x-mine": "1" })
    expect(post?.headers).not.toHaveProperty("stream-closed")
    expect(post?.headers).not.toHaveProperty("stream-ttl")
  })

  it("creates by the handle's options with the call's over them", async () => {
    await using misbehaving = await startMisbehavingServer(
      respond(201, { "content-type": "text/plain" }),
    )
    const handle = new DurableStream({
      url: `${misbehaving.url}/s?from=url`,
      contentType: "text/css",
      headers: { a: "handle", b: "handle", "stream-ttl": "60" },
      params: { p: "handle", q: "handle" },
    })
    const same = await handle.create({
      contentType: "text/plain",
      headers: { B: "call" },
      params: { q: "call" },
      body: "x",
    })
    expect(same).toBe(handle)
    expect(handle.contentType).toBe("text/plain")
    const [put] = misbehaving.requests
    expect(put?.path).toBe("/s?from=url&p=handle&q=call")
    expect(put?.headers).toMatchObject({
      a: "handle",
      b: "call",
      "stream-ttl": "60",
      "content-type": "text/plain",
    })
    expect(put?.body.toString()).toBe("x")
  })

  it("is the same again after a lost response, with whatever options", async () => {
    await using proxy = await startBreakingProxy(server.url)
    for (const options of [
      {},
      { body: "x" },
      { contentType: "text/plain", closed: true, body: "x" },
      { contentType: "application/json", ttlSeconds: 60, body: [1] },
      { expiresAt: "2999-01-01T00:00:00+01:00" },
    ]) {
      proxy.next({ kind: "lose-response", how: "reset" })
      const url = proxy.through(server.streamUrl())
      await DurableStream.create({ url, ...options, backoffOptions: { initialDelay: 1 } })
    }
    expect(proxy.requests).toHaveLength(10)
  })

  it("is tried again whatever fails, as a repetition changes nothing", async () => {
    await using misbehaving = await startMisbehavingServer(
      (_request, response) => void response.socket?.resetAndDestroy(),
      respond(504),
      respond(503, { "retry-after": "0" }),
      respond(200, { "content-type": "text/plain" }),
    )
    await DurableStream.create({
      url: misbehaving.url,
      contentType: "text/plain",
      body: "x",
      backoffOptions: { initialDelay: 1, maxDelay: 2 },
    })
    expect(misbehaving.requests.map(({ method }) => method)).toEqual(["PUT", "PUT", "PUT", "PUT"])
    expect(misbehaving.requests.at(-1)?.body.toString()).toBe("x")
  })
})
