import { afterAll, beforeAll, describe, expect, it, vi } from "vitest"
import {
  DurableStreamError,
  InvalidSignalError,
  MissingStreamUrlError,
  stream,
  type StreamOptions,
} from "../../src/index.ts"
import { startMisbehavingServer } from "../support/misbehaving-server.ts"
import { startReferenceServer, type ReferenceServer } from "../support/reference-server.ts"
import { rejection } from "../support/rejection.ts"
import { makeResponse, scriptedFetch, type FetchOutcome } from "../support/scripted-fetch.ts"
import { runInVirtualTime } from "../support/virtual-time.ts"
import {
  consume,
  createStream,
  pageHeaders,
  quick,
  Received,
  sseControl,
  sseEvent,
} from "./reading-support.ts"

let server: ReferenceServer
beforeAll(async () => {
  server = await startReferenceServer()
})
afterAll(() => server.stop())

const pages: [FetchOutcome, ...FetchOutcome[]] = [
  makeResponse(200, pageHeaders("o/1 &?", { upToDate: false, cursor: "c 1" }), "[1]"),
  makeResponse(200, pageHeaders("o2", { cursor: "c&2" }), "[2]"),
  makeResponse(200, pageHeaders("o3", { closed: true }), "[3]"),
]

describe("what a read asks for", () => {
  it("catch-up carries neither live nor cursor; live carries both; all is encoded and sorted", async () => {
    const { fetch, calls } = scriptedFetch(pages)
    const params = { zone: "ä b", alpha: "1&2", missing: undefined }
    const response = await stream({
      ...quick,
      url: "https://s.test/a%2Fb",
      fetch,
      params,
      live: "long-poll",
    })
    await consume(response, "jsonBatches")
    expect(calls.map(({ url }) => url)).toEqual([
      "https://s.test/a%2Fb?alpha=1%262&offset=-1&zone=%C3%A4%20b",
      "https://s.test/a%2Fb?alpha=1%262&offset=o%2F1%20%26%3F&zone=%C3%A4%20b",
      "https://s.test/a%2Fb?alpha=1%262&cursor=c%262&live=long-poll&offset=o2&zone=%C3%A4%20b",
    ])
  })

  it("a cursor that was stored with the offset goes with the first live request", async () => {
    const { fetch, calls } = scriptedFetch([
      makeResponse(200, pageHeaders("o1"), "[]"),
      makeResponse(200, pageHeaders("o2", { closed: true }), "[1]"),
    ])
    const options = { ...quick, url: "https://s.test/s", fetch, offset: "o1", cursor: "c 1" }
    await consume(await stream({ ...options, live: "long-poll" }), "jsonBatches")
    expect(calls.map(({ url }) => url)).toEqual([
      "https://s.test/s?offset=o1",
      "https://s.test/s?cursor=c%201&live=long-poll&offset=o1",
    ])
  })

  it("a query that the url brings stays in front byte for byte, less the reserved names", async () => {
    const { fetch, calls } = scriptedFetch(pages)
    const url = "https://s.test/s?b=2&sig=%2b+%7E'()&a&offset=9&live=sse&b=3&cursor=x#frag"
    await consume(await stream({ ...quick, url, fetch, params: { c: "1" }, live: false }), "json")
    expect(calls[0]?.url).toBe("https://s.test/s?b=2&sig=%2b+%7E'()&a&b=3&c=1&offset=-1")
  })

  it("is a GET by a plain fetch call, with a signal and headers as a plain object", async () => {
    const { fetch, calls } = scriptedFetch(pages)
    const headers = { "X-Case": "Kept", authorization: () => "Bearer t" }
    await consume(
      await stream({ ...quick, url: "https://s.test/s", fetch, headers, live: false }),
      "json",
    )
    for (const { init } of calls) {
      expect(Object.keys(init).sort()).toEqual(["headers", "method", "signal"])
      expect(init.method).toBe("GET")
      expect(Object.getPrototypeOf(init.headers)).toBe(Object.prototype)
      expect(init.headers).toEqual({ "X-Case": "Kept", authorization: "Bearer t" })
      expect(init.signal).toBeInstanceOf(AbortSignal)
    }
  })

  it("functions are called for every request and every retry, params too", async () => {
    const { fetch, calls } = scriptedFetch([makeResponse(503), ...pages])
    let token = 0
    let serial = 0
    const options: StreamOptions = {
      ...quick,
      url: "https://s.test/s",
      fetch,
      headers: { authorization: async () => `t${++token}` },
      params: { serial: () => String(++serial), gone: () => undefined },
      live: false,
    }
    await consume(await stream(options), "json")
    expect(calls.map(({ headers }) => headers["authorization"])).toEqual(["t1", "t2", "t3"])
    expect(calls.map(({ url }) => new URL(url).searchParams.get("serial"))).toEqual(["1", "2", "3"])
    expect(calls.some(({ url }) => url.includes("gone"))).toBe(false)
  })

  it("the global fetch is looked up for every request", async () => {
    const { fetch, calls } = scriptedFetch(pages)
    const original = globalThis.fetch
    globalThis.fetch = fetch
    try {
      await consume(await stream({ ...quick, url: "https://s.test/s", live: false }), "json")
    } finally {
      globalThis.fetch = original
    }
    expect(calls.length).toBe(2)
  })

  it("an SSE request is sent the newest cursor, a reconnect the newest offset", async () => {
    const events = (data: string, control: object) =>
      makeResponse(
        200,
        { "content-type": "text/event-stream" },
        sseEvent("data", data) + sseControl("o2", { streamCursor: "c2", ...control }),
      )
    const { fetch, calls } = scriptedFetch([
      makeResponse(200, pageHeaders("o1", { cursor: "c1" }), "[1]"),
      events("[2]", {}),
      events("[3]", { streamNextOffset: "o3", streamClosed: true }),
    ])
    // On a busy machine, events that come a second after their headers are held back by something, and SSE is given up.
    const { value } = await runInVirtualTime({}, async () => {
      const response = await stream({ ...quick, url: "https://s.test/s", fetch })
      return consume(response, "jsonStream")
    })
    expect(value).toBe("1\n2\n3\n")
    const queries = calls.slice(1).map(({ url }) => new URL(url).searchParams)
    expect(queries.map((query) => [query.get("offset"), query.get("cursor")])).toEqual([
      ["o1", "c1"],
      ["o2", "c2"],
    ])
  })
})

describe("the connections of a read", () => {
  it("a long catch-up and its long-polls need one or two, not one for each page", async () => {
    let page = 0
    await using paged = await startMisbehavingServer((_request, response) => {
      page++
      const headers = pageHeaders(`o${page}`, { upToDate: page >= 60, closed: page === 90 })
      response.writeHead(200, headers).end(`[${page}]`)
    })
    const sockets = new Set<unknown>()
    const response = await stream({
      ...quick,
      url: paged.url,
      live: "long-poll",
      observe: () => paged.openSockets.forEach((socket) => sockets.add(socket)),
    })
    await consume(response, "subscribeJson")
    expect(page).toBe(90)
    expect(sockets.size).toBeLessThanOrEqual(3)
  })
})

describe("reading over plain http in a browser", () => {
  /** Pretend to be a page, for as long as it takes. */
  async function inBrowser(task: () => Promise<void>): Promise<string[]> {
    const warnings: string[] = []
    const warn = vi.spyOn(console, "warn").mockImplementation((text) => void warnings.push(text))
    vi.stubEnv("NODE_ENV", "development")
    vi.stubGlobal("window", globalThis)
    // A page has a document; this one reports nothing.
    vi.stubGlobal("document", {})
    try {
      await task()
    } finally {
      vi.unstubAllEnvs()
      vi.unstubAllGlobals()
      warn.mockRestore()
    }
    return warnings.filter((warning) => warning.includes("HTTP"))
  }

  async function read(url: string, options: Partial<StreamOptions> = {}): Promise<void> {
    const { fetch } = scriptedFetch(pages)
    await consume(await stream({ url, fetch, live: false, ...options }), "json")
  }

  it("warns once for an origin, about HTTP/1.1 and what to do", async () => {
    const warnings = await inBrowser(async () => {
      await read("http://plain.test/one?token=secret")
      await read("http://plain.test/two")
      await read("http://other.test/one")
    })
    expect(warnings).toHaveLength(2)
    expect(warnings[0]).toMatch(/http:\/\/plain\.test.*HTTP\/2/s)
    expect(warnings[0]).not.toContain("secret")
  })

  it("is silent over https, with warnOnHttp: false, and outside a browser", async () => {
    const warnings = await inBrowser(async () => {
      await read("https://plain2.test/s")
      await read("http://quiet.test/s", { warnOnHttp: false })
    })
    expect(warnings).toEqual([])
    const warn = vi.spyOn(console, "warn").mockImplementation(() => undefined)
    await read("http://node.test/s")
    expect(warn).not.toHaveBeenCalled()
    warn.mockRestore()
  })

  it("a relative url resolves against the page", async () => {
    Object.defineProperty(globalThis, "location", {
      value: { href: "https://page.test/app/index.html" },
      configurable: true,
    })
    try {
      const { fetch, calls } = scriptedFetch(pages)
      await consume(await stream({ ...quick, url: "../streams/s?x=1", fetch, live: false }), "json")
      expect(calls[0]?.url).toBe("https://page.test/streams/s?x=1&offset=-1")
    } finally {
      Reflect.deleteProperty(globalThis, "location")
    }
  })
})

describe("bad input", () => {
  const url = "https://s.test/s"
  const fetch: typeof globalThis.fetch = () => {
    throw new Error("no request was to be made")
  }

  async function refused(options: object): Promise<Error & Record<string, unknown>> {
    // What a JavaScript caller can do.
    return rejection(stream({ fetch, ...options } as StreamOptions))
  }

  it.each([
    ["no options at all", undefined],
    ["no url", {}],
    ["an empty url", { url: "" }],
    ["a url of spaces", { url: "  " }],
    ["null", { url: null }],
  ])("%s: MissingStreamUrlError", async (_what, options) => {
    // @ts-expect-error -- what a JavaScript caller can do
    const error = await rejection(stream(options))
    expect(error).toBeInstanceOf(MissingStreamUrlError)
    expect(error).toMatchObject({ code: "BAD_REQUEST" })
  })

  it.each([
    ["a url that does not parse", { url: "not a url?token=secret" }, /url/],
    ["another scheme", { url: "ftp://s.test/s" }, /ftp:/],
    ["credentials", { url: "https://user:secret@s.test/s" }, /authorization/],
    ["a url that is no text", { url: 7 }, /url/],
    ["params of ours: offset", { url, params: { offset: "1" } }, /offset/],
    ["params of ours: live", { url, params: { live: "1" } }, /live/],
    ["params of ours: cursor", { url, params: { cursor: () => "1" } }, /cursor/],
    ["a param that is no text", { url, params: { page: 7 } }, /page/],
    ["params as URLSearchParams", { url, params: new URLSearchParams("a=1") }, /params/],
    ["a header that is no text", { url, headers: { "x-count": 7 } }, /x-count/],
    ["a header of two lines", { url, headers: { "x-a": "secret\nx: 1" } }, /x-a/],
    ["a header name that is none", { url, headers: { "x a": "1" } }, /x a/],
    ["an offset that is empty", { url, offset: "" }, /offset/],
    ["an offset that is no text", { url, offset: 7 }, /offset/],
    ["a live mode that is none", { url, live: "websocket" }, /live/],
    ["a negative readAhead", { url, readAhead: -1 }, /readAhead/],
    ["half a readAhead", { url, readAhead: 0.5 }, /readAhead/],
    ["an idle timeout of 0", { url, idleTimeoutMs: 0 }, /idleTimeoutMs/],
    ["an idle timeout that is no number", { url, idleTimeoutMs: "5s" }, /idleTimeoutMs/],
    ["a negative hiddenGraceMs", { url, hiddenGraceMs: -1 }, /hiddenGraceMs must be .*, not -1/],
    [
      "an endless hiddenGraceMs",
      { url, hiddenGraceMs: Infinity },
      /hiddenGraceMs must .* Infinity/,
    ],
    ["maxPageBytes of 0", { url, maxPageBytes: 0 }, /maxPageBytes must be .*, not 0/],
    ["half a maxPageBytes", { url, maxPageBytes: 1.5 }, /maxPageBytes must be .*, not 1.5/],
    ["fetchOptions that are none", { url, fetchOptions: "include" }, /fetchOptions .* "include"/],
    ["a schema that is none", { url, schema: "order" }, /schema must be .*, not "order"/],
    ["onError that is no function", { url, onError: "retry" }, /onError/],
    ["observe that is no function", { url, observe: {} }, /observe/],
    ["a visibility that is none", { url, pauseWhenHidden: {} }, /pauseWhenHidden/],
    ["a fetch that is none", { url, fetch: "node-fetch" }, /fetch/],
    ["multiplier below 1", { url, backoffOptions: { multiplier: 0.9 } }, /multiplier/],
    ["negative maxRetries", { url, backoffOptions: { maxRetries: -1 } }, /maxRetries/],
    ["maxRetries NaN", { url, backoffOptions: { maxRetries: NaN } }, /maxRetries/],
    [
      "a negative minConnectionDuration",
      { url, sseResilience: { minConnectionDuration: -1 } },
      /minConnectionDuration/,
    ],
  ])("%s is refused at once and by name", async (_what, options, name) => {
    const error = await refused(options)
    expect(error).toBeInstanceOf(DurableStreamError)
    expect(error).toMatchObject({ code: "BAD_REQUEST" })
    expect(error.message).toMatch(name)
    expect(error.message).not.toContain("secret")
  })

  it.each([
    ["a controller", new AbortController()],
    ["null", null],
    ["text", "abort"],
  ])("%s in the place of a signal: InvalidSignalError", async (_what, signal) => {
    expect(await refused({ url, signal })).toBeInstanceOf(InvalidSignalError)
  })

  it("what a header function gives is checked for every request, and never shown", async () => {
    const headers = { authorization: () => "Bearer secret\r\nx: 1" }
    const error = await refused({ url, headers })
    expect(error).toMatchObject({ code: "BAD_REQUEST" })
    expect(error.message).toContain("authorization")
    expect(error.message).not.toContain("secret")
  })
})

describe("streams of a platform whose streams do not iterate", () => {
  it("iterate all the same, and end their session when the loop is left", async () => {
    const url = server.streamUrl()
    await createStream(url, "application/json", "[1,2,3]")
    const prototype = ReadableStream.prototype as unknown as Record<symbol, unknown>
    const native = Object.getOwnPropertyDescriptor(prototype, Symbol.asyncIterator)
    Reflect.deleteProperty(prototype, Symbol.asyncIterator)
    try {
      const { fetch, calls } = scriptedFetch(pages)
      const finite = await stream({ ...quick, url: "https://s.test/s", fetch, live: false })
      expect(await consume(finite, "jsonStream")).toBe("1\n2\n")
      expect(calls.length).toBe(2)
      const live = await stream<number>({ ...quick, url })
      const received = new Received()
      for await (const item of live.jsonStream()) {
        received.add({ items: [item] })
        if (item === 2) break
      }
      await live.closed
      expect(received.content).toBe("1\n2\n")
    } finally {
      if (native) Object.defineProperty(prototype, Symbol.asyncIterator, native)
    }
  })
})
