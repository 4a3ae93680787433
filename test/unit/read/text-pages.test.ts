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

/** Reads pages as text; gives the texts, each with its place, and what the session was told to fail with. */
async function read(
  pages: readonly (readonly [PageMark, Payload])[],
): Promise<{ texts: unknown[]; failure: unknown }> {
  const left = [...pages]
  let failure: unknown
  const session = {
    state: { offset: "-1" },
    next(): Promise<Page | undefined> {
      const next = failure === undefined ? left.shift() : undefined
      return Promise.resolve(next && { ...next[0], payload: next[1] })
    },
    delivered: () => undefined,
    fail: (error: unknown) => void (failure = error),
  }
  // No more of a session is used than what is written out above.
  const reader = new TextPages(session as unknown as Session, "https://streams.test/s?secret")
  const texts: unknown[] = []
  for (;;) {
    const page = await reader.next()
    if (page === undefined) return { texts, failure }
    texts.push([page.text, page.mark.offset, page.mark.upToDate])
  }
}

async function textsOf(pages: readonly (readonly [PageMark, Payload])[]): Promise<unknown[]> {
  return (await read(pages)).texts
}

describe("pages read as text", () => {
  it("each is given with its own place", async () => {
    expect(
      await textsOf([
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
    expect(await textsOf(pages)).toEqual([["a😀b", "o3", true]])
  })

  it("one that ends inside a character is not given where nothing more comes", async () => {
    const pages = [
      [mark("o1"), text("first ")],
      [mark("o2", { upToDate: true }), bytes(0x61, 0xc3)],
    ] as const
    expect(await textsOf(pages)).toEqual([["first ", "o1", false]])
  })

  it("half a character at the end of a closed stream is U+FFFD, and the end", async () => {
    const closed = mark("o2", { upToDate: true, streamClosed: true })
    expect(
      await textsOf([
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
    expect(await textsOf(pages)).toEqual([
      ["\uFFFDé", "o2", false],
      ["xy", "o3", false],
    ])
  })

  it("a BOM is content, on the first page and on any other", async () => {
    const pages = [
      [mark("o1"), text("\uFEFFa")],
      [mark("o2"), textPayload(["\uFEFFb"])],
    ] as const
    expect(await textsOf(pages)).toEqual([
      ["\uFEFFa", "o1", false],
      ["\uFEFFb", "o2", false],
    ])
  })

  it("one of any length is kept back for half a character", async () => {
    const long = "x".repeat(3 << 20)
    const page = new Uint8Array([...new TextEncoder().encode(`${long}y`), 0xc3])
    const texts = await textsOf([
      [mark("o1"), bufferedPayload(page)],
      [mark("o2"), bytes(0xa9)],
    ])
    expect(texts).toEqual([[`${long}yé`, "o2", false]])
  })

  it("many short ones are kept back as long as it takes", async () => {
    const halves = Array.from({ length: 500 }, (_, i) => [mark(`o${i}`), bytes(0xc3)] as const)
    const { texts, failure } = await read([...halves, [mark("end"), bytes(0xa9)]])
    expect(texts).toEqual([["\uFFFD".repeat(499) + "é", "end", false]])
    expect(failure).toBeUndefined()
  })

  it("no end of long ones is kept back: a text without a sound place is an error", async () => {
    const long = new Uint8Array(1 << 16).fill(0x61)
    const halves = Array.from(
      { length: 100 },
      (_, i) => [mark(`o${i}`), bufferedPayload(Uint8Array.from([...long, 0xc3]))] as const,
    )
    const { texts, failure } = await read(halves)
    expect(texts).toEqual([])
    expect(failure).toMatchObject({ code: "PARSE_ERROR" })
    expect(String(failure)).toMatch(/streams\.test\/s .* no UTF-8/)
  })
})
