import { describe, expect, it } from "vitest"
import {
  encodeMessage,
  guessContentType,
  joinMessages,
  takeSnapshot,
  type MessageContent,
} from "../../../src/protocol/message.ts"

const utf8 = new TextEncoder()
const json = "application/json"

function encoded(value: unknown, contentType: string) {
  return encodeMessage(takeSnapshot(value), contentType)
}

describe("a message of a JSON stream", () => {
  it.each([
    [{ a: [1, null, "ü"] }, '{"a":[1,null,"ü"]}'],
    [[], "[]"],
    [{}, "{}"],
    [{ a: {}, b: [{}], c: "{}" }, '{"a":{},"b":[{}],"c":"{}"}'],
    [null, "null"],
    [0, "0"],
    [Number.NaN, "null"],
    ['{"a":1}', '{"a":1}'],
    [' "text" ', ' "text" '],
    ["12345678901234567890123", "12345678901234567890123"],
    [new Date(0), '"1970-01-01T00:00:00.000Z"'],
    [Object.create(null), "{}"],
    [
      new (class Point {
        x?: number
      })(),
      "{}",
    ],
    [{ a: { toJSON: () => "b" }, c: {} }, '{"a":"b","c":{}}'],
  ])("is %j serialized as %s", (value, text) => {
    expect(encoded(value, json)).toBe(text)
  })

  it("is bytes of every kind as they are", () => {
    const bytes = utf8.encode("[1]")
    for (const value of [bytes, bytes.buffer, new DataView(bytes.buffer), Buffer.from(bytes)]) {
      expect(encoded(value, json)).toEqual(bytes)
    }
  })

  it.each([
    "",
    " ",
    "text",
    "{bad",
    "1 2",
    "1,2",
    '1},{"x":2',
    "1]",
    "[1],[2",
    "\uFEFF1",
    utf8.encode("\uFEFF1"),
    utf8.encode(""),
    new Uint8Array([0x22, 0xc3, 0x22]),
  ])("is not %s, which is not exactly one JSON value", (value) => {
    expect(encoded(value, json)).toMatchObject({
      kind: "invalid",
      code: "PARSE_ERROR",
      reason: "a string or bytes must be exactly one JSON value",
      cause: expect.any(Error) as unknown,
    })
  })

  const circular: Record<string, unknown> = { a: { list: [0, {}] } }
  ;(circular["a"] as { list: unknown[] }).list[1] = { b: circular }
  it.each([
    [undefined, "undefined has no JSON"],
    [() => 1, "function has no JSON"],
    [Symbol("s"), "symbol has no JSON"],
    [1n, "BigInt has no JSON"],
    [{ a: 1, n: 10n }, "BigInt at .n has no JSON"],
    [{ list: [{ "a b": 10n }] }, 'BigInt at .list[0]["a b"] has no JSON'],
    [circular, "a circular reference at .a.list[1].b has no JSON"],
    [new Map([[1, 2]]), "Map has no JSON"],
    [{ users: new Map([[1, 2]]) }, "Map at .users has no JSON"],
    [{ a: {}, b: [new Set([1])] }, "Set at .b[0] has no JSON"],
    [new WeakMap(), "WeakMap has no JSON"],
    [new Error("lost"), "Error has no JSON"],
    [{ cause: new TypeError("lost") }, "Error at .cause has no JSON"],
    [{ pattern: /a/ }, "RegExp at .pattern has no JSON"],
    [{ later: Promise.resolve(1) }, "Promise at .later has no JSON"],
    [{ data: new ArrayBuffer(2) }, "ArrayBuffer at .data has no JSON"],
    [new Blob(["1"]), "Blob has no JSON"],
    [new FormData(), "FormData has no JSON"],
    [new URLSearchParams("a=1"), "URLSearchParams has no JSON"],
    [new Headers({ a: "1" }), "Headers has no JSON"],
    [new Response("1"), "Response has no JSON"],
    [new Request("http://a.test"), "Request has no JSON"],
  ])("is not %s: why and where is said", (value, reason) => {
    const bytesOrJson = encoded(value, json)
    expect(bytesOrJson).toMatchObject({ kind: "invalid", code: "PARSE_ERROR", reason })
  })

  it("keeps why toJSON fails", () => {
    const failure = new Error("no JSON of mine")
    const value = {
      toJSON() {
        throw failure
      },
    }
    expect(encoded(value, json)).toMatchObject({ code: "PARSE_ERROR", cause: failure })
  })

  it("is not what will be something else later", () => {
    const promise = encoded(Promise.resolve(1), json)
    expect(promise).toMatchObject({ code: "BAD_REQUEST", reason: "await the promise first" })
    for (const source of [new ReadableStream(), (async function* () {})()]) {
      expect(encoded(source, json)).toMatchObject({
        code: "BAD_REQUEST",
        reason: "a stream is not one message; use appendStream() or writable()",
      })
    }
  })
})

describe("half of a character", () => {
  it.each([
    "\uD83D",
    "a\uD83D",
    "\uDE00a",
    "\uDE00\uD83D",
    "\uD83D\uDE00\uDE00",
    "\uD83D\uD83D\uDE00",
  ])("in text is not sent: %j", (text) => {
    expect(encoded(text, "text/plain")).toMatchObject({ kind: "invalid", code: "BAD_REQUEST" })
    expect(encoded(`"${text}"`, json)).toMatchObject({ kind: "invalid", code: "PARSE_ERROR" })
    // Escaped, it is a character of JSON.
    expect(JSON.parse(encoded({ text }, json) as string)).toEqual({ text })
    expect(encoded(JSON.stringify(text), json)).toBe(JSON.stringify(text))
  })

  it("is not seen in whole characters", () => {
    const text = "ü😀\uD83D\uDE00 a\u{10FFFF}"
    expect(encoded(text, "text/plain")).toBe(text)
    expect(encoded(`"${text}"`, json)).toBe(`"${text}"`)
  })
})

describe("a message of a stream that is not JSON", () => {
  it("is a string or bytes, which may be empty", () => {
    expect(encoded("", "text/plain")).toBe("")
    expect(encoded("not json", "text/plain")).toBe("not json")
    expect(encoded(new Uint8Array(), "a/b")).toEqual(new Uint8Array())
  })

  it.each([[{ a: 1 }], [1], [null], [undefined], [1n], [new Map()]])("is not %s", (value) => {
    expect(encoded(value, "text/plain")).toMatchObject({
      code: "BAD_REQUEST",
      reason: "a stream of text/plain takes strings and bytes; other values need a JSON stream",
    })
  })
})

describe("takeSnapshot", () => {
  it("copies bytes unless told otherwise", () => {
    const bytes = utf8.encode("1")
    const [copy, view] = [takeSnapshot(bytes), takeSnapshot(bytes, false)]
    bytes[0] = 0x39
    expect([copy, view]).toEqual([utf8.encode("1"), utf8.encode("9")])
  })

  it("takes a value as it is at the call", () => {
    const value = { count: 1 }
    const snapshot = takeSnapshot(value)
    value.count = 2
    expect(encodeMessage(snapshot, json)).toBe('{"count":1}')
  })
})

describe("guessContentType", () => {
  it("goes by the kind of value", () => {
    const guess = (value: unknown) => guessContentType(takeSnapshot(value))
    expect([guess("{}"), guess(utf8.encode("{}")), guess({})]).toEqual([
      "text/plain",
      "application/octet-stream",
      json,
    ])
  })
})

describe("joinMessages", () => {
  const bytes = (...texts: string[]): MessageContent[] => texts.map((text) => utf8.encode(text))

  it("makes one array of JSON messages", () => {
    expect(joinMessages(["1"], json)).toBe("[1]")
    expect(joinMessages(["1", "[2]"], "Application/JSON; charset=utf-8")).toBe("[1,[2]]")
    expect(joinMessages(["1", ...bytes("2", "3")], json)).toEqual(utf8.encode("[1,2,3]"))
  })

  it("puts other content side by side, and leaves a single part as it is", () => {
    expect(joinMessages(["a", "ü"], "text/plain")).toBe("aü")
    expect(joinMessages(["ü", ...bytes("b", "")], "text/plain")).toEqual(utf8.encode("üb"))
    const [part] = bytes("a")
    expect(joinMessages(part === undefined ? [] : [part], "text/plain")).toBe(part)
  })
})
