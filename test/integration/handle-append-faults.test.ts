import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { DurableStream } from "../../src/durable-stream.ts"
import type { DurableStreamOptions } from "../../src/durable-stream-options.ts"
import { FetchError } from "../../src/errors/fetch-error.ts"
import { startBreakingProxy } from "../support/breaking-proxy.ts"
import { breakOff, respond, startMisbehavingServer } from "../support/misbehaving-server.ts"
import { startReferenceServer, type ReferenceServer } from "../support/reference-server.ts"
import { rejection } from "../support/rejection.ts"
import { makeResponse, scriptedFetch } from "../support/scripted-fetch.ts"

let server: ReferenceServer
beforeAll(async () => {
  server = await startReferenceServer()
})
afterAll(() => server.stop())

const stored = respond(204, { "stream-next-offset": "1" })

function textHandle(url: string, options: Partial<DurableStreamOptions> = {}): DurableStream {
  return new DurableStream({
    url,
    contentType: "text/plain",
    backoffOptions: { initialDelay: 1, maxDelay: 2 },
    ...options,
  })
}

describe("a plain append", () => {
  it.each([429, 500, 503])("is retried after %i: nothing was stored", async (status) => {
    await using misbehaving = await startMisbehavingServer(
      respond(status, { "retry-after": "0" }),
      respond(status),
      stored,
    )
    await textHandle(misbehaving.url).append("x")
    expect(misbehaving.requests).toHaveLength(3)
  })

  it("is sent again where no connection could be made", async () => {
    await using misbehaving = await startMisbehavingServer(stored)
    let attempts = 0
    const handle = textHandle(misbehaving.url, {
      fetch: async (url, init) => {
        // A port that nobody listens on, and then the server's.
        const refusing = await startMisbehavingServer(stored)
        await refusing.stop()
        return fetch(++attempts < 3 ? refusing.url : url, init)
      },
    })
    await handle.append("x")
    expect(attempts).toBe(3)
    expect(misbehaving.requests).toHaveLength(1)
  })

  it.each([502, 504, 520])("is in doubt after %i, and not sent again", async (status) => {
    await using misbehaving = await startMisbehavingServer(respond(status), stored)
    const error = await rejection(textHandle(misbehaving.url).append("x"))
    expect(error).toBeInstanceOf(FetchError)
    expect(error).toMatchObject({ status, indeterminate: true })
    expect(misbehaving.requests).toHaveLength(1)
  })

  it("is in doubt after a lost response, and not sent again", async () => {
    await using proxy = await startBreakingProxy(server.url)
    const url = server.streamUrl()
    await DurableStream.create({ url, contentType: "text/plain" })
    proxy.next({ kind: "lose-response", how: "reset" })
    const handle = textHandle(proxy.through(url))
    const error = await rejection(handle.append("x"))
    expect(error).toMatchObject({
      name: "FetchError",
      code: "NETWORK",
      status: 0,
      indeterminate: true,
    })
    await handle.append("y")
    expect(await (await fetch(`${url}?offset=-1`)).text()).toBe("xy")
  })

  it("is in doubt without a response in time: TIMEOUT", async () => {
    const { fetch, calls } = scriptedFetch(["hang", makeResponse(204)], { ignoresAbort: true })
    const handle = textHandle("http://server.test/s", { fetch, requestTimeoutMs: 20 })
    const appends = [rejection(handle.append("x")), handle.append("y"), handle.append("z")]
    expect(await appends[0]).toMatchObject({ code: "TIMEOUT", status: 0, indeterminate: true })
    await Promise.all(appends)
    expect(calls.map(({ init }) => init.body)).toEqual(["x", "yz"])
  })

  it.each([400, 401, 403, 404, 409, 410, 413, 501])(
    "is not stored and not sent again after %i",
    async (status) => {
      await using misbehaving = await startMisbehavingServer(respond(status))
      const error = await rejection(textHandle(misbehaving.url).append("x"))
      expect(error).toMatchObject({ status, indeterminate: false })
      expect(misbehaving.requests).toHaveLength(1)
    },
  )

  it("gives up after maxRetries, with the last response", async () => {
    await using misbehaving = await startMisbehavingServer(respond(503, {}, "busy"))
    const handle = textHandle(misbehaving.url, {
      backoffOptions: { initialDelay: 1, maxDelay: 1, maxRetries: 2 },
    })
    const error = await rejection(handle.append("x"))
    expect(error).toMatchObject({ code: "BUSY", status: 503, text: "busy", indeterminate: false })
    expect(misbehaving.requests).toHaveLength(3)
  })

  it("ends the wait for a retry with an abort", async () => {
    await using misbehaving = await startMisbehavingServer(respond(503, { "retry-after": "3000" }))
    const controller = new AbortController()
    const handle = textHandle(misbehaving.url)
    const call = rejection(handle.append("x", { signal: controller.signal }))
    await misbehaving.whenRequested(1)
    controller.abort()
    expect(await call).toMatchObject({ code: "ABORTED" })
  })

  it("resolves with no value, also if the server does not say the offset", async () => {
    await using misbehaving = await startMisbehavingServer(stored, respond(204))
    const handle = textHandle(misbehaving.url)
    expect(await handle.append("x")).toBeUndefined()
    expect(await handle.append("y")).toBeUndefined()
  })
})

describe("an append with a producer's numbers", () => {
  it("is sent again whatever fails, the same each time", async () => {
    const { fetch, calls } = scriptedFetch([
      new TypeError("fetch failed"),
      makeResponse(502),
      "hang",
      makeResponse(200, { "stream-next-offset": "1" }),
    ])
    const handle = textHandle("http://server.test/s", { fetch, requestTimeoutMs: 20 })
    const options = { producerId: "p", producerEpoch: 2, producerSeq: 3 }
    await handle.append("x", options)
    expect(calls).toHaveLength(4)
    for (const { init, headers } of calls) {
      expect(init.body).toBe("x")
      expect(headers).toEqual({
        "content-type": "text/plain",
        "Producer-Id": "p",
        "Producer-Epoch": "2",
        "Producer-Seq": "3",
      })
    }
  })
})

describe("secrets", () => {
  it("are in no error, wherever it comes from", async () => {
    await using misbehaving = await startMisbehavingServer(
      respond(404),
      respond(502),
      breakOff(),
      respond(409, { "stream-closed": "true" }),
      respond(307, { location: "/loop?token=hunter2" }),
    )
    const handle = textHandle(`${misbehaving.url}/s?token=hunter2`, {
      headers: { authorization: "Bearer hunter2" },
      params: { signature: "hunter2" },
    })
    for (let count = 0; count < 5; count++) {
      const error = await rejection(handle.append("x"))
      const fields = Object.entries(error).filter(([name]) => name !== "cause")
      const shown = JSON.stringify([fields, error.message, error.stack])
      expect(shown).not.toContain("hunter2")
      expect(error.message).toContain(`${misbehaving.url}/s`)
    }
  })
})
