import { inspect } from "node:util"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest"
import { DurableStream } from "../../src/durable-stream.ts"
import { startBreakingProxy } from "../support/breaking-proxy.ts"
import { respond, startMisbehavingServer } from "../support/misbehaving-server.ts"
import { startReferenceServer, type ReferenceServer } from "../support/reference-server.ts"
import { rejection } from "../support/rejection.ts"
import { makeResponse, scriptedFetch } from "../support/scripted-fetch.ts"
import { startTrackedHttpServer } from "../support/tracked-http-server.ts"

let server: ReferenceServer
beforeAll(async () => {
  server = await startReferenceServer()
})
afterAll(() => server.stop())
beforeEach(() => {
  // The reference server logs every upload that is broken off.
  vi.spyOn(console, "error").mockReturnValue()
})
afterEach(() => {
  vi.unstubAllGlobals()
  vi.restoreAllMocks()
})

const utf8 = new TextEncoder()
const json = "application/json"
type Chunk = Uint8Array | string

function createStream(contentType: string): Promise<DurableStream> {
  return DurableStream.create({ url: server.streamUrl(), contentType })
}

async function contentOf(handle: DurableStream): Promise<string> {
  return (await fetch(`${handle.url}?offset=-1`)).text()
}

async function* iterate(...chunks: readonly Chunk[]): AsyncGenerator<Chunk> {
  for (const chunk of chunks) yield await Promise.resolve(chunk)
}

/** A platform whose requests take no streams: browsers. */
function pretendBrowser(): void {
  vi.stubGlobal("navigator", { userAgent: "Mozilla/5.0 (test)" })
}

/** A source that gives chunks one by one and records how it ends. */
function watchedSource(chunks: readonly Chunk[], atEnd: "close" | "wait" | Error = "close") {
  const log = { pulled: 0, cancelled: undefined as unknown, isCancelled: false }
  const stream = new ReadableStream<Chunk>(
    {
      pull(controller) {
        const chunk = chunks[log.pulled++]
        if (chunk !== undefined) controller.enqueue(chunk)
        else if (atEnd === "close") controller.close()
        else if (atEnd instanceof Error) controller.error(atEnd)
        else return new Promise(() => undefined)
        return undefined
      },
      cancel(reason) {
        log.isCancelled = true
        log.cancelled = reason
      },
    },
    { highWaterMark: 0 },
  )
  return { stream, log }
}

describe.each(["at once", "in batches"])("appendStream %s", (way) => {
  const useWay = () => {
    if (way === "in batches") pretendBrowser()
  }

  it("stores bytes and text from streams and iterables", async () => {
    useWay()
    const handle = await createStream("text/plain")
    await handle.appendStream(iterate("a", utf8.encode("b"), "", new Uint8Array(), "ç"))
    await handle.appendStream(watchedSource([utf8.encode("d"), "e"]).stream)
    expect(await handle.appendStream(new Blob(["fgh"]).stream())).toBeUndefined()
    expect(await contentOf(handle)).toBe("abçdefgh")
  })

  it("copies what a source fills again for its next chunk", async () => {
    const handle = await createStream("application/octet-stream")
    async function* readIntoOne(): AsyncGenerator<Uint8Array> {
      const buffer = new Uint8Array(3)
      for (const letter of "ABCD") {
        buffer.fill(letter.charCodeAt(0))
        yield await Promise.resolve(buffer)
      }
    }
    await handle.appendStream(readIntoOne())
    const once = readIntoOne()
    const stream = new ReadableStream<Uint8Array>(
      {
        async pull(controller) {
          const { done, value } = await once.next()
          if (done === true) controller.close()
          else controller.enqueue(value)
        },
      },
      { highWaterMark: 0 },
    )
    await handle.appendStream(stream)
    expect(await contentOf(handle)).toBe("AAABBBCCCDDDAAABBBCCCDDD")
  })

  it("encodes characters whole, wherever a string is cut", async () => {
    useWay()
    const handle = await createStream("text/plain")
    await handle.appendStream(
      iterate("a\uD83D", "", "\uDE00b", "\uD83D", "\uDE00", utf8.encode("c")),
    )
    expect(await contentOf(handle)).toBe("a😀b😀c")
  })

  it.each([
    ["a\uD83D"],
    ["a\uD83D", utf8.encode("c")],
    ["a\uD83D", "b"],
    ["a\uDE00"],
    ["a", "\uDE00b"],
  ])("rejects half of a character in %j, as append does", async (...chunks: Chunk[]) => {
    useWay()
    const handle = await createStream("text/plain")
    const error = await rejection(handle.appendStream(iterate(...chunks)))
    expect(error).toMatchObject({ code: "BAD_REQUEST" })
    expect(error.message).toContain("half of a character")
    expect(await contentOf(handle)).toMatch(way === "at once" ? /^$/ : /^a?$/)
    const json = await createStream("application/json")
    const message = json.appendStream(iterate('"', ...chunks, '"'))
    expect(await rejection(message)).toMatchObject({ code: "PARSE_ERROR" })
  })

  it("reads one text of JSON values out of the chunks", async () => {
    useWay()
    const cases: [chunks: Chunk[], messages: unknown[]][] = [
      [
        ['{"a":1}', '{"a":2}'],
        [{ a: 1 }, { a: 2 }],
      ],
      [
        ['{"a":1}\n{"a', '":2}\n'],
        [{ a: 1 }, { a: 2 }],
      ],
      [
        ["[1,2", ",3]"],
        [1, 2, 3],
      ],
      [["[[1,2],{}]"], [[1, 2], {}]],
      [
        ["1 2\n", "3", "4"],
        [1, 2, 34],
      ],
      [
        ['"a\\"', 'b" "[,]"', "true", " null"],
        ['a"b', "[,]", true, null],
      ],
      [["[]", " [1] ", "[ ]"], [1]],
      [[utf8.encode('{"ü":"😀"}').slice(0, 4), utf8.encode('{"ü":"😀"}').slice(4)], [{ ü: "😀" }]],
    ]
    for (const [chunks, messages] of cases) {
      const handle = await createStream(json)
      await handle.appendStream(iterate(...chunks))
      expect(JSON.parse(await contentOf(handle))).toEqual(messages)
    }
  })

  it.each(["{", "[1", "[1,]", "[,1]", "[1 2]", "1,2", "]", "nul", "{]", "[1]}", '"a', "{bad}"])(
    "refuses %j on a JSON stream",
    async (text) => {
      useWay()
      const handle = await createStream(json)
      const error = await rejection(handle.appendStream(iterate(text)))
      expect(error).toMatchObject({ name: "DurableStreamError", code: "PARSE_ERROR" })
      expect(await contentOf(handle)).toMatch(way === "at once" ? /^\[\]$/ : /^\[1?\]$/)
    },
  )

  it("sends no append for an empty source", async () => {
    useWay()
    await using proxy = await startBreakingProxy(server.url)
    for (const contentType of ["text/plain", json]) {
      const created = await createStream(contentType)
      const handle = new DurableStream({ url: proxy.through(created.url), contentType })
      await handle.appendStream(iterate())
      await handle.appendStream(iterate("", new Uint8Array()))
    }
    expect(proxy.requests.filter(({ method }) => method === "POST")).toEqual([])
  })

  it("says of an empty source for a missing stream that there is no stream", async () => {
    useWay()
    for (const contentType of [undefined, "text/plain"]) {
      const url = server.streamUrl("missing")
      const handle = new DurableStream({ url, ...(contentType !== undefined && { contentType }) })
      expect(await rejection(handle.appendStream(iterate()))).toMatchObject({ code: "NOT_FOUND" })
    }
  })

  it("asks for the content type where nobody knows it", async () => {
    useWay()
    const { url } = await createStream(json)
    const handle = new DurableStream({ url })
    await handle.appendStream(iterate("[1,2]"))
    expect(await contentOf(handle)).toBe("[1,2]")
    expect(handle.contentType).toBe(json)
    const missing = new DurableStream({ url: server.streamUrl() })
    const { stream, log } = watchedSource(["x"])
    expect(await rejection(missing.appendStream(stream))).toMatchObject({ code: "NOT_FOUND" })
    expect(log.isCancelled).toBe(true)
  })

  it("passes the source's own error on", async () => {
    useWay()
    const handle = await createStream("text/plain")
    const failure = new Error("disk full")
    const { stream } = watchedSource(["a", "b"], failure)
    expect(await rejection(handle.appendStream(stream))).toBe(failure)
    const throwing = (async function* () {
      yield "a"
      throw failure
    })()
    expect(await rejection(handle.appendStream(throwing))).toBe(failure)
  })

  it("ends an iterator that has not ended, and no other", async () => {
    useWay()
    const handle = await createStream("text/plain")
    const failure = new Error("source")
    const end = vi.fn(() => Promise.resolve({ done: true as const, value: undefined }))
    const sourceOf = (last: () => Promise<IteratorResult<Chunk>>) => {
      const results = [() => Promise.resolve({ done: false, value: "x" }), last]
      const next = () => (results.shift() ?? last)()
      return { [Symbol.asyncIterator]: () => ({ next, return: end }) }
    }
    await handle.appendStream(sourceOf(() => Promise.resolve({ done: true, value: undefined })))
    const failing = handle.appendStream(sourceOf(() => Promise.reject(failure)))
    expect(await rejection(failing)).toBe(failure)
    expect(end).not.toHaveBeenCalled()
    const controller = new AbortController()
    const { signal } = controller
    const endless = sourceOf(() => {
      controller.abort()
      return new Promise(() => undefined)
    })
    await rejection(handle.appendStream(endless, { signal }))
    expect(end).toHaveBeenCalledOnce()
  })

  it("refuses chunks that are no content", async () => {
    useWay()
    const handle = await createStream("text/plain")
    for (const chunk of [1, null, { a: 1 }]) {
      // A chunk that the types forbid.
      const { stream, log } = watchedSource(["a", chunk as unknown as string])
      const error = await rejection(handle.appendStream(stream))
      expect(error).toMatchObject({ code: "BAD_REQUEST" })
      expect(log.isCancelled).toBe(true)
    }
  })

  it("lets go of the source with an abort, whatever it waits for", async () => {
    useWay()
    const handle = await createStream("text/plain")
    for (const chunks of [[], ["a"]]) {
      const controller = new AbortController()
      const { stream, log } = watchedSource(chunks, "wait")
      const call = rejection(handle.appendStream(stream, { signal: controller.signal }))
      await expect.poll(() => log.pulled).toBe(chunks.length + 1)
      controller.abort("enough")
      expect(await call).toMatchObject({ code: "ABORTED", cause: "enough" })
      expect(log.isCancelled).toBe(true)
    }
    const controller = new AbortController()
    controller.abort()
    const { stream, log } = watchedSource(["a"])
    const call = handle.appendStream(stream, { signal: controller.signal })
    expect(await rejection(call)).toMatchObject({ code: "ABORTED" })
    expect(log.isCancelled).toBe(true)
  })

  it("lets go of the source where the server refuses", async () => {
    useWay()
    const closed = { "stream-closed": "true", "stream-next-offset": "9" }
    const refusing = await startTrackedHttpServer((_request, response) => {
      response.writeHead(409, closed).end()
    })
    const handle = new DurableStream({ url: refusing.url, contentType: "text/plain" })
    const { stream, log } = watchedSource(["a"], "wait")
    const error = await rejection(handle.appendStream(stream))
    expect(error).toMatchObject({ code: "STREAM_CLOSED", finalOffset: "9" })
    expect(log.isCancelled).toBe(true)
    await refusing.stop()
  })

  it("carries a seq and a producer's numbers", async () => {
    useWay()
    const handle = await createStream(json)
    await handle.appendStream(iterate("1 ", "2 "), { seq: "b" })
    const conflict = handle.appendStream(iterate("3"), { seq: "a" })
    expect(await rejection(conflict)).toMatchObject({ code: "CONFLICT_SEQ" })
    const producer = { producerId: "p", producerEpoch: 0, producerSeq: 0 }
    await handle.appendStream(iterate("3 ", "4 "), producer)
    await handle.appendStream(iterate("3 ", "4 "), producer)
    expect(await contentOf(handle)).toBe("[1,2,3,4]")
  })

  it("lets go of the source where an option cannot be", async () => {
    const handle = await createStream("text/plain")
    const { stream, log } = watchedSource(["a"], "wait")
    const error = await rejection(handle.appendStream(stream, { seq: "" }))
    expect(error).toMatchObject({ code: "BAD_REQUEST" })
    expect(log).toMatchObject({ isCancelled: true, cancelled: error })
  })

  it("refuses what is no source", async () => {
    useWay()
    const handle = await createStream("text/plain")
    const locked = new ReadableStream<string>()
    locked.getReader()
    for (const source of ["text", utf8.encode("bytes"), ["a"], undefined, null, {}, locked]) {
      // A source that the types forbid.
      const call = handle.appendStream(source as ReadableStream<string>)
      expect(await rejection(call)).toMatchObject({ code: "BAD_REQUEST" })
    }
  })
})

describe("appendStream with a fetch that makes text of a stream", () => {
  /** As node-fetch and cross-fetch do with a body that they do not know. */
  const convert = (body: unknown) => (body instanceof Uint8Array ? Buffer.from(body) : String(body))
  const ways: [string, (body: object) => string][] = [
    ["String(body)", String],
    // A body that the types forbid.
    ["concatenation", (body) => "".concat(body as unknown as string)],
    ["body.toString()", (body) => (body as { toString: () => string }).toString()],
  ]

  it.each(ways)("(%s) sends batches, and never [object ReadableStream]", async (_way, toText) => {
    const handle = await createStream("text/plain")
    const converting = new DurableStream({
      url: handle.url,
      contentType: "text/plain",
      fetch: async (url, { duplex: _duplex, ...init }: RequestInit & { duplex?: string } = {}) => {
        const { body } = init
        const isStream = typeof body === "object" && body !== null && "getReader" in body
        return fetch(url, { ...init, ...(isStream && { body: toText(body) }) })
      },
    })
    await converting.appendStream(iterate("a", "b", utf8.encode("c")))
    await converting.appendStream(watchedSource(["d", "e"]).stream)
    await converting.appendStream(iterate("f", "g"), { seq: "1" })
    expect(await contentOf(handle)).toBe("abcdefg")
  })

  it("stores JSON messages the same way", async () => {
    const handle = await createStream(json)
    const fetch: typeof globalThis.fetch = async (url, init) =>
      globalThis.fetch(url, { ...init, body: convert(init?.body) })
    const converting = new DurableStream({ url: handle.url, contentType: json, fetch })
    await converting.appendStream(iterate('{"a":', "1}[2", ",3]"))
    expect(await contentOf(handle)).toBe('[{"a":1},2,3]')
  })

  it("can be shown in a log all the same", async () => {
    const shown: string[] = []
    const handle = await createStream("text/plain")
    const logging = new DurableStream({
      url: handle.url,
      contentType: "text/plain",
      fetch: (url, init) => {
        shown.push(inspect(init))
        return fetch(url, init)
      },
    })
    await logging.appendStream(iterate("a", "b"))
    expect(shown).toHaveLength(1)
    expect(shown[0]).toContain("ReadableStream")
    expect(await contentOf(handle)).toBe("ab")
  })
})

describe("appendStream without a known content type", () => {
  it.each([400, 401, 403, 405, 501])(
    "appends octets where the server rejects HEAD with %i",
    async (status) => {
      const { fetch, calls } = scriptedFetch([makeResponse(status), makeResponse(204)])
      const handle = new DurableStream({ url: "http://server.test/s", fetch })
      await handle.appendStream(iterate("a"))
      expect(calls.map(({ init }) => init.method)).toEqual(["HEAD", "POST"])
      expect(calls[1]?.headers).toMatchObject({ "content-type": "application/octet-stream" })
    },
  )

  it("waits for about a second for a HEAD that gets no response", async () => {
    const { fetch, calls } = scriptedFetch(["hang", makeResponse(204)], { ignoresAbort: true })
    const handle = new DurableStream({ url: "http://server.test/s", fetch })
    await handle.appendStream(iterate("a"))
    expect(calls.map(({ init }) => init.method)).toEqual(["HEAD", "POST"])
  })

  it("retries a HEAD that fails as the append would", async () => {
    const { fetch, calls } = scriptedFetch([
      makeResponse(503),
      new TypeError("fetch failed"),
      makeResponse(200, { "content-type": "text/css" }),
      makeResponse(204),
    ])
    const backoffOptions = { initialDelay: 1, maxDelay: 1 }
    const handle = new DurableStream({ url: "http://server.test/s", fetch, backoffOptions })
    await handle.appendStream(iterate("a"))
    expect(calls.at(-1)?.headers).toMatchObject({ "content-type": "text/css" })
    expect(handle.contentType).toBe("text/css")
  })
})

describe("appendStream at once", () => {
  it("sends one request as the source goes, and reads no further than the server", async () => {
    const received: string[] = []
    let body: AsyncIterator<Buffer> | undefined
    const reading = await startTrackedHttpServer((request, response) => {
      if (body === undefined) {
        // Without an encoding the chunks of a request are Buffers.
        body = request[Symbol.asyncIterator]() as AsyncIterator<Buffer>
        finish = () => void response.writeHead(204, { "stream-next-offset": "9" }).end()
      }
    })
    let finish: () => void = () => undefined
    const handle = new DurableStream({ url: reading.url, contentType: "text/plain" })
    let feed: (chunk: Chunk | undefined) => void = () => undefined
    const source = (async function* () {
      for (;;) {
        const chunk = await new Promise<Chunk | undefined>((resolve) => (feed = resolve))
        if (chunk === undefined) return
        yield chunk
      }
    })()
    const call = handle.appendStream(source)
    for (const chunk of ["a", "b", "c"]) {
      await new Promise((resolve) => setImmediate(resolve))
      feed(chunk)
      await expect.poll(() => body).toBeDefined()
      const next = await body?.next()
      received.push(String(next?.value))
    }
    feed(undefined)
    expect((await body?.next())?.done).toBe(true)
    finish()
    await call
    expect(received).toEqual(["a", "b", "c"])
    await reading.stop()
  })

  it("gives fetch a stream and half a duplex, and no limit of time", async () => {
    let given: RequestInit & { duplex?: string } = {}
    const handle = new DurableStream({
      url: "http://server.test/s",
      contentType: "text/plain",
      requestTimeoutMs: 10,
      fetch: async (_url, init = {}) => {
        given = init
        await new Promise((resolve) => setTimeout(resolve, 50))
        return new Response(null, { status: 204 })
      },
    })
    await handle.appendStream(iterate("a"))
    expect(given.body).toBeInstanceOf(ReadableStream)
    expect(given.duplex).toBe("half")
  })

  it("lets go of the source where the server has enough before its end", async () => {
    const hasty = await startTrackedHttpServer((_request, response) => {
      response.writeHead(204, { "stream-next-offset": "9" }).end()
    })
    const handle = new DurableStream({ url: hasty.url, contentType: "text/plain" })
    const { stream, log } = watchedSource(["a"], "wait")
    await handle.appendStream(stream)
    expect(log.isCancelled).toBe(true)
    // An unhandled rejection would fail the run.
    await new Promise((resolve) => setImmediate(resolve))
    await hasty.stop()
  })

  it("stores nothing where it fails on the way", async () => {
    const handle = await createStream(json)
    await rejection(handle.appendStream(iterate('{"a":1}', '{"b":')))
    await rejection(handle.appendStream(watchedSource(["1 ", "2 "], new Error("no more")).stream))
    expect(await contentOf(handle)).toBe("[]")
  })

  it.each([429, 500, 502, 503])("is not sent again after %i", async (status) => {
    await using misbehaving = await startMisbehavingServer(respond(status))
    const handle = new DurableStream({ url: misbehaving.url, contentType: "text/plain" })
    const error = await rejection(handle.appendStream(iterate("a")))
    expect(error).toMatchObject({ status, indeterminate: status === 502 })
    expect(misbehaving.requests).toHaveLength(1)
  })
})

describe("appendStream in batches", () => {
  it("sends what came while the last request was under way", async () => {
    pretendBrowser()
    const bodies: unknown[] = []
    let release: () => void = () => undefined
    const handle = new DurableStream({
      url: "http://server.test/s",
      contentType: json,
      fetch: async (_url, init) => {
        bodies.push(init?.body)
        await new Promise<void>((resolve) => (release = resolve))
        return new Response(null, { status: 204, headers: { "stream-next-offset": "9" } })
      },
    })
    const { stream, log } = watchedSource(["1 ", "2 ", "3 "])
    const call = handle.appendStream(stream)
    await expect.poll(() => bodies.length).toBe(1)
    await expect.poll(() => log.pulled).toBe(4)
    release()
    await expect.poll(() => bodies.length).toBe(2)
    release()
    await call
    expect(bodies).toEqual(["[1]", "[2,3]"])
  })

  it("reads ahead by no more than a batch", async () => {
    pretendBrowser()
    let release: () => void = () => undefined
    const sizes: number[] = []
    const handle = new DurableStream({
      url: "http://server.test/s",
      contentType: "text/plain",
      fetch: async (_url, init) => {
        // Bytes are sent as bytes.
        sizes.push((init?.body as Uint8Array).byteLength)
        await new Promise<void>((resolve) => (release = resolve))
        return new Response(null, { status: 204 })
      },
    })
    const chunks = Array.from({ length: 20 }, () => "x".repeat(100_000))
    const { stream, log } = watchedSource(chunks)
    const call = handle.appendStream(stream)
    let most = 0
    for (let sent = 1; ; sent++) {
      await expect.poll(() => sizes.length).toBe(sent)
      const before = sizes.reduce((sum, size) => sum + size, 0)
      await expect
        .poll(() => log.pulled * 100_000 >= Math.min(before + 300_000, 2_000_000))
        .toBe(true)
      most = Math.max(most, log.pulled * 100_000 - before)
      if (before === 2_000_000) break
      release()
    }
    release()
    await call
    expect(most).toBeLessThanOrEqual(400_000)
    expect(sizes.reduce((sum, size) => sum + size)).toBe(2_000_000)
  })

  it("is tried again where nothing was stored, batch by batch", async () => {
    pretendBrowser()
    await using misbehaving = await startMisbehavingServer(
      respond(503),
      respond(204),
      respond(429, { "retry-after": "0" }),
      respond(204),
    )
    const handle = new DurableStream({
      url: misbehaving.url,
      contentType: "text/plain",
      backoffOptions: { initialDelay: 1, maxDelay: 1 },
    })
    await handle.appendStream(watchedSource(["a", "b"]).stream)
    const bodies = misbehaving.requests.map(({ body }) => body.toString())
    expect(bodies).toEqual(["a", "a", "b", "b"])
  })
})
