import { reactive, ref } from "@vue/reactivity"
import { proxy } from "valtio/vanilla"
import { afterEach, describe, expect, it, vi } from "vitest"
import { DurableStream } from "../../src/durable-stream.ts"
import { InvalidSignalError } from "../../src/errors/invalid-signal-error.ts"
import { MissingStreamUrlError } from "../../src/errors/missing-stream-url-error.ts"
import { stream } from "../../src/stream.ts"
import { rejection } from "../support/rejection.ts"
import { makeResponse, scriptedFetch } from "../support/scripted-fetch.ts"

afterEach(() => vi.restoreAllMocks())

const url = "http://server.test/s"

/** Options that the types forbid. */
function make(options: unknown): DurableStream {
  return new DurableStream(options as { url: string })
}

function thrownBy(options: unknown): Error & { code?: string } {
  try {
    make(options)
  } catch (error) {
    return error as Error
  }
  throw new Error("Made a handle, but was to throw")
}

/** Every kind of request that a handle makes. */
async function makeEveryRequest(handle: DurableStream): Promise<void> {
  await handle.create()
  await handle.head()
  await handle.append("x")
  await handle.append("x", { seq: "1" })
  await handle.appendStream(new Blob(["x"]).stream())
  await handle.fork({ url: "/fork" })
  const writer = handle.writable().getWriter()
  await writer.write("x")
  await writer.close()
  await (await handle.stream({ live: false })).text()
  await handle.close()
  await handle.delete()
}

const everyMethod = ["PUT", "HEAD", "POST", "POST", "POST", "HEAD", "PUT", "POST", "POST", "GET"]
const everything = [...everyMethod, "POST", "DELETE"]

function anyResponse(init: RequestInit): Response {
  const headers = {
    "content-type": "text/plain",
    "stream-next-offset": "1",
    "stream-up-to-date": "true",
    "stream-closed": "true",
    "producer-epoch": "0",
    "producer-seq": "0",
  }
  return init.method === "GET" ? makeResponse(200, headers, "x") : makeResponse(200, headers)
}

describe("new DurableStream", () => {
  it("makes no request, and needs no stream", () => {
    const { fetch, calls } = scriptedFetch([makeResponse(500)])
    const handle = new DurableStream({ url: `${url}?a=b`, fetch, contentType: "text/plain" })
    expect(handle.url).toBe(`${url}?a=b`)
    expect(handle.contentType).toBe("text/plain")
    expect(new DurableStream({ url: new URL(url) }).url).toBe(url)
    expect(new DurableStream({ url }).contentType).toBeUndefined()
    expect(calls).toEqual([])
  })

  it("keeps its content type in a plain field, which a subclass can set", async () => {
    class Notes extends DurableStream {
      override contentType = "text/markdown"
    }
    const { fetch, calls } = scriptedFetch([makeResponse(204)])
    const notes = new Notes({ url, fetch })
    await notes.append("# a")
    notes.contentType = "text/css"
    await notes.append("a {}")
    expect(calls.map(({ headers }) => headers["content-type"])).toEqual([
      "text/markdown",
      "text/css",
    ])
    expect(Object.keys(new DurableStream({ url, contentType: "a/b" }))).toContain("contentType")
  })

  it("is left alone by libraries that put a proxy around a program's objects", async () => {
    const { fetch, calls } = scriptedFetch([makeResponse(204)])
    const handle = new DurableStream({ url, fetch, contentType: "text/plain" })
    expect(Object.prototype.toString.call(handle)).toBe("[object DurableStream]")
    await reactive(handle).append("a")
    await reactive({ handle }).handle.append("b")
    await ref(handle).value.append("c")
    await proxy({ handle }).handle.append("d")
    expect(calls.map(({ init }) => init.body)).toEqual(["a", "b", "c", "d"])
  })

  it("does not warn of plain http in a browser unless it reads", async () => {
    const warn = vi.spyOn(console, "warn").mockReturnValue()
    vi.stubGlobal("window", globalThis)
    vi.stubGlobal("document", { baseURI: "http://page.test/" })
    const { fetch } = scriptedFetch([makeResponse(204)])
    const handle = new DurableStream({ url, fetch, contentType: "text/plain" })
    await handle.append("a")
    await handle.close()
    vi.unstubAllGlobals()
    expect(warn).not.toHaveBeenCalled()
  })

  it.each([undefined, {}, { url: undefined }, { url: null }, { url: "" }, { url: "  " }])(
    "wants a url: %o",
    (options) => {
      expect(thrownBy(options)).toBeInstanceOf(MissingStreamUrlError)
      expect(thrownBy(options)).toMatchObject({ code: "BAD_REQUEST" })
    },
  )

  it.each([{}, null, "signal", { aborted: true }, new AbortController()])(
    "wants a signal that is one: %o",
    (signal) => {
      expect(thrownBy({ url, signal })).toBeInstanceOf(InvalidSignalError)
    },
  )

  it.each([
    [{ url: 7 }, "url"],
    [{ headers: { "x y": "1" } }, "x y"],
    [{ headers: { "": "1" } }, "header name"],
    [{ headers: { x: 1 } }, "header x"],
    [{ headers: { x: null } }, "header x"],
    [{ headers: { x: "secret\nvalue" } }, "header x"],
    [{ headers: { x: "secret 😀" } }, "header x"],
    [{ headers: null }, "headers"],
    [{ params: { offset: "secret" } }, "offset"],
    [{ params: { live: "secret" } }, "live"],
    [{ params: { cursor: "secret" } }, "cursor"],
    [{ params: { p: 1 } }, "param p"],
    [{ params: new URLSearchParams("p=secret") }, "params"],
    [{ fetch: "fetch" }, "fetch"],
    [{ contentType: 1 }, "contentType"],
    [{ contentType: " " }, "contentType"],
    [
      { contentType: "json" },
      'contentType must be a media type such as "application/json", not "json"',
    ],
    [{ batching: "no" }, "batching"],
    [{ warnOnHttp: 1 }, "warnOnHttp"],
    [{ onError: {} }, "onError"],
    [{ requestTimeoutMs: 0 }, "requestTimeoutMs"],
    [{ requestTimeoutMs: "60" }, "requestTimeoutMs"],
    [{ requestTimeoutMs: Number.NaN }, "requestTimeoutMs"],
    [{ backoffOptions: { initialDelay: -1 } }, "initialDelay"],
    [{ backoffOptions: { multiplier: 0.5 } }, "multiplier"],
    [{ backoffOptions: { maxRetries: -1 } }, "maxRetries"],
    [{ backoffOptions: { maxRetries: 1.5 } }, "maxRetries"],
  ])("refuses %o and says which option", (options, named) => {
    const error = thrownBy({ url, ...options })
    expect(error).toMatchObject({ name: "DurableStreamError", code: "BAD_REQUEST" })
    expect(error.message).toContain(named)
    expect(error.message).not.toContain("secret")
  })

  it.each(["/relative", "not a url", "ftp://server.test/s", "http://user:secret@server.test/s"])(
    "keeps a malformed url, and the first request rejects it without I/O: %s",
    async (malformed) => {
      const { fetch, calls } = scriptedFetch([makeResponse(200)])
      const handle = new DurableStream({ url: malformed, contentType: "text/plain", fetch })
      expect(handle.url).toBe(malformed)
      for (const request of [
        () => handle.append("x"),
        () => handle.head(),
        () => handle.create(),
        () => handle.stream(),
        () => stream({ url: malformed, fetch }),
      ]) {
        const error = await rejection(request())
        expect(error).toMatchObject({ code: "BAD_REQUEST" })
        expect(error.message).toContain("absolute URL")
        expect(error.message).not.toContain("secret")
      }
      expect(calls).toEqual([])
    },
  )

  it("rejects, and does not throw, from the static methods", async () => {
    for (const call of [
      () => DurableStream.create({ url: "" }),
      () => DurableStream.connect({ url: "" }),
      () => DurableStream.head({ url: "" }),
      () => DurableStream.delete({ url: "" }),
    ]) {
      expect(await rejection(call())).toBeInstanceOf(MissingStreamUrlError)
    }
  })
})

describe("a handle's settings", () => {
  it("reach every request: headers, params, fetch", async () => {
    const { fetch, calls } = scriptedFetch([({ init }) => anyResponse(init)])
    const tokens: number[] = []
    const handle = new DurableStream({
      url: `${url}?sig=a%2Fb`,
      contentType: "text/plain",
      fetch,
      headers: {
        "x-fixed": "1",
        authorization: () => Promise.resolve(`token ${tokens.push(tokens.length)}`),
      },
      params: { tenant: "t", now: () => String(tokens.length), absent: undefined },
    })
    await makeEveryRequest(handle)
    expect(calls.map(({ init }) => init.method)).toEqual(everything)
    for (const [index, { headers, url: sent }] of calls.entries()) {
      expect(headers).toMatchObject({ "x-fixed": "1", authorization: `token ${index + 1}` })
      expect(new URL(sent).searchParams.get("tenant")).toBe("t")
      expect(new URL(sent).searchParams.get("now")).toMatch(/^\d+$/)
      expect(sent).not.toContain("absent")
      if (!sent.includes("/fork")) expect(sent.startsWith(`${url}?sig=a%2Fb&`)).toBe(true)
    }
  })

  it("reach every request: the options of fetch, under those of a call", async () => {
    const { fetch, calls } = scriptedFetch([({ init }) => anyResponse(init)])
    const fetchOptions = { credentials: "include", cache: "no-store" } as const
    const handle = new DurableStream({ url, contentType: "text/plain", fetch, fetchOptions })
    await makeEveryRequest(handle)
    await (await stream({ url, fetch, fetchOptions, live: false })).text()
    expect(calls.map(({ init }) => init.method)).toEqual([...everything, "GET"])
    for (const { init } of calls) expect(init).toMatchObject(fetchOptions)
    const call = { fetchOptions: { cache: "reload" }, live: false } as const
    await (await handle.stream(call)).text()
    expect(calls.at(-1)?.init).toMatchObject({ credentials: "include", cache: "reload" })
  })

  it("reach every request: the signal", async () => {
    const controller = new AbortController()
    const { fetch, calls } = scriptedFetch(["hang"])
    const handle = new DurableStream({
      url,
      contentType: "text/plain",
      fetch,
      signal: controller.signal,
    })
    const writer = handle.writable({ lingerMs: 0 }).getWriter()
    void writer.write("x")
    const waiting = [
      handle.create(),
      handle.head(),
      handle.append("x"),
      handle.appendStream(new Blob(["x"]).stream()),
      handle.fork({ url: "/fork" }),
      handle.stream(),
      handle.close(),
      handle.delete(),
      writer.closed,
    ].map((call) => rejection(call))
    await expect.poll(() => calls.length).toBe(8)
    controller.abort("over")
    for (const call of waiting) {
      expect(await call).toMatchObject({ code: "ABORTED", cause: "over" })
    }
    for (const { init } of calls) expect(init.signal?.aborted).toBe(true)
  })

  it("reach every request: backoff", async () => {
    const onFailedAttempt = vi.fn()
    const { fetch, calls } = scriptedFetch([makeResponse(503)])
    const handle = new DurableStream({
      url,
      contentType: "text/plain",
      fetch,
      backoffOptions: { initialDelay: 1, maxDelay: 1, maxRetries: 2, onFailedAttempt },
    })
    for (const call of [
      () => handle.create(),
      () => handle.head(),
      () => handle.append("x"),
      () => handle.fork({ url: "/fork" }),
      () => handle.stream(),
      () => handle.close(),
      () => handle.delete(),
    ]) {
      const before = calls.length
      expect(await rejection(call())).toMatchObject({ code: "BUSY" })
      expect(calls.length - before).toBe(3)
    }
    expect(onFailedAttempt).toHaveBeenCalledTimes(calls.length)
  })

  it("reach every request: the timeout", async () => {
    const { fetch } = scriptedFetch(["hang"], { ignoresAbort: true })
    const handle = new DurableStream({
      url,
      contentType: "text/plain",
      fetch,
      requestTimeoutMs: 5,
      backoffOptions: { maxRetries: 0 },
    })
    const calls = [
      handle.create(),
      handle.head(),
      handle.append("x"),
      handle.fork({ url: "/fork" }),
      handle.close(),
      handle.delete(),
    ].map((call) => rejection(call))
    for (const call of calls) {
      expect(await call).toMatchObject({ code: "TIMEOUT", status: 0 })
    }
  })

  it("is read anew for every request where it is a function, and what it throws is passed on", async () => {
    const failure = new Error("no token")
    const { fetch, calls } = scriptedFetch([makeResponse(204)])
    const handle = new DurableStream({
      url,
      contentType: "text/plain",
      fetch,
      headers: {
        a: () => Promise.reject(failure),
        b: () => {
          throw failure
        },
      },
    })
    expect(await rejection(handle.append("x"))).toBe(failure)
    expect(await rejection(handle.head())).toBe(failure)
    const wrong = new DurableStream({
      url,
      contentType: "text/plain",
      fetch,
      // A value that the types forbid.
      headers: { token: () => 7 as unknown as string },
    })
    expect(await rejection(wrong.append("x"))).toMatchObject({ code: "BAD_REQUEST" })
    expect(calls).toEqual([])
  })

  it("leaves the platform's fetch to be replaced later", async () => {
    const handle = new DurableStream({ url, contentType: "text/plain" })
    const { fetch, calls } = scriptedFetch([makeResponse(204)])
    vi.spyOn(globalThis, "fetch").mockImplementation(fetch)
    await handle.append("x")
    expect(calls).toHaveLength(1)
  })

  it("gives fetch a string, a plain object of headers, and the protocol's spelling", async () => {
    const { fetch, calls } = scriptedFetch([({ init }) => anyResponse(init)])
    const handle = new DurableStream({ url, fetch, headers: { "Content-Type": "text/plain" } })
    await handle.create({ ttlSeconds: 60, closed: true, body: "x" })
    await handle.append("x", { seq: "1" })
    for (const { init } of calls) {
      expect(Object.getPrototypeOf(init.headers)).toBe(Object.prototype)
      expect(init.signal).toBeInstanceOf(AbortSignal)
    }
    expect(calls[0]?.headers).toEqual({
      "content-type": "text/plain",
      "Stream-TTL": "60",
      "Stream-Closed": "true",
    })
    expect(calls[1]?.headers).toEqual({ "content-type": "text/plain", "Stream-Seq": "1" })
    expect(calls[1]?.init.body).toBe("x")
  })
})
