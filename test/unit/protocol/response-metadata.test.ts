import { describe, expect, it } from "vitest"
import { parseRfc3339 } from "../../../src/protocol/rfc3339.ts"
import {
  headerOf,
  integerHeader,
  readMetadata,
  saysClosed,
} from "../../../src/protocol/response-metadata.ts"

describe("readMetadata", () => {
  it.each([
    [{}, { offset: undefined, cursor: undefined, upToDate: false, streamClosed: false }],
    [
      { "Stream-Next-Offset": "a/B", "Stream-Cursor": "7" },
      { offset: "a/B", cursor: "7", upToDate: false, streamClosed: false },
    ],
    [
      { "stream-next-offset": "1", "stream-up-to-date": "" },
      { offset: "1", cursor: undefined, upToDate: true, streamClosed: false },
    ],
    [
      { "stream-next-offset": "", "stream-cursor": "" },
      { offset: undefined, cursor: undefined, upToDate: false, streamClosed: false },
    ],
    [
      { "stream-closed": "true" },
      { offset: undefined, cursor: undefined, upToDate: true, streamClosed: true },
    ],
  ])("reads %j", (headers, expected) => {
    expect(readMetadata(new Headers(headers as Record<string, string>))).toEqual(expected)
  })
})

it.each([
  ["true", true],
  ["TRUE", true],
  [" true ", true],
  ["1", false],
  ["false", false],
  ["", false],
  ["true, true", true],
  ["true, false", false],
])("takes Stream-Closed: %j for %j", (value, expected) => {
  expect(saysClosed(new Headers({ "Stream-Closed": value }))).toBe(expected)
})

it.each([
  ["0", 0],
  ["42", 42],
  ["9007199254740991", 9_007_199_254_740_991],
  ["9007199254740992", undefined],
  ["-1", undefined],
  ["1.5", undefined],
  ["1e3", undefined],
  ["", undefined],
  ["soon", undefined],
])("reads the whole number %j as %j", (value, expected) => {
  expect(integerHeader(new Headers({ n: value }), "n")).toBe(expected)
})

describe("parseRfc3339", () => {
  it.each([
    ["1970-01-01T00:00:01Z", 1000],
    ["1970-01-01t00:00:01.25z", 1250],
    ["1970-01-01T01:00:00+01:00", 0],
    ["2024-02-29T00:00:00Z", Date.UTC(2024, 1, 29)],
  ])("reads %s", (text, ms) => {
    expect(parseRfc3339(text)).toBe(ms)
  })

  it.each([
    "",
    "now",
    "2030-01-01",
    "2030-01-01 00:00:00Z",
    "2030-01-01T00:00:00",
    "2030-01-01T00:00Z",
    "2030-13-01T00:00:00Z",
    "2030-00-01T00:00:00Z",
    "2030-02-30T00:00:00Z",
    "2023-02-29T00:00:00Z",
    "2030-01-01T24:00:01Z",
    "2030-01-01T00:60:00Z",
    "2030-01-01T00:00:00+1:00",
    "Wed, 21 Oct 2015 07:28:00 GMT",
    "2030-01-01T00:00:00Z and more",
  ])("refuses %s", (text) => {
    expect(parseRfc3339(text)).toBeUndefined()
  })
})

describe("headers that a proxy sends twice", () => {
  it("are one if they are equal", () => {
    const headers = new Headers()
    for (const [name, value] of [
      ["Stream-Next-Offset", "5"],
      ["Stream-Cursor", "c"],
      ["Stream-Closed", "true"],
      ["Producer-Epoch", "3"],
      ["content-type", "text/plain; charset=utf-8"],
      ["date", "Fri, 27 Nov 2026 19:00:00 GMT"],
      ["etag", '"a,b"'],
    ] as const) {
      headers.append(name, value)
      headers.append(name, value)
    }
    const ends = { upToDate: true, streamClosed: true }
    expect(readMetadata(headers)).toEqual({ offset: "5", cursor: "c", ...ends })
    expect(integerHeader(headers, "Producer-Epoch")).toBe(3)
    expect(headerOf(headers, "content-type")).toBe("text/plain; charset=utf-8")
    expect(headerOf(headers, "date")).toBe("Fri, 27 Nov 2026 19:00:00 GMT")
    expect(headerOf(headers, "etag")).toBe('"a,b"')
  })

  it("stay as they are if they differ", () => {
    const headers = new Headers([
      ["Producer-Epoch", "3"],
      ["Producer-Epoch", "4"],
    ])
    expect(headerOf(headers, "Producer-Epoch")).toBe("3, 4")
    expect(integerHeader(headers, "Producer-Epoch")).toBeUndefined()
  })
})
