import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { DurableStream } from "../../src/durable-stream.ts"
import { StreamClosedError } from "../../src/errors/stream-closed-error.ts"
import { startBreakingProxy } from "../support/breaking-proxy.ts"
import { fallSilent, respond, startMisbehavingServer } from "../support/misbehaving-server.ts"
import { startReferenceServer, type ReferenceServer } from "../support/reference-server.ts"
import { rejection } from "../support/rejection.ts"
import { makeResponse, scriptedFetch } from "../support/scripted-fetch.ts"

let server: ReferenceServer
beforeAll(async () => {
  server = await startReferenceServer()
})
afterAll(() => server.stop())

const backoffOptions = { initialDelay: 1, maxDelay: 2 }
const closed = { "stream-closed": "true", "stream-next-offset": "9" }

async function contentOf(url: string): Promise<string> {
  return (await fetch(`${url}?offset=-1`)).text()
}

describe("close", () => {
  it("closes after everything that was appended before", async () => {
    const url = server.streamUrl()
    const handle = await DurableStream.create({ url, contentType: "application/json" })
    const appends = [1, 2, 3].map((value) => handle.append(value))
    const closing = handle.close({ body: { last: true } })
    const late = rejection(handle.append(4))
    await Promise.all(appends)
    const { finalOffset } = await closing
    expect(await contentOf(url)).toBe('[1,2,3,{"last":true}]')
    expect(await handle.head()).toMatchObject({ streamClosed: true, offset: finalOffset })
    expect(await late).toBeInstanceOf(StreamClosedError)
  })

  it("can be repeated: the final offset stays the same", async () => {
    const url = server.streamUrl()
    const handle = await DurableStream.create({ url, contentType: "text/plain", body: "x" })
    const first = await handle.close()
    expect(await handle.close()).toEqual(first)
    expect(await new DurableStream({ url }).close()).toEqual(first)
    expect(first.finalOffset).not.toBe("")
  })

  it("with a body on a closed stream says that the body was not stored", async () => {
    const url = server.streamUrl()
    const handle = await DurableStream.create({ url, contentType: "text/plain", body: "x" })
    const { finalOffset } = await handle.close()
    const error = await rejection(handle.close({ body: "more" }))
    expect(error).toBeInstanceOf(StreamClosedError)
    expect(error).toMatchObject({ finalOffset })
    expect(await contentOf(url)).toBe("x")
  })

  it("stores a last array as one message", async () => {
    const url = server.streamUrl()
    const handle = await DurableStream.create({ url, contentType: "application/json" })
    await handle.close({ body: [1, 2] })
    expect(await contentOf(url)).toBe("[[1,2]]")
  })

  it("refuses a last message that is none, and leaves the stream open", async () => {
    const url = server.streamUrl()
    const handle = await DurableStream.create({ url, contentType: "application/json" })
    expect(await rejection(handle.close({ body: "{bad" }))).toMatchObject({ code: "PARSE_ERROR" })
    expect(await rejection(handle.close({ body: 1, contentType: "" }))).toMatchObject({
      code: "BAD_REQUEST",
    })
    expect(await handle.head()).toMatchObject({ streamClosed: false })
  })

  it("survives lost responses, with and without a body, and stores the body once", async () => {
    await using proxy = await startBreakingProxy(server.url)
    for (const body of [undefined, "last"]) {
      const url = server.streamUrl()
      await DurableStream.create({ url, contentType: "text/plain", body: "first," })
      const handle = new DurableStream({ url: proxy.through(url), backoffOptions })
      handle.contentType = "text/plain"
      proxy.next({ kind: "lose-response", how: "reset" }, { kind: "respond", status: 502 })
      const { finalOffset } = await handle.close(body === undefined ? {} : { body })
      expect(await handle.head()).toMatchObject({ streamClosed: true, offset: finalOffset })
      expect(await contentOf(url)).toBe(`first,${body ?? ""}`)
    }
  })

  it("is tried again whatever fails", async () => {
    const { fetch, calls } = scriptedFetch([
      new TypeError("fetch failed"),
      "hang",
      makeResponse(504),
      makeResponse(204, closed),
    ])
    const handle = new DurableStream({
      url: "http://server.test/s",
      fetch,
      backoffOptions,
      requestTimeoutMs: 20,
    })
    expect(await handle.close()).toEqual({ finalOffset: "9" })
    expect(calls).toHaveLength(4)
    for (const { init, headers } of calls) {
      expect(headers).toEqual({ "Stream-Closed": "true" })
      expect(init.body).toBeUndefined()
    }
  })

  it("takes 'closed already' for success, and asks where the offset is not said", async () => {
    await using misbehaving = await startMisbehavingServer(
      respond(409, closed),
      respond(204),
      respond(200, closed),
      respond(204),
      respond(500),
    )
    const handle = new DurableStream({
      url: misbehaving.url,
      backoffOptions: { maxRetries: 0 },
    })
    expect(await handle.close()).toEqual({ finalOffset: "9" })
    expect(await handle.close()).toEqual({ finalOffset: "9" })
    expect(await handle.close()).toEqual({ finalOffset: "" })
    expect(misbehaving.requests.map(({ method }) => method)).toEqual([
      "POST",
      "POST",
      "HEAD",
      "POST",
      "HEAD",
    ])
  })

  it("rejects for a missing stream, and ends with its signal", async () => {
    const missing = new DurableStream({ url: server.streamUrl() })
    expect(await rejection(missing.close())).toMatchObject({ code: "NOT_FOUND" })
    await using misbehaving = await startMisbehavingServer(fallSilent())
    const controller = new AbortController()
    const handle = new DurableStream({ url: misbehaving.url })
    const call = rejection(handle.close({ signal: controller.signal }))
    await misbehaving.whenRequested(1)
    controller.abort("why")
    expect(await call).toMatchObject({ code: "ABORTED", cause: "why" })
  })
})
