import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { DurableStream } from "../../src/durable-stream.ts"
import { StreamClosedError } from "../../src/errors/stream-closed-error.ts"
import { startBreakingProxy } from "../support/breaking-proxy.ts"
import { startReferenceServer, type ReferenceServer } from "../support/reference-server.ts"
import { rejection } from "../support/rejection.ts"
import { makeResponse, scriptedFetch } from "../support/scripted-fetch.ts"

let server: ReferenceServer
beforeAll(async () => {
  server = await startReferenceServer()
})
afterAll(() => server.stop())

const json = "application/json"
const utf8 = new TextEncoder()

function createStream(contentType: string): Promise<DurableStream> {
  return DurableStream.create({ url: server.streamUrl(), contentType })
}

async function contentOf(handle: DurableStream): Promise<string> {
  return (await fetch(`${handle.url}?offset=-1`)).text()
}

describe("append to a JSON stream", () => {
  it("stores every kind of value as exactly one message", async () => {
    const handle = await createStream(json)
    const values = [{ a: 1 }, [1, 2], [], null, 0, false, { nested: [{ x: "ü" }] }]
    for (const value of values) await handle.append(value)
    expect(JSON.parse(await contentOf(handle))).toEqual(values)
  })

  it("takes strings and bytes as one value that is serialized already", async () => {
    const handle = await createStream(json)
    await handle.append('"text"')
    await handle.append(" [1,2] ")
    await handle.append(utf8.encode('{"from":"bytes"}'))
    await handle.append(utf8.encode("3").buffer)
    await handle.append(new DataView(utf8.encode("4").buffer))
    await handle.append(Buffer.from("5"))
    expect(JSON.parse(await contentOf(handle))).toEqual([
      "text",
      [1, 2],
      { from: "bytes" },
      3,
      4,
      5,
    ])
  })

  it("refuses what is not exactly one value, for that call alone", async () => {
    const handle = await createStream(json)
    const circular: Record<string, unknown> = {}
    circular["self"] = circular
    const bad = [
      "not json",
      '1},{"x":2',
      "1,2",
      "",
      "{} {}",
      "\uFEFF{}",
      utf8.encode("\uFEFF{}"),
      new Uint8Array([0x22, 0xff, 0x22]),
      undefined,
      () => 1,
      Symbol("s"),
      10n,
      circular,
      revoked(),
    ]
    const calls = bad.flatMap((value, index) => [
      handle.append({ before: index }),
      rejection(handle.append(value)),
    ])
    const results = await Promise.all(calls)
    const errors = results.filter((result) => result instanceof Error)
    expect(errors).toHaveLength(bad.length)
    for (const error of errors) {
      expect(error).toMatchObject({ name: "DurableStreamError", code: "PARSE_ERROR" })
    }
    const stored: unknown = JSON.parse(await contentOf(handle))
    expect(stored).toEqual(bad.map((_value, index) => ({ before: index })))
  })

  it("takes a value as it is at the call", async () => {
    const handle = await createStream(json)
    const value = { count: 1 }
    const bytes = utf8.encode("1")
    const calls = [handle.append(value), handle.append(value), handle.append(bytes)]
    value.count = 2
    bytes[0] = 0x39
    await Promise.all(calls)
    expect(JSON.parse(await contentOf(handle))).toEqual([{ count: 1 }, { count: 1 }, 1])
  })
})

/** What throws whatever is asked of it. */
function revoked(): object {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}

describe("append to a stream of bytes or text", () => {
  it("stores strings and bytes side by side", async () => {
    const handle = await createStream("text/plain")
    await handle.append("ä")
    const { offset = "" } = await handle.head()
    await Promise.all([handle.append("b"), handle.append(utf8.encode("ç")), handle.append("😀")])
    expect(await contentOf(handle)).toBe("äbç😀")
    const tail = await fetch(`${handle.url}?offset=${offset}`)
    expect(await tail.text()).toBe("bç😀")
  })

  it("rejects values at once, without a request", async () => {
    await using proxy = await startBreakingProxy(server.url)
    const created = await createStream("text/plain")
    const handle = new DurableStream({
      url: proxy.through(created.url),
      contentType: "text/plain",
    })
    const unserializable = [undefined, () => 1, Symbol("s"), 10n, revoked()]
    for (const body of [{ a: 1 }, 1, null, ...unserializable]) {
      expect(await rejection(handle.append(body))).toMatchObject({ code: "BAD_REQUEST" })
    }
    for (const body of [new ReadableStream(), (async function* () {})()]) {
      const error = await rejection(handle.append(body))
      expect(error).toMatchObject({ code: "BAD_REQUEST" })
      expect(error.message).toContain("appendStream")
    }
    for (const body of unserializable) {
      expect((await rejection(handle.append(body))).message).toContain("other values need a JSON")
      for (const write of [() => handle.close({ body }), () => handle.create({ body })]) {
        if (body !== undefined)
          expect(await rejection(write())).toMatchObject({ code: "BAD_REQUEST" })
      }
    }
    expect(proxy.requests).toEqual([])
  })

  it("refuses marks that HTTP would not carry as they are, and shows none", async () => {
    const handle = await createStream("text/plain")
    const numbers = { producerEpoch: 0, producerSeq: 0 }
    for (const text of [" secret", "secret ", "\tsecret", "secret\n"]) {
      for (const [name, options] of [
        ["seq", { seq: text }],
        ["producerId", { producerId: text, ...numbers }],
      ] as const) {
        const error = await rejection(handle.append("x", options))
        expect(error).toMatchObject({ code: "BAD_REQUEST" })
        expect(error.message).toContain(`The option ${name} `)
        expect(error.message).not.toContain("secret")
      }
    }
    await handle.append("x", { seq: "a b" })
    expect(await contentOf(handle)).toBe("x")
  })
})

describe("an empty body on a stream that is not JSON", () => {
  const empty = ["", new Uint8Array(0), new ArrayBuffer(0)]

  it("sends nothing, and resolves: alone, among others, as a promise", async () => {
    await using proxy = await startBreakingProxy(server.url)
    const created = await createStream("text/plain")
    for (const batching of [true, false]) {
      const url = proxy.through(created.url)
      const handle = new DurableStream({ url, contentType: "text/plain", batching })
      for (const body of empty) {
        expect(await handle.append(body)).toBeUndefined()
        await handle.append(Promise.resolve(body))
      }
    }
    expect(proxy.requests).toEqual([])
    const tokens = ["", "a", "", "", "b", new Uint8Array(), "c", ""]
    await Promise.all(tokens.map((token) => created.append(token)))
    expect(await contentOf(created)).toBe("abc")
  })

  it("fails with seq or producer numbers, which it would not use up", async () => {
    const handle = await createStream("text/plain")
    const numbers = { producerId: "p", producerEpoch: 0, producerSeq: 0 }
    for (const body of empty) {
      for (const options of [{ seq: "1" }, numbers]) {
        for (const given of [body, Promise.resolve(body)]) {
          const error = await rejection(handle.append(given, options))
          expect(error).toMatchObject({ code: "BAD_REQUEST" })
          expect(error.message).toContain("empty")
        }
      }
    }
  })

  it("closes the stream without a message where it is the last one", async () => {
    const handle = await createStream("text/plain")
    await handle.append("a")
    const { finalOffset } = await handle.close({ body: "" })
    expect(await handle.close()).toEqual({ finalOffset })
    expect(await contentOf(handle)).toBe("a")
  })

  it("is not one JSON value, also if the content type is not known yet", async () => {
    const { url } = await createStream(json)
    const known = new DurableStream({ url, contentType: json })
    for (const body of empty) {
      for (const handle of [known, new DurableStream({ url })]) {
        expect(await rejection(handle.append(body))).toMatchObject({ code: "PARSE_ERROR" })
      }
    }
    const text = await createStream("text/plain")
    await new DurableStream({ url: text.url }).append("")
  })
})

describe("half of a character", () => {
  it("fails its own call before anything is sent, whatever it would share a request with", async () => {
    const text = await createStream("text/plain")
    const halves = ["a\uD83D", "\uDE00b", "\uDE00\uD83D"]
    const calls = halves.flatMap((half) => [text.append("x"), rejection(text.append(half))])
    const errors = (await Promise.all(calls)).filter((result) => result instanceof Error)
    expect(errors).toHaveLength(3)
    for (const error of errors) {
      expect(error).toMatchObject({ code: "BAD_REQUEST" })
      expect(error.message).toContain(`${text.url} was not sent: the text contains half of a`)
    }
    expect(await rejection(text.append(Promise.resolve("\uD83D")))).toMatchObject({
      code: "BAD_REQUEST",
    })
    expect(await rejection(text.close({ body: "\uD83D" }))).toMatchObject({ code: "BAD_REQUEST" })
    expect(await contentOf(text)).toBe("xxx")
  })

  it("is a character of JSON if it is escaped, as it is in a value", async () => {
    const handle = await createStream(json)
    expect(await rejection(handle.append('"\uD83D"'))).toMatchObject({ code: "PARSE_ERROR" })
    await handle.append({ half: "\uD83D" })
    await handle.append(JSON.stringify("\uD83D"))
    expect(JSON.parse(await contentOf(handle))).toEqual([{ half: "\uD83D" }, "\uD83D"])
  })
})

describe("a value that has no JSON", () => {
  it.each([
    [{ a: { n: 1n } }, "BigInt at .a.n"],
    [new Map([["a", 1]]), "Map"],
    [{ a: [new Set([1])] }, "Set at .a[0]"],
    [new Error("lost"), "Error"],
    [{ error: new RangeError("lost") }, "Error at .error"],
    [{ pattern: /x/ }, "RegExp at .pattern"],
    [{ weak: new WeakMap() }, "WeakMap at .weak"],
    [{ later: Promise.resolve(1) }, "Promise at .later"],
    [{ file: new Blob(["x"]) }, "Blob at .file"],
  ])("%o fails, and says why and where: %s", async (value, why) => {
    const handle = await createStream(json)
    for (const call of [
      () => handle.append(value),
      () => handle.close({ body: value }),
      () => handle.create({ body: value }),
    ]) {
      const error = await rejection(call())
      expect(error).toMatchObject({ code: "PARSE_ERROR" })
      expect(error.message).toContain(`${why} has no JSON`)
    }
    expect(await contentOf(handle)).toBe("[]")
  })
})

describe("a rejected append", () => {
  it("shows where it was called", async () => {
    const handle = await createStream(json)
    const missing = new DurableStream({ url: server.streamUrl(), contentType: json })
    const numbers = { producerId: "p", producerEpoch: 0, producerSeq: 7 }
    for (const call of [
      () => handle.append("{bad"),
      () => missing.append(1),
      () => missing.append(Promise.resolve(1)),
      () => missing.append(1, { seq: "1" }),
      () => missing.append(1, numbers),
      () => new DurableStream({ url: missing.url, batching: false }).append(1),
    ]) {
      const error = await rejection(
        (function callOfTheProgram() {
          return call()
        })(),
      )
      expect(error.stack).toContain("callOfTheProgram")
      expect(error.stack?.split("callOfTheProgram")).toHaveLength(2)
    }
  })
})

describe("append without a known content type", () => {
  it("finds the type by the first append, whatever it is", async () => {
    const cases: [type: string, body: unknown, stored: string][] = [
      [json, { a: 1 }, '[{"a":1}]'],
      [json, '"text"', '["text"]'],
      [json, utf8.encode("1"), "[1]"],
      ["text/plain", "text", "text"],
      ["text/markdown; charset=utf-8", "# text", "# text"],
      ["application/octet-stream", new Uint8Array([104, 105]), "hi"],
      ["image/svg+xml", "<svg/>", "<svg/>"],
    ]
    for (const [type, body, stored] of cases) {
      const { url } = await createStream(type)
      const handle = new DurableStream({ url })
      await handle.append(body)
      expect(await contentOf(handle)).toBe(stored)
      expect(handle.contentType?.split(";")[0]).toBe(type.split(";")[0])
    }
  })

  it("asks once, and keeps bad values out", async () => {
    await using proxy = await startBreakingProxy(server.url)
    const { url } = await createStream(json)
    const handle = new DurableStream({ url: proxy.through(url) })
    const calls = [handle.append('"a"'), rejection(handle.append("no json")), handle.append('"b"')]
    const [, error] = await Promise.all(calls)
    expect(error).toMatchObject({ code: "PARSE_ERROR" })
    await handle.append({ c: 1 })
    expect(JSON.parse(await contentOf(handle))).toEqual(["a", "b", { c: 1 }])
    expect(proxy.requests.filter(({ method }) => method === "HEAD")).toHaveLength(1)
  })

  it("refuses a value where the stream turns out not to be JSON", async () => {
    const { url } = await createStream("text/plain")
    const error = await rejection(new DurableStream({ url }).append({ a: 1 }))
    expect(error).toMatchObject({ code: "BAD_REQUEST" })
    expect(error.message).toContain("text/plain")
  })

  it("finds it for a seq and for a last message too", async () => {
    const { url } = await createStream(json)
    await new DurableStream({ url }).append('"a"', { seq: "1" })
    const error = await rejection(new DurableStream({ url }).append('"b"', { seq: "1" }))
    expect(error).toMatchObject({ code: "CONFLICT_SEQ" })
    await new DurableStream({ url }).close({ body: '"c"' })
    expect(await contentOf(new DurableStream({ url }))).toBe('["a","c"]')
  })

  it("says what the append was refused for where the question fails", async () => {
    const handle = new DurableStream({ url: server.streamUrl("missing") })
    expect(await rejection(handle.append("x"))).toMatchObject({ code: "NOT_FOUND", status: 404 })
  })
})

describe("append with marks", () => {
  it("sends a seq by itself and in order, and tells its conflict from a wrong type", async () => {
    await using proxy = await startBreakingProxy(server.url)
    const { url } = await createStream(json)
    const handle = new DurableStream({ url: proxy.through(url), contentType: json })
    const calls = ["a", "b", "c"].map((seq) => handle.append({ seq }, { seq }))
    await Promise.all([...calls, handle.append({ plain: 1 }), handle.append({ plain: 2 })])
    expect(proxy.requests).toHaveLength(4)
    expect(JSON.parse(await contentOf(handle))).toEqual([
      { seq: "a" },
      { seq: "b" },
      { seq: "c" },
      { plain: 1 },
      { plain: 2 },
    ])
    const conflict = await rejection(handle.append({}, { seq: "b" }))
    expect(conflict).toMatchObject({ code: "CONFLICT_SEQ", status: 409 })
    const mismatch = await rejection(handle.append("x", { contentType: "text/plain" }))
    expect(mismatch).toMatchObject({ code: "CONTENT_TYPE_MISMATCH", status: 409 })
  })

  it("stores an append with a producer's numbers once, however often it is sent", async () => {
    await using proxy = await startBreakingProxy(server.url)
    const { url } = await createStream("text/plain")
    const handle = new DurableStream({
      url: proxy.through(url),
      contentType: "text/plain",
      backoffOptions: { initialDelay: 1 },
    })
    proxy.next({ kind: "lose-response", how: "reset" }, { kind: "respond", status: 502 })
    const producer = { producerId: "p", producerEpoch: 0 }
    await handle.append("a", { ...producer, producerSeq: 0 })
    await handle.append("a", { ...producer, producerSeq: 0 })
    await Promise.all([
      handle.append("b", { ...producer, producerSeq: 1 }),
      handle.append("c", { ...producer, producerSeq: 2 }),
    ])
    expect(await contentOf(handle)).toBe("abc")
    const gap = handle.append("e", { ...producer, producerSeq: 4 })
    expect(await rejection(gap)).toMatchObject({
      code: "SEQUENCE_GAP",
      expectedSeq: 3,
      receivedSeq: 4,
    })
    await handle.append("d", { ...producer, producerEpoch: 1, producerSeq: 0 })
    const stale = handle.append("e", { ...producer, producerSeq: 3 })
    expect(await rejection(stale)).toMatchObject({ code: "STALE_EPOCH", currentEpoch: 1 })
  })

  it.each([
    [{ producerId: "p" }, "producerEpoch"],
    [{ producerEpoch: 0, producerSeq: 0 }, "producerId"],
    [{ producerId: "", producerEpoch: 0, producerSeq: 0 }, "producerId"],
    [{ producerId: "a\nb", producerEpoch: 0, producerSeq: 0 }, "Producer-Id"],
    [{ producerId: "p", producerEpoch: -1, producerSeq: 0 }, "producerEpoch"],
    [{ producerId: "p", producerEpoch: 0, producerSeq: 2 ** 53 }, "producerSeq"],
    [{ producerId: "p", producerEpoch: 0, producerSeq: "0" }, "producerSeq"],
    [{ seq: 1 }, "seq"],
    [{ seq: "" }, "seq"],
    [{ signal: {} }, "signal"],
    [{ contentType: 1 }, "contentType"],
  ])("refuses the options %o", async (options, named) => {
    const handle = new DurableStream({ url: "http://localhost:1/s", contentType: "text/plain" })
    // Options that the types forbid.
    const error = await rejection(handle.append("x", options as object))
    expect(error).toMatchObject({ code: "BAD_REQUEST" })
    expect(error.message).toContain(named)
  })
})

describe("append to a closed stream", () => {
  it("rejects with the final offset", async () => {
    const handle = await createStream(json)
    const { finalOffset } = await handle.close({ body: 1 })
    for (const options of [{}, { seq: "a" }, { contentType: "text/plain" }]) {
      const error = await rejection(handle.append("2", options))
      expect(error).toBeInstanceOf(StreamClosedError)
      expect(error).toMatchObject({ code: "STREAM_CLOSED", status: 409, finalOffset })
      expect(error.message).toContain(handle.url)
    }
  })
})

describe("a HEAD for the content type", () => {
  it.each([400, 401, 403, 405, 501])(
    "that the server rejects with %i leaves the rejection of the append",
    async (status) => {
      const { fetch, calls } = scriptedFetch([makeResponse(409), makeResponse(status)])
      const handle = new DurableStream({ url: "http://server.test/s", fetch })
      expect(await rejection(handle.append("x"))).toMatchObject({ status: 409 })
      expect(calls.map(({ init }) => init.method)).toEqual(["POST", "HEAD"])
    },
  )

  it("is not waited for longer than about a second", async () => {
    const { fetch, calls } = scriptedFetch([makeResponse(409), "hang"], { ignoresAbort: true })
    const handle = new DurableStream({ url: "http://server.test/s", fetch })
    expect(await rejection(handle.append("x"))).toMatchObject({ status: 409 })
    expect(calls).toHaveLength(2)
  })
})
