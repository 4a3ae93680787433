import { describe, expect, it } from "vitest"
import { serializeJsonMessage } from "../../../src/protocol/json-message.ts"

const utf8 = new TextEncoder()

describe("serializeJsonMessage", () => {
  it.each([
    [{ a: [1, null, "ü"] }, '{"a":[1,null,"ü"]}'],
    [[], "[]"],
    [null, "null"],
    [0, "0"],
    [Number.NaN, "null"],
    ['{"a":1}', '{"a":1}'],
    [' "text" ', ' "text" '],
    ["12345678901234567890123", "12345678901234567890123"],
    [new Date(0), '"1970-01-01T00:00:00.000Z"'],
  ])("serializes %j as %s", (value, text) => {
    expect(serializeJsonMessage(value)).toEqual({ kind: "text", text })
  })

  it("takes bytes of every kind as they are", () => {
    const bytes = utf8.encode("[1]")
    for (const value of [bytes, bytes.buffer, new DataView(bytes.buffer), Buffer.from(bytes)]) {
      const message = serializeJsonMessage(value)
      if (message.kind !== "bytes") throw new Error("No bytes")
      expect([...message.bytes]).toEqual([...bytes])
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
    undefined,
    () => 1,
    Symbol("s"),
    1n,
    new Blob(["1"]),
    new FormData(),
    new URLSearchParams("a=1"),
    new Headers({ a: "1" }),
    new Response("1"),
    new Request("http://a.test"),
  ])("refuses %s", (value) => {
    const message = serializeJsonMessage(value)
    expect(message.kind).toBe("invalid")
    expect(message).toHaveProperty("cause", expect.any(Error))
  })

  it("passes on why a value cannot be serialized", () => {
    const failure = new Error("no JSON of mine")
    const value = {
      toJSON() {
        throw failure
      },
    }
    expect(serializeJsonMessage(value)).toEqual({ kind: "invalid", cause: failure })
  })
})
