import { describe, expect, it } from "vitest"
import { SseEventParser, type SseEvent } from "../../../src/sse/event-parser.ts"

function parse(...chunks: readonly (string | Uint8Array)[]): SseEvent[] {
  const events: SseEvent[] = []
  const parser = new SseEventParser((event) => events.push(event))
  for (const chunk of chunks) {
    parser.feed(typeof chunk === "string" ? new TextEncoder().encode(chunk) : chunk)
  }
  return events
}

describe("server-sent events", () => {
  it("an event is its name and its data lines, as they stood", () => {
    expect(parse("event: data\ndata: [1,\ndata:2]\n\n")).toEqual([
      { name: "data", rawData: " [1,\n2]" },
    ])
  })

  it("ends lines in LF, CR and CRLF, mixed", () => {
    const events = parse("event: a\rdata: 1\r\r\nevent: b\r\ndata: 2\n\nevent: c\ndata: 3\r\n\n")
    expect(events.map(({ name, rawData }) => name + rawData)).toEqual(["a 1", "b 2", "c 3"])
  })

  it("a CRLF split between two chunks is one line end", () => {
    expect(parse("data: 1\r", "\n\r", "\ndata: 2\r", "\r")).toEqual([
      { name: "message", rawData: " 1" },
      { name: "message", rawData: " 2" },
    ])
    // Two line ends would end the event between its lines.
    expect(parse("event: data\r", "\ndata: 1\r", "\ndata: 2\r\n\r\n")).toEqual([
      { name: "data", rawData: " 1\n 2" },
    ])
  })

  it("two CRs in two chunks are two line ends", () => {
    expect(parse("data: 1\r", "\r")).toHaveLength(1)
  })

  it("passes over comments, unknown fields, ids, retries and events without data", () => {
    expect(
      parse(": ping\n\nid: 1\nretry: 5\nfoo: bar\nevent: empty\n\nno colon\n\ndata: x\n\n"),
    ).toEqual([{ name: "message", rawData: " x" }])
  })

  it("a name is that of its own event alone", () => {
    const events = parse("event: control\n\ndata: x\n\n")
    expect(events).toEqual([{ name: "message", rawData: " x" }])
  })

  it("data without a colon, and data of nothing, are empty lines", () => {
    expect(parse("data\ndata:\ndata: \n\n")).toEqual([{ name: "message", rawData: "\n\n " }])
  })

  it("field names are exact: neither a space before the colon nor another case is data", () => {
    expect(parse("Data: x\n data: x\ndata : x\n\n")).toEqual([])
  })

  it("a BOM may lead, in one chunk or cut up; later it is content", () => {
    const bom = Uint8Array.of(0xef, 0xbb, 0xbf)
    expect(parse(bom, "data: \uFEFFx\n\n")).toEqual([{ name: "message", rawData: " \uFEFFx" }])
    const cut = [bom.subarray(0, 1), bom.subarray(1, 2), bom.subarray(2), "data:y\n\n"]
    expect(parse(...cut)).toEqual([{ name: "message", rawData: "y" }])
  })

  it("what is not ended by an empty line is no event", () => {
    expect(parse("data: 1\n")).toEqual([])
    expect(parse("data: 1")).toEqual([])
  })

  it("empty chunks change nothing", () => {
    const none = new Uint8Array()
    expect(parse(none, "data: 1\r", none, "\n", none, "\n", none)).toHaveLength(1)
  })
})
