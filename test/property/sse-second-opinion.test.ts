import { getLines, getMessages } from "@microsoft/fetch-event-source/lib/cjs/parse.js"
import fc from "fast-check"
import { describe, expect, it, vi } from "vitest"
import { SseEventParser } from "../../src/sse/event-parser.ts"
import { chunked, cuts } from "./split-bytes.ts"

interface ParsedEvent {
  name: string
  data: string
}

const encoder = new TextEncoder()

function parseByOurs(chunks: readonly Uint8Array[]): ParsedEvent[] {
  const events: ParsedEvent[] = []
  const parser = new SseEventParser(({ name, rawData }) => {
    // The parser leaves the space behind the colon to its caller.
    events.push({ name, data: rawData.replace(/^ /gm, "") })
  })
  for (const chunk of chunks) parser.feed(chunk)
  return events
}

function parseByTheirs(chunks: readonly Uint8Array[]): ParsedEvent[] {
  const events: ParsedEvent[] = []
  const ignore = () => undefined
  const onChunk = getLines(
    getMessages(ignore, ignore, ({ event, data }) => {
      events.push({ name: event === "" ? "message" : event, data })
    }),
  )
  for (const chunk of chunks) onChunk(chunk)
  return events
}

const both = (text: string) => {
  const bytes = encoder.encode(text)
  return { ours: parseByOurs([bytes]), theirs: parseByTheirs([bytes]) }
}

const value = fc
  .string({ unit: "grapheme", maxLength: 12 })
  .map((text) => text.replace(/[\r\n\uFEFF]/g, ""))
const noise = fc.oneof(
  value.map((text) => `:${text}`),
  value.map((text) => `id: ${text}`),
  value.map((text) => `other:${text}`),
  fc.constantFrom("retry: 10", "retry: soon", "data-: x", " data: x"),
)
const space = fc.constantFrom("", " ", "  ")
const dataLine = fc.tuple(space, value).map(([padding, text]) => `data:${padding}${text}`)
const firstDataLine = fc.tuple(space, value).map(([padding, text]) => `data:${padding}x${text}`)
const nameLine = fc.tuple(space, value).map(([padding, text]) => `event:${padding}${text}`)
const event = fc
  .tuple(
    fc.array(fc.oneof(noise, nameLine), { maxLength: 2 }),
    firstDataLine,
    fc.array(fc.oneof(noise, nameLine, dataLine, dataLine), { maxLength: 4 }),
  )
  .map(([before, first, after]) => [...before, first, ...after, ""])
const lineEnd = fc.constantFrom("\n", "\r", "\r\n")

describe("The parser of @microsoft/fetch-event-source and ours", () => {
  it("agree on the same bytes, split at the same places", () => {
    const text = fc
      .array(event, { maxLength: 5 })
      .chain((events) => fc.tuple(...events.flat().map((line) => lineEnd.map((end) => line + end))))
      .map((lines) => lines.join(""))
    fc.assert(
      fc.property(text, cuts, (sent, at) => {
        const chunks = chunked(encoder.encode(sent), at)
        expect(parseByOurs(chunks)).toEqual(parseByTheirs(chunks))
      }),
      { numRuns: 1000 },
    )
  })

  it("agree on bytes that are not UTF-8", () => {
    const bytes = fc
      .array(fc.uint8Array({ maxLength: 6 }), { minLength: 1, maxLength: 5 })
      .map((values) =>
        values.flatMap((raw) => [
          ...encoder.encode("data: x"),
          ...raw.filter((byte) => byte !== 10 && byte !== 13),
          ...[10, 10],
        ]),
      )
    fc.assert(
      fc.property(bytes, cuts, (sent, at) => {
        const chunks = chunked(Uint8Array.from(sent), at)
        expect(parseByOurs(chunks)).toEqual(parseByTheirs(chunks))
      }),
    )
  })
})

describe("The parser of @microsoft/fetch-event-source, unlike ours and the standard", () => {
  it("loses empty data lines that come first", () => {
    expect(both("data:\ndata: x\n\n")).toEqual({
      ours: [{ name: "message", data: "\nx" }],
      theirs: [{ name: "message", data: "x" }],
    })
    expect(both("data:\ndata:\n\n")).toEqual({
      ours: [{ name: "message", data: "\n" }],
      theirs: [{ name: "message", data: "" }],
    })
  })

  it("drops a byte order mark that begins any line or value", () => {
    expect(both("\uFEFFdata: x\n\n").theirs).toEqual([{ name: "message", data: "x" }])
    expect(both("\uFEFFdata: x\n\uFEFFdata: y\ndata: \uFEFFz\n\n")).toEqual({
      ours: [{ name: "message", data: "x\n\uFEFFz" }],
      theirs: [{ name: "message", data: "x\ny\nz" }],
    })
  })

  it("ignores a field without a colon", () => {
    expect(both("data: x\ndata\n\nevent: a\nevent\ndata: y\n\n")).toEqual({
      ours: [
        { name: "message", data: "x\n" },
        { name: "message", data: "y" },
      ],
      theirs: [
        { name: "message", data: "x" },
        { name: "a", data: "y" },
      ],
    })
  })

  it("dispatches events that have no data", () => {
    expect(both("event: a\n\n: comment\n\n")).toEqual({
      ours: [],
      theirs: [
        { name: "a", data: "" },
        { name: "message", data: "" },
      ],
    })
  })

  it("copies a line again for each chunk of it: quadratic time on long lines", () => {
    const chunk = encoder.encode("x".repeat(64))
    const copiedBytes = (chunks: number) => {
      let copied = 0
      const { set } = Uint8Array.prototype
      const counted = vi.spyOn(Uint8Array.prototype, "set").mockImplementation(function (
        this: Uint8Array,
        source,
        offset,
      ) {
        copied += source.length
        set.call(this, source, offset)
      })
      parseByTheirs([encoder.encode("data:"), ...Array.from({ length: chunks }, () => chunk)])
      counted.mockRestore()
      return copied
    }
    // Twice as many chunks, four times as many bytes copied.
    expect(copiedBytes(2000) / copiedBytes(1000)).toBeCloseTo(4, 1)
  })
})
