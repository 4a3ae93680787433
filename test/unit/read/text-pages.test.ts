import { describe, expect, it } from "vitest"
import { TextPages } from "../../../src/read/consumers/text-pages.ts"
import type { Page, PageMark } from "../../../src/read/page.ts"
import { bufferedPayload, textPayload, type Payload } from "../../../src/read/payload.ts"
import type { Session } from "../../../src/read/session.ts"

const start: PageMark = { offset: "-1", cursor: undefined, upToDate: false, streamClosed: false }

function mark(offset: string, more: Partial<PageMark> = {}): PageMark {
  return { ...start, offset, ...more }
}

const bytes = (...values: number[]): Payload => bufferedPayload(Uint8Array.from(values))
const text = (value: string): Payload => bufferedPayload(new TextEncoder().encode(value))

/** Reads pages as text; gives the texts, each with its place. */
async function read(
  pages: readonly (readonly [PageMark, Payload])[],
  stopAtTail = false,
): Promise<unknown[]> {
  const left = [...pages]
  const delivered: string[] = []
  const session = {
    state: { offset: "-1" },
    next(): Promise<Page | undefined> {
      const next = left.shift()
      return Promise.resolve(next && { ...next[0], payload: next[1] })
    },
    delivered: () => void delivered.push("held"),
  }
  // No more of a session is used than what is written out above.
  const texts = new TextPages(session as unknown as Session, start, stopAtTail)
  const seen: unknown[] = []
  for (;;) {
    const page = await texts.next()
    if (page === undefined) return seen
    seen.push([page.text, page.mark.offset, page.mark.upToDate])
  }
}

describe("pages read as text", () => {
  it("each is given with its own place", async () => {
    expect(
      await read([
        [mark("o1"), text("aé")],
        [mark("o2", { upToDate: true }), text("b")],
      ]),
    )
      // prettier-ignore
      .toEqual([
        ["aé", "o1", false],
        ["b", "o2", true],
      ])
  })

  it("one that ends inside a character is kept back and given with the next", async () => {
    const pages = [
      [mark("o1"), bytes(0x61, 0xf0, 0x9f)],
      [mark("o2", { upToDate: true }), bytes(0x98)],
      [mark("o3", { upToDate: true }), bytes(0x80, 0x62)],
    ] as const
    expect(await read(pages)).toEqual([["a😀b", "o3", true]])
  })

  it("kept back at the tail where nothing more is read: what is whole, and the last sound place", async () => {
    const pages = [
      [mark("o1"), text("first ")],
      [mark("o2", { upToDate: true }), bytes(0x61, 0xc3)],
    ] as const
    expect(await read(pages, true)).toEqual([
      ["first ", "o1", false],
      ["a", "o1", true],
    ])
  })

  it("half a character at the end of a closed stream is U+FFFD, and the end", async () => {
    const closed = mark("o2", { upToDate: true, streamClosed: true })
    expect(
      await read([
        [mark("o1"), bytes(0xe6, 0xbc)],
        [closed, bytes()],
      ]),
    )
      // prettier-ignore
      .toEqual([["\uFFFD", "o2", true]])
  })

  it("text that came by SSE completes what came as bytes before", async () => {
    const pages = [
      [mark("o1"), bytes(0xc3)],
      [mark("o2"), textPayload(["é"])],
      [mark("o3"), textPayload(["x", "y"])],
    ] as const
    expect(await read(pages)).toEqual([
      ["\uFFFDé", "o2", false],
      ["xy", "o3", false],
    ])
  })

  it("a BOM is content, on the first page and on any other", async () => {
    const pages = [
      [mark("o1"), text("\uFEFFa")],
      [mark("o2"), textPayload(["\uFEFFb"])],
    ] as const
    expect(await read(pages)).toEqual([
      ["\uFEFFa", "o1", false],
      ["\uFEFFb", "o2", false],
    ])
  })

  it("no more than a mebibyte of text is kept back for half a character", async () => {
    const long = "x".repeat(1 << 20)
    const page = new Uint8Array([...new TextEncoder().encode(`${long}y`), 0xc3])
    const seen = await read([
      [mark("o1"), bufferedPayload(page)],
      [mark("o2"), bytes(0xa9)],
    ])
    expect(seen).toEqual([
      [`${long}y`, "-1", false],
      ["é", "o2", false],
    ])
  })
})
