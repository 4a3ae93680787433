import { describe, expect, it } from "vitest"
import { SsePageAssembler } from "../../../src/sse/page-assembler.ts"

type Arrival = ReturnType<SsePageAssembler["take"]>

function assemble(...events: readonly (readonly [name: string, rawData: string])[]): Arrival[] {
  const assembler = new SsePageAssembler()
  return events.map(([name, rawData]) => assembler.take({ name, rawData }))
}

function dataOf(arrival: Arrival): readonly string[] | undefined {
  return arrival === "malformed" ? undefined : arrival?.data
}

const control = '{"streamNextOffset":"o1"}'

describe("pages from events", () => {
  it("data is the page's whose control event comes next", () => {
    const arrivals = assemble(["data", "[1]"], ["data", "[2]"], ["control", control])
    expect(arrivals.slice(0, 2)).toEqual([undefined, undefined])
    expect(arrivals[2]).toEqual({
      data: ["[1]", "[2]"],
      offset: "o1",
      cursor: undefined,
      upToDate: false,
      streamClosed: false,
    })
  })

  it("a control event without data is a page of its own, and takes none of another's", () => {
    const arrivals = assemble(["data", "x"], ["control", control], ["control", control])
    expect(arrivals.map(dataOf)).toEqual([undefined, ["x"], []])
  })

  it("reads all that control says; closed implies up to date", () => {
    const told = { streamNextOffset: "o2", streamCursor: "c", upToDate: true, more: 1 }
    const [page] = assemble(["control", JSON.stringify(told)])
    expect(page).toMatchObject({ offset: "o2", cursor: "c", upToDate: true })
    const [closed] = assemble(["control", '{"streamNextOffset":"o2","streamClosed":true}'])
    expect(closed).toMatchObject({ upToDate: true, streamClosed: true })
  })

  it("takes no value for another: only true is true, only text is a cursor", () => {
    const odd = { streamNextOffset: "o", streamCursor: 7, upToDate: "true", streamClosed: 1 }
    expect(assemble(["control", JSON.stringify(odd)])[0]).toMatchObject({
      cursor: undefined,
      upToDate: false,
      streamClosed: false,
    })
  })

  it("passes over events of other names", () => {
    expect(assemble(["message", "x"], ["ping", "{}"], ["control", control]).map(dataOf)).toEqual([
      undefined,
      undefined,
      [],
    ])
  })

  it.each([
    ["no JSON", "{"],
    ["no object", "7"],
    ["null", "null"],
    ["an array", "[]"],
    ["without an offset", '{"upToDate":true}'],
    ["with an empty offset", '{"streamNextOffset":""}'],
    ["with half of a character in its offset", '{"streamNextOffset":"a\\ud800"}'],
    ["with an offset that is no text", '{"streamNextOffset":12}'],
  ])("a control event that is %s is malformed", (_what, rawData) => {
    expect(assemble(["control", rawData])[0]).toBe("malformed")
  })
})

describe("the space behind the colon", () => {
  it("is padding where the control event has it: one for each line, the rest is content", () => {
    const arrivals = assemble(["data", "  hello\n  world\n \n"], ["control", ` ${control}`])
    expect(dataOf(arrivals[1])).toEqual([" hello\n world\n\n"])
  })

  it("is content where the control event has none, as the reference server writes it", () => {
    const arrivals = assemble(["data", " hello\n world"], ["control", control])
    expect(dataOf(arrivals[1])).toEqual([" hello\n world"])
  })

  it("a line without it stays as it is", () => {
    expect(dataOf(assemble(["data", "a\n b"], ["control", ` ${control}`])[1])).toEqual(["a\nb"])
  })
})
