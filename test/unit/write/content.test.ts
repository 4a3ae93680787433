import fc from "fast-check"
import { describe, expect, it } from "vitest"
import {
  encodeBody,
  guessContentType,
  joinParts,
  takeBody,
} from "../../../src/write/append-body.ts"
import { ByteSplitter } from "../../../src/write/content-splitter.ts"
import { createHeaders, hasExpired, splitCreateHeaders } from "../../../src/write/create-headers.ts"

const stream = "http://h/s"
const json = "application/json; charset=utf-8"

function bytesOf(parts: readonly (string | Uint8Array)[]): number[] {
  return parts.flatMap((part) => [...(typeof part === "string" ? Buffer.from(part) : part)])
}

describe("a body", () => {
  it("is what it was at the call", () => {
    const bytes = new Uint8Array([1, 2, 3])
    const body = takeBody(bytes.subarray(1), stream)
    bytes.fill(9)
    expect(body).toEqual({ kind: "bytes", bytes: new Uint8Array([2, 3]) })
    const value = { a: 1 }
    const taken = takeBody(value, stream)
    value.a = 2
    expect(encodeBody(taken, json, stream)).toBe('{"a":1}')
  })

  it.each<[unknown, string]>([
    ["text", "text/plain"],
    [new Uint8Array(1), "application/octet-stream"],
    [{ a: 1 }, "application/json"],
    [null, "application/json"],
    [7, "application/json"],
  ])("of %o is guessed to be %s", (value, type) => {
    expect(guessContentType(takeBody(value, stream))).toBe(type)
  })

  it("names the stream where it is refused", () => {
    for (const [value, type] of [
      ["{bad", json],
      [undefined, json],
      ["", "text/plain"],
      [{}, "text/plain"],
      [new ReadableStream(), "text/plain"],
    ] as const) {
      expect(() => encodeBody(takeBody(value, stream), type, stream)).toThrow(stream)
    }
  })

  it.each<[(string | Uint8Array)[], string, string | number[]]>([
    [["1", '"a"'], json, '[1,"a"]'],
    [["1"], json, "[1]"],
    [["1", new Uint8Array([0x32])], json, [...Buffer.from("[1,2]")]],
    [["a", "b"], "text/plain", "ab"],
    [["a"], "text/plain", "a"],
    [["ä", new Uint8Array([1])], "text/plain", [0xc3, 0xa4, 1]],
    [[new Uint8Array([1]), new Uint8Array([2])], "image/png", [1, 2]],
  ])("joins %o of %s", (parts, type, expected) => {
    const joined = joinParts(parts, type)
    expect(typeof joined === "string" ? joined : [...joined]).toEqual(expected)
  })
})

describe("ByteSplitter", () => {
  it("encodes a text as a whole, wherever it is cut", () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: "binary", maxLength: 5 })), (chunks) => {
        const halves = chunks.flatMap((chunk) => chunk.split(""))
        for (const pieces of [chunks, halves]) {
          const splitter = new ByteSplitter()
          const parts = pieces.flatMap((piece) => splitter.push(piece))
          const expected = [...new TextEncoder().encode(chunks.join(""))]
          expect(bytesOf([...parts, ...splitter.end()])).toEqual(expected)
        }
      }),
    )
  })

  it("gives nothing for nothing, and a half character up before bytes", () => {
    const splitter = new ByteSplitter()
    expect(splitter.push("")).toEqual([])
    expect(splitter.push(new Uint8Array())).toEqual([])
    expect(splitter.push("\ud83d")).toEqual([])
    expect(bytesOf(splitter.push(new Uint8Array([1])))).toEqual([0xef, 0xbf, 0xbd, 1])
    expect(splitter.end()).toEqual([])
  })
})

describe("the headers of a create", () => {
  const now = Date.UTC(2026, 0, 1)

  it("say what is asked for", () => {
    expect(createHeaders({}, {})).toEqual({})
    expect(createHeaders({ closed: false }, {})).toEqual({})
    expect(createHeaders({ ttlSeconds: 2 ** 40, closed: true }, {})).toEqual({
      "Stream-TTL": "1099511627776",
      "Stream-Closed": "true",
    })
    const expiresAt = "2026-01-01T00:00:01+00:00"
    expect(createHeaders({ expiresAt }, {})).toEqual({ "Stream-Expires-At": expiresAt })
  })

  it("know an expiry that has passed, by the clock that they are given", () => {
    const headers = { "Stream-Expires-At": "2026-01-01T00:00:00Z" }
    expect(hasExpired(headers, {}, now)).toBe(false)
    expect(hasExpired(headers, {}, now + 1)).toBe(true)
    expect(hasExpired({}, { "stream-expires-at": "2026-01-01T00:00:00Z" }, now + 1)).toBe(true)
    expect(hasExpired({}, {}, now)).toBe(false)
  })

  it("leave functions alone, but not beside an option that excludes them", () => {
    const byHand = { "stream-ttl": () => "60" }
    expect(createHeaders({}, byHand)).toEqual({})
    expect(createHeaders({ ttlSeconds: 5 }, byHand)).toEqual({ "Stream-TTL": "5" })
    expect(() => createHeaders({ expiresAt: "2999-01-01T00:00:00Z" }, byHand)).toThrow()
  })

  it("are told from the others whatever their case", () => {
    const headers = { "STREAM-TTL": "1", "stream-closed": "true", "Stream-Seq": "1", a: "b" }
    expect(splitCreateHeaders(headers)).toEqual({
      createOnly: { "STREAM-TTL": "1", "stream-closed": "true" },
      others: { "Stream-Seq": "1", a: "b" },
    })
  })
})
