import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { DurableStream } from "../../src/durable-stream.ts"
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

const json = "application/json"

async function contentOf(handle: DurableStream): Promise<string> {
  return (await fetch(`${handle.url}?offset=-1`)).text()
}

async function createSource(body: unknown = [1, 2, 3]): Promise<DurableStream> {
  return DurableStream.create({ url: server.streamUrl("source"), contentType: json, body })
}

describe("fork", () => {
  it("makes a stream of its own that begins with the source's content", async () => {
    const source = await createSource()
    const fork = await source.fork({ url: server.streamUrl("fork") })
    expect(fork.contentType).toBe(json)
    await fork.append("4")
    await source.append("5")
    expect(await contentOf(fork)).toBe("[1,2,3,4]")
    expect(await contentOf(source)).toBe("[1,2,3,5]")
  })

  it("begins at an offset and so many messages past it", async () => {
    const source = await createSource([1])
    await source.append("2")
    const { offset = "" } = await source.head()
    await Promise.all([source.append("3"), source.append("4")])
    const atOffset = await source.fork({ url: server.streamUrl("fork"), offset })
    expect(await contentOf(atOffset)).toBe("[1,2]")
    const past = await source.fork({ url: server.streamUrl("fork"), offset, subOffset: 1 })
    expect(await contentOf(past)).toBe("[1,2,3]")
    const now = await source.fork({ url: server.streamUrl("fork"), offset: "now" })
    expect(await contentOf(now)).toBe("[1,2,3,4]")
  })

  it("takes a lifetime, first content of its own and a closure", async () => {
    const source = await createSource()
    const lasting = await source.fork({ url: server.streamUrl("fork"), ttlSeconds: 77 })
    expect(await lasting.head()).toMatchObject({ ttlSeconds: 77 })
    const continued = await source.fork({ url: server.streamUrl("fork"), body: { own: 1 } })
    expect(await contentOf(continued)).toBe('[1,2,3,{"own":1}]')
    const closed = await source.fork({ url: server.streamUrl("fork"), closed: true })
    expect(await closed.head()).toMatchObject({ streamClosed: true })
    const { url } = await DurableStream.create({ url: server.streamUrl(), body: "text" })
    const unknown = new DurableStream({ url })
    const fork = await unknown.fork({ url: server.streamUrl("fork"), body: " and more" })
    expect(await contentOf(fork)).toBe("text and more")
  })

  it.each([
    "http://other.test/fork",
    "https://server.test/fork",
    "http://server.test:81/fork",
    "//other.test/fork",
    "\\\\other.test\\fork",
    "/\\other.test/fork",
    " //other.test/fork",
    "/\t/other.test/fork",
    "http:\\\\other.test\\fork",
    "http:/\n/other.test/fork",
    "ftp://server.test/fork",
    "data:,fork",
    new URL("http://other.test/fork"),
    { href: "http://other.test/fork" },
  ])("rejects %j, which leads to another origin, before any request", async (url) => {
    const { fetch, calls } = scriptedFetch([makeResponse(200)])
    const headers = { authorization: "Bearer hunter2" }
    const source = new DurableStream({ url: "http://server.test/a/b?key=hunter2", headers, fetch })
    const error = await rejection(source.fork({ url: url as string }))
    expect(error).toMatchObject({ code: "BAD_REQUEST" })
    expect(error.message).toContain("another origin than http://server.test/a/b:")
    expect(error.message).not.toContain("hunter2")
    expect(calls).toEqual([])
  })

  it.each([
    ["http:fork", "http://server.test/a/fork"],
    ["../fork", "http://server.test/fork"],
    ["HTTP://server.test/fork", "HTTP://server.test/fork"],
    ["http://server.test:80/fork?a=%2f", "http://server.test:80/fork?a=%2f"],
  ])("sends %j to the source's origin", async (url, sent) => {
    const { fetch, calls } = scriptedFetch([makeResponse(201, { "stream-next-offset": "1" })])
    const source = new DurableStream({ url: "http://server.test/a/b", fetch })
    const fork = await source.fork({ url })
    expect(calls.map((call) => new URL(call.url).origin)).toEqual(
      Array(2).fill("http://server.test"),
    )
    expect(fork.url).toBe(sent)
  })

  it("takes a URL relative to the source's", async () => {
    const source = await createSource()
    const fork = await source.fork({ url: "/elsewhere/fork%201?mine=1" })
    expect(fork.url).toBe(`${server.url}/elsewhere/fork%201?mine=1`)
    expect(await fork.head()).toMatchObject({ exists: true })
    const again = await fork.fork({ url: new URL(`${server.url}/elsewhere/fork2`) })
    expect(await contentOf(again)).toBe("[1,2,3]")
  })

  it("gives a handle without fork headers, with everything else of the source's", async () => {
    await using misbehaving = await startMisbehavingServer(
      respond(200, { "content-type": json, "stream-next-offset": "7" }),
      respond(201),
      respond(204),
    )
    const source = new DurableStream({
      url: `${misbehaving.url}/so%20urce?token=t`,
      headers: { authorization: "a", "stream-ttl": "60" },
      params: { p: "source", q: "source" },
    })
    const fork = await source.fork({
      url: "/fork",
      headers: { "x-mine": "1" },
      params: { q: "fork" },
      subOffset: 0,
      ttlSeconds: 5,
    })
    await fork.append({ a: 1 })
    const [head, put, post] = misbehaving.requests
    expect(head).toMatchObject({ method: "HEAD", path: "/so%20urce?token=t&p=source&q=source" })
    expect(put).toMatchObject({ method: "PUT", path: "/fork?p=source&q=fork" })
    expect(put?.headers).toMatchObject({
      authorization: "a",
      "x-mine": "1",
      "stream-forked-from": "/so%20urce",
      "stream-fork-offset": "7",
      "stream-fork-sub-offset": "0",
      "stream-ttl": "5",
    })
    expect(put?.headers).toMatchObject({ "content-type": json })
    expect(post?.headers).toMatchObject({ authorization: "a", "x-mine": "1", "content-type": json })
    expect(Object.keys(post?.headers ?? {}).filter((name) => /fork|ttl/.test(name))).toEqual([])
  })

  it("takes an option that is undefined for one that is left out", async () => {
    const source = await createSource()
    const urls: string[] = []
    const watched: typeof fetch = (input, init) => {
      urls.push(String(input))
      return fetch(input, init)
    }
    const handle = new DurableStream({ url: source.url, fetch: watched, warnOnHttp: false })
    const given = { fetch: undefined, backoffOptions: undefined, headers: undefined }
    // What callers in JavaScript give.
    const undefinedOptions = given as object
    const fork = await handle.fork({ url: server.streamUrl("fork"), ...undefinedOptions })
    await fork.append("4")
    expect(urls).toEqual([source.url, fork.url, fork.url])
  })

  it.each([null, undefined, "", 5, {}])("wants a url: %o", async (url) => {
    const source = await createSource()
    // What callers in JavaScript give.
    const error = await rejection(source.fork({ url: url as string }))
    expect(error).toMatchObject({ code: "BAD_REQUEST" })
    expect(error.message).toContain("url")
  })

  it("inherits the lifetime of the source where it names none", async () => {
    const source = await DurableStream.create({ url: server.streamUrl(), ttlSeconds: 99 })
    const fork = await source.fork({ url: server.streamUrl("fork") })
    expect(await fork.head()).toMatchObject({ ttlSeconds: 99 })
    const expiresAt = "2999-01-01T00:00:00Z"
    const other = await source.fork({ url: server.streamUrl("fork"), expiresAt })
    expect(await other.head()).toMatchObject({ expiresAt })
    const byHand = await other.fork({
      url: server.streamUrl("fork"),
      headers: { "stream-ttl": "5" },
    })
    expect(await byHand.head()).toMatchObject({ ttlSeconds: 5 })
  })

  it("says that the source went missing meanwhile", async () => {
    await using misbehaving = await startMisbehavingServer(respond(200), respond(404))
    const source = new DurableStream({ url: misbehaving.url })
    const error = await rejection(source.fork({ url: "/fork" }))
    expect(error).toMatchObject({ code: "NOT_FOUND" })
    expect(error.message).toContain("to fork")
  })

  it("survives a lost response while the source moves on", async () => {
    await using proxy = await startBreakingProxy(server.url)
    const created = await DurableStream.create({
      url: server.streamUrl(),
      contentType: json,
      body: [1, 2, 3],
      ttlSeconds: 60,
    })
    const source = new DurableStream({
      url: proxy.through(created.url),
      backoffOptions: { initialDelay: 1 },
    })
    proxy.decide = ({ index }) => {
      if (index !== 1) return { kind: "pass" }
      return { kind: "lose-response", how: "reset" }
    }
    const forking = source.fork({ url: "/fork-after-loss" })
    await expect.poll(() => proxy.requests.length).toBeGreaterThanOrEqual(2)
    await created.append("4")
    const fork = await forking
    expect(await contentOf(fork)).toBe("[1,2,3]")
  })

  it.each<{ offset?: string; subOffset?: number }>([{ offset: "-1" }, { subOffset: 99 }])(
    "says which offsets there are if the server rejects %j",
    async (options) => {
      const source = await createSource()
      const error = await rejection(source.fork({ url: server.streamUrl("fork"), ...options }))
      expect(error).toMatchObject({ code: "BAD_REQUEST" })
      expect(error.message).toContain("-1 and now are not fork offsets")
      expect(error.message).toContain("subOffset reaches only into the entry after the fork offset")
    },
  )

  it("names what is wrong", async () => {
    const source = await createSource()
    const missing = new DurableStream({ url: server.streamUrl("missing") })
    const url = server.streamUrl("fork")
    expect(await rejection(missing.fork({ url }))).toMatchObject({ code: "NOT_FOUND" })
    const withOffset = await rejection(
      missing.fork({ url, offset: "0000000000000000_0000000000000000" }),
    )
    expect(withOffset).toMatchObject({ code: "NOT_FOUND" })
    const wrongType = source.fork({ url, contentType: "text/plain" })
    expect(await rejection(wrongType)).toMatchObject({ code: "CONFLICT_EXISTS", status: 409 })
    const taken = source.fork({ url: (await createSource()).url })
    expect(await rejection(taken)).toMatchObject({ code: "CONFLICT_EXISTS" })
    for (const [options, named] of [
      [{ url: "" }, "url"],
      [{}, "url"],
      [{ url: "http://[" }, "url"],
      [{ url, offset: "" }, "offset"],
      [{ url, offset: 7 }, "offset"],
      [{ url, subOffset: -1 }, "subOffset"],
      [{ url, subOffset: 0.5 }, "subOffset"],
      [{ url, ttlSeconds: 1, expiresAt: "2999-01-01T00:00:00Z" }, "ttlSeconds"],
      [{ url, signal: {} }, "signal"],
    ] as const) {
      // Options that the types forbid.
      const error = await rejection(source.fork(options as unknown as { url: string }))
      expect(error).toMatchObject({ code: "BAD_REQUEST" })
      expect(error.message).toContain(named)
    }
  })
})
