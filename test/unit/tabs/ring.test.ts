import { describe, expect, it } from "vitest"
import { Ring } from "../../../src/tabs/ring.ts"
import type { SharedContent, SharedPage } from "../../../src/tabs/wire.ts"

const page = (start: string, end: string, content?: SharedContent): SharedPage => ({
  start,
  end: { offset: end, cursor: undefined, upToDate: true, streamClosed: false },
  content,
})

const ringOf = (pages: readonly SharedPage[], maxPageSize?: number) => {
  const ring = new Ring(maxPageSize)
  for (const one of pages) ring.add(one)
  return ring
}

describe("the ring of a holder", () => {
  it("sends everything behind a boundary as one page, of JSON or of bytes", () => {
    const documents = ringOf([page("a", "b", ["[1]"]), page("b", "c", ["[2]", "[3]"])])
    expect(documents.from("a")).toEqual(page("a", "c", ["[1]", "[2]", "[3]"]))
    expect(documents.from("b")).toEqual(page("b", "c", ["[2]", "[3]"]))
    const bytes = ringOf([page("a", "b", Uint8Array.of(1)), page("b", "c", Uint8Array.of(2))])
    expect(bytes.from("a")).toEqual(page("a", "c", Uint8Array.of(1, 2)))
  })

  it("has nothing for an offset that is no boundary", () => {
    const ring = ringOf([page("a", "c", ["[1,2]"])])
    expect(ring.from("b")).toBeUndefined()
    expect(ring.from("c")).toBeUndefined()
  })

  it("ends in front of an announced page, and announces it again", () => {
    const ring = ringOf([page("a", "b", ["[1]"]), page("b", "c"), page("c", "d", ["[3]"])])
    expect(ring.from("a")).toEqual(page("a", "b", ["[1]"]))
    expect(ring.from("b")).toEqual(page("b", "c"))
    expect(ring.from("c")).toEqual(page("c", "d", ["[3]"]))
  })

  it("announces a large page behind the empty one that a connection begins with", () => {
    const ring = ringOf([page("a", "a", ["[]"]), page("a", "b"), page("b", "c", ["[3]"])])
    expect(ring.from("a")).toEqual(page("a", "b"))
  })

  it("keeps 256 KiB of the latest pages, in which an empty page counts too", () => {
    const large = Array.from({ length: 10 }, (_, n) =>
      page(`${n}`, `${n + 1}`, new Uint8Array(60_000)),
    )
    const ring = ringOf(large)
    expect(ring.from("5")).toBeUndefined()
    expect(ring.from("6")?.end.offset).toBe("10")
    const empty = ringOf(Array.from({ length: 2_000 }, (_, n) => page(`${n}`, `${n + 1}`, [])))
    expect(empty.from("0")).toBeUndefined()
    expect(empty.from("1999")).toBeDefined()
  })

  it("sends no more at once than maxPageBytes, but a whole page", () => {
    const sizes = [3, 3, 3, 9, 1]
    const pages = sizes.map((size, n) => page(`${n}`, `${n + 1}`, new Uint8Array(size)))
    const ring = ringOf(pages, 7)
    const ends = sizes.map((_, n) => ring.from(`${n}`)?.end.offset)
    expect(ends).toEqual(["2", "3", "3", "4", "5"])
  })
})
