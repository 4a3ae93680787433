import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { DurableStream } from "../../src/durable-stream.ts"
import { startBreakingProxy } from "../support/breaking-proxy.ts"
import { fallSilent, respond, startMisbehavingServer } from "../support/misbehaving-server.ts"
import { startReferenceServer, type ReferenceServer } from "../support/reference-server.ts"
import { rejection } from "../support/rejection.ts"

let server: ReferenceServer
beforeAll(async () => {
  server = await startReferenceServer()
})
afterAll(() => server.stop())

const backoffOptions = { initialDelay: 1, maxDelay: 2 }

describe("head", () => {
  it("tells what the server tells", async () => {
    await using misbehaving = await startMisbehavingServer(
      respond(200, {
        "content-type": "text/plain",
        "stream-next-offset": "7",
        etag: '"e"',
        "cache-control": "no-store",
        "stream-ttl": "60",
        "stream-expires-at": "2999-01-01T00:00:00Z",
        "stream-closed": "TRUE",
      }),
      respond(200, { "stream-closed": "false", "stream-ttl": "soon" }),
    )
    const handle = new DurableStream({ url: misbehaving.url })
    expect(await handle.head()).toEqual({
      exists: true,
      contentType: "text/plain",
      offset: "7",
      etag: '"e"',
      cacheControl: "no-store",
      ttlSeconds: 60,
      expiresAt: "2999-01-01T00:00:00Z",
      streamClosed: true,
    })
    expect(handle.contentType).toBe("text/plain")
    expect(await handle.head()).toEqual({ exists: true, streamClosed: false })
    expect(misbehaving.requests.map(({ method }) => method)).toEqual(["HEAD", "HEAD"])
  })

  it("says of a missing stream that there is none, and of anything else what it is", async () => {
    const url = server.streamUrl()
    expect(await DurableStream.head({ url })).toEqual({ exists: false })
    expect(await new DurableStream({ url }).head()).toEqual({ exists: false })
    await using misbehaving = await startMisbehavingServer(
      respond(410),
      respond(401),
      respond(400),
      respond(503),
    )
    const handle = new DurableStream({ url: misbehaving.url, backoffOptions: { maxRetries: 0 } })
    expect(await rejection(handle.head())).toMatchObject({ code: "GONE", status: 410 })
    expect(await rejection(handle.head())).toMatchObject({ code: "UNAUTHORIZED" })
    expect(await rejection(handle.head())).toMatchObject({ code: "BAD_REQUEST" })
    expect(await rejection(handle.head())).toMatchObject({ code: "BUSY" })
  })

  it("waits for no body, and is tried again", async () => {
    // fetch gives responses to HEAD no body; an intermediate layer may.
    let attempts = 0
    const handle = new DurableStream({
      url: "http://server.test/s",
      backoffOptions,
      fetch: async () => {
        if (++attempts < 3) return new Response("busy", { status: 503 })
        return new Response(new ReadableStream(), { headers: { "content-type": "text/plain" } })
      },
    })
    expect(await handle.head()).toMatchObject({ exists: true, contentType: "text/plain" })
    expect(attempts).toBe(3)
  })

  it("ends with its signal", async () => {
    await using misbehaving = await startMisbehavingServer(fallSilent())
    const controller = new AbortController()
    const handle = new DurableStream({ url: misbehaving.url })
    const call = rejection(handle.head({ signal: controller.signal }))
    await misbehaving.whenRequested(1)
    controller.abort("why")
    expect(await call).toMatchObject({ code: "ABORTED", cause: "why" })
  })
})

describe("connect", () => {
  it("gives a handle whose content type is known", async () => {
    const url = server.streamUrl()
    await DurableStream.create({ url, contentType: "application/json" })
    const handle = await DurableStream.connect({ url })
    expect(handle.contentType).toBe("application/json")
    expect(handle.url).toBe(url)
  })

  it("rejects where there is no stream", async () => {
    const url = server.streamUrl()
    const error = await rejection(DurableStream.connect({ url: `${url}?token=secret` }))
    expect(error).toMatchObject({ code: "NOT_FOUND", status: 404 })
    expect(error.message).toContain(url)
    expect(error.message).not.toContain("secret")
    // Connecting must not create it either.
    expect(await DurableStream.head({ url })).toEqual({ exists: false })
  })

  it("passes every other refusal on", async () => {
    await using misbehaving = await startMisbehavingServer(respond(403))
    expect(await rejection(DurableStream.connect({ url: misbehaving.url }))).toMatchObject({
      code: "FORBIDDEN",
      status: 403,
    })
  })
})

describe("delete", () => {
  it("deletes, and says where there was nothing", async () => {
    const url = server.streamUrl()
    const handle = await DurableStream.create({ url })
    await handle.delete()
    expect(await handle.head()).toEqual({ exists: false })
    expect(await rejection(handle.delete())).toMatchObject({ code: "NOT_FOUND", status: 404 })
    await DurableStream.create({ url })
    await DurableStream.delete({ url })
    expect(await handle.head()).toEqual({ exists: false })
  })

  it("says GONE of a stream that its forks keep", async () => {
    const handle = await DurableStream.create({ url: server.streamUrl(), body: "x" })
    await handle.fork({ url: server.streamUrl() })
    await handle.delete()
    expect(await rejection(handle.delete())).toMatchObject({ code: "GONE", status: 410 })
  })

  it("has happened where the response was lost and the stream is gone", async () => {
    await using proxy = await startBreakingProxy(server.url)
    const { url } = await DurableStream.create({ url: server.streamUrl() })
    const handle = new DurableStream({ url: proxy.through(url), backoffOptions })
    proxy.next({ kind: "lose-response", how: "reset" })
    await handle.delete()
    expect(proxy.requests).toHaveLength(2)
    proxy.next({ kind: "respond", status: 503 })
    expect(await rejection(handle.delete())).toMatchObject({ code: "NOT_FOUND" })
  })
})
