import { afterAll, beforeAll, describe, expect, it, vi } from "vitest"
import { DurableStream } from "../../src/durable-stream.ts"
import type { StreamErrorHandler } from "../../src/read/stream-options.ts"
import { startReferenceServer, type ReferenceServer } from "../support/reference-server.ts"
import { rejection } from "../support/rejection.ts"
import { makeResponse, scriptedFetch } from "../support/scripted-fetch.ts"

let server: ReferenceServer
beforeAll(async () => {
  server = await startReferenceServer()
})
afterAll(() => server.stop())

const page = { "content-type": "application/json", "stream-next-offset": "1" }
const lastPage = { ...page, "stream-up-to-date": "1" }

describe("stream() of a handle", () => {
  it("reads what the handle wrote, from any offset, to the end", async () => {
    const handle = await DurableStream.create({
      url: server.streamUrl(),
      contentType: "application/json",
    })
    await handle.append({ n: 1 })
    const { offset = "" } = await handle.head()
    const response = await handle.stream<{ n: number }>({ offset })
    const items: number[] = []
    response.subscribeJson((batch) => {
      items.push(...batch.items.map(({ n }) => n))
    })
    await handle.append({ n: 2 })
    await handle.close({ body: { n: 3 } })
    await response.closed
    expect(items).toEqual([2, 3])
    expect(response.streamClosed).toBe(true)
  })

  it("rejects with NOT_FOUND where there is no stream", async () => {
    const handle = new DurableStream({ url: server.streamUrl() })
    expect(await rejection(handle.stream())).toMatchObject({ code: "NOT_FOUND", status: 404 })
  })

  it("lays the call's settings over the handle's", async () => {
    const ours = scriptedFetch([makeResponse(500)])
    const theirs = scriptedFetch([makeResponse(503), makeResponse(200, lastPage, "[]")])
    const handle = new DurableStream({
      url: "http://server.test/s?from=url",
      fetch: ours.fetch,
      headers: { a: "handle", B: "handle" },
      params: { p: "handle", q: "handle" },
      backoffOptions: { maxRetries: 0 },
    })
    const response = await handle.stream({
      fetch: theirs.fetch,
      headers: { b: "call", c: () => "call" },
      params: { q: "call", p: undefined },
      backoffOptions: { initialDelay: 1 },
      live: false,
    })
    expect(await response.json()).toEqual([])
    expect(ours.calls).toEqual([])
    expect(theirs.calls).toHaveLength(2)
    expect(theirs.calls[1]?.url).toBe("http://server.test/s?from=url&offset=-1&q=call")
    expect(theirs.calls[1]?.headers).toMatchObject({ a: "handle", b: "call", c: "call" })
    expect(theirs.calls[1]?.headers).not.toHaveProperty("B")
  })

  it("asks the handle's onError, unless the call has its own", async () => {
    const onError = vi.fn<StreamErrorHandler>(() => ({ headers: { token: "new" } }))
    const { fetch, calls } = scriptedFetch([makeResponse(401), makeResponse(200, lastPage, "[1]")])
    const handle = new DurableStream({ url: "http://server.test/s", fetch, onError })
    const response = await handle.stream({ live: false })
    expect(await response.json()).toEqual([1])
    expect(onError).toHaveBeenCalledOnce()
    expect(calls[1]?.headers).toMatchObject({ token: "new" })
    // The session's headers are not the handle's.
    await handle.head()
    expect(calls[2]?.headers).not.toHaveProperty("token")

    const own = vi.fn<StreamErrorHandler>()
    const refusing = scriptedFetch([makeResponse(401)])
    const call = handle.stream({ onError: own, fetch: refusing.fetch })
    expect(await rejection(call)).toMatchObject({ code: "UNAUTHORIZED" })
    expect(own).toHaveBeenCalledOnce()
    expect(onError).toHaveBeenCalledOnce()
  })

  it("ends with either signal", async () => {
    for (const which of ["handle", "call"]) {
      const controller = { handle: new AbortController(), call: new AbortController() }
      const { fetch, calls } = scriptedFetch([makeResponse(200, page, "[1]"), "hang"])
      const handle = new DurableStream({
        url: "http://server.test/s",
        fetch,
        signal: controller.handle.signal,
      })
      const response = await handle.stream({ signal: controller.call.signal, readAhead: 0 })
      const gathered = rejection(response.json())
      await expect.poll(() => calls.length).toBe(2)
      controller[which as "handle" | "call"].abort("over")
      expect(await gathered).toMatchObject({ code: "ABORTED", cause: "over" })
    }
  })

  it.each([
    [{ headers: { x: 1 } }, "header x"],
    [{ params: { offset: "1" } }, "offset"],
    [{ offset: "" }, "offset"],
    [{ live: "polling" }, "live"],
    [{ signal: {} }, "signal"],
    [{ backoffOptions: { maxRetries: -1 } }, "maxRetries"],
    [{ fetch: 1 }, "fetch"],
  ])("rejects the options %o", async (options, named) => {
    const handle = new DurableStream({ url: "http://server.test/s" })
    // Options that the types forbid.
    const error = await rejection(handle.stream(options as object))
    expect(error).toMatchObject({ code: "BAD_REQUEST" })
    expect(error.message).toContain(named)
  })
})
