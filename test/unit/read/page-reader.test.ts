import { describe, expect, it } from "vitest"
import { bytesFormat, jsonFormat, textFormat } from "../../../src/read/consumers/formats.ts"
import { PageReader, type Reader, type ReadMode } from "../../../src/read/consumers/page-reader.ts"
import type { JsonBatchMeta } from "../../../src/read/stream-response.ts"
import {
  bufferedPayload,
  type PageContent,
  type PageMark,
  type PageSource,
  type Payload,
  type PayloadRead,
  type SourcePage,
  textPayload,
} from "../../../src/read/page.ts"

const url = "https://streams.test/s?secret"
const start: PageMark = { offset: "-1", cursor: undefined, upToDate: false, streamClosed: false }

/** A payload of parts; one that ends with `broken` breaks. */
function payload(...parts: readonly string[]): Payload {
  const left = [...parts]
  return {
    isComplete: false,
    read(): Promise<PayloadRead> {
      const part = left.shift()
      if (part === undefined) return Promise.resolve({ kind: "end" })
      if (part === "broken") {
        const failure = { kind: "network", error: new Error("reset") } as const
        return Promise.resolve({ kind: "failed", failure })
      }
      return Promise.resolve({ kind: "chunk", bytes: new TextEncoder().encode(part) })
    },
    release() {},
  }
}

const bytes = (...values: number[]): Payload => bufferedPayload(Uint8Array.from(values))
const text = (value: string): Payload => bufferedPayload(new TextEncoder().encode(value))

/** A session that gives these pages, one with an offset of its own for each, and notes what it is told of them. */
class Pages implements PageSource {
  readonly log: string[] = []
  readonly contentType = undefined
  readonly outcome = undefined
  readonly ended = new Promise<never>(() => undefined)
  readonly #pages: (readonly [Payload, Partial<PageMark>?])[]
  position = start
  maxPageBytes: number | undefined
  restarted = false
  #deliveredBytes = 0
  #count = 0

  constructor(...pages: readonly (Payload | readonly [Payload, Partial<PageMark>])[]) {
    this.#pages = pages.map((page) => ("read" in page ? [page] : page))
  }

  next(): Promise<SourcePage | undefined> {
    const next = this.#pages.shift()
    if (next === undefined) return Promise.resolve(undefined)
    const end = { ...start, offset: `o${++this.#count}`, ...next[1] }
    return Promise.resolve({
      start: this.position.offset,
      end,
      payload: next[0],
      deliveredBytes: this.#deliveredBytes,
      restarted: this.restarted,
    })
  }

  commit(page: SourcePage, content: PageContent): PageMark {
    this.hold(page, content, "commit")
    return (this.position = page.end)
  }

  hold(_page: SourcePage, { empty, bytes: size = 0 }: PageContent, what = "hold"): void {
    this.log.push(`${what} ${size}${empty ? ", empty" : ""}`)
    this.#deliveredBytes = Math.max(0, this.#deliveredBytes - size)
  }

  reject(_page: SourcePage, { kind }: { kind: string }, deliveredBytes = 0): void {
    this.log.push(`reject ${kind} behind ${deliveredBytes}`)
    this.#deliveredBytes = Math.max(this.#deliveredBytes, deliveredBytes)
  }

  fail(error: unknown): void {
    this.log.push(`fail ${(error as Error).name}`)
  }

  proceed(): void {}
  readToTail(): void {}
  cancel(): void {}
}

const parts: ReadMode = { partSize: 1, skipsEmpty: true }
const wholePages: ReadMode = { partSize: Infinity }
const wholeParts: ReadMode = { partSize: Infinity, skipsEmpty: true }

/** Everything that a reader hands over, each with the offset that it is accepted with. */
async function all<T>(
  reader: Reader<T, JsonBatchMeta>,
): Promise<{ value: T; offset: string | undefined }[]> {
  const deliveries: { value: T; offset: string | undefined }[] = []
  for (;;) {
    const delivery = await reader.next()
    if (delivery === undefined) return deliveries
    deliveries.push({ value: delivery.value, offset: reader.accept(delivery)?.offset })
  }
}

async function bytesIn(source: Pages, mode = parts): Promise<string[]> {
  const deliveries = await all(new PageReader(source, url, bytesFormat, mode))
  return deliveries.map(({ value }) => new TextDecoder().decode(value))
}

async function textIn(source: Pages, mode = wholePages): Promise<unknown[]> {
  const deliveries = await all(new PageReader(source, url, textFormat, mode))
  return deliveries.map(({ value, offset }) => [value, offset])
}

describe("parts of pages", () => {
  it("are handed over as they arrive; the page is committed behind the last one", async () => {
    const source = new Pages(payload("ab", "cd"), payload("ef"))
    expect(await bytesIn(source)).toEqual(["ab", "cd", "ef"])
    expect(source.log).toEqual(["commit 4", "commit 2"])
  })

  it("are never empty", async () => {
    const source = new Pages(payload(), payload("", "ab"))
    expect(await bytesIn(source)).toEqual(["ab"])
    expect(source.log).toEqual(["commit 0, empty", "commit 2"])
  })

  it("continue behind what was handed over, wherever a page broke and however it is split now", async () => {
    for (const again of [["abcdef"], ["a", "bc", "def"], ["abc", "def"], ["abcd", "ef"]]) {
      const source = new Pages(payload("ab", "c", "broken"), payload(...again))
      expect((await bytesIn(source)).join("|")).toMatch(/^ab\|c\|(d\|)?(def|ef)$/)
      expect(source.log).toEqual(["reject network behind 3", "commit 6"])
    }
  })

  it("skip several pages if the server divides them smaller now", async () => {
    const source = new Pages(payload("abcde", "broken"), payload("abc"), payload("defg"))
    expect((await bytesIn(source)).join("")).toBe("abcdefg")
    expect(source.log).toEqual(["reject network behind 5", "commit 3", "commit 4"])
  })

  it("are not handed over again if the second transfer breaks sooner", async () => {
    const source = new Pages(
      payload("abcd", "broken"),
      payload("ab", "broken"),
      payload("broken"),
      payload("abcdef"),
    )
    expect((await bytesIn(source)).join("")).toBe("abcdef")
  })

  it("of text continue inside a character that was half received when the page broke", async () => {
    const half = bytes(0x61, 0xc3)
    const read = half.read.bind(half)
    let reads = 0
    const breaking: Payload = {
      ...half,
      read: () => (++reads === 1 ? read() : payload("broken").read()),
    }
    const source = new Pages(breaking, bytes(0x61, 0xc3, 0xa9), text("b"))
    expect(await textIn(source, parts)).toEqual([
      ["a", "-1"],
      ["é", "-1"],
      ["b", "o2"],
    ])
    expect(source.log[0]).toBe("reject network behind 2")
  })

  it("of text that arrived as text are the page, and bytes behind a page that broke", async () => {
    expect(await textIn(new Pages(textPayload(["a", "ä"])), parts)).toEqual([["aä", "o1"]])
    expect(await bytesIn(new Pages(textPayload(["a", "ä"])))).toEqual(["aä"])
    const source = new Pages(payload("ab", "broken"), textPayload(["abc"]), textPayload(["d"]))
    expect((await textIn(source, parts)).map((one) => (one as string[])[0])).toEqual([
      "ab",
      "c",
      "d",
    ])
  })

  it("wait for the whole page if half of one has no meaning", async () => {
    const source = new Pages(payload("[1", "broken"), payload("[1,", "2]"), textPayload(["[3]"]))
    expect(await bytesIn(source, wholeParts)).toEqual(["[1,2]", "[3]"])
    expect(source.log[0]).toBe("reject network behind 0")
  })
})

describe("pages larger than a part may be", () => {
  it("are handed over in parts, with the offset before the page", async () => {
    const source = new Pages(payload("ab"), payload("cde", "fgh", "ij"), payload("k"))
    expect(await textIn(source, { partSize: 3 })).toEqual([
      ["ab", "o1"],
      ["cde", "o1"],
      ["fgh", "o1"],
      ["ij", "o2"],
      ["k", "o3"],
    ])
  })

  it("continue behind the last part if they break", async () => {
    const source = new Pages(payload("abc", "de", "broken"), payload("abcde", "fg"))
    expect(await textIn(source, { partSize: 3 })).toEqual([
      ["abc", "-1"],
      ["defg", "-1"],
      // The end of the page has an offset, and can be the tail.
      ["", "o2"],
    ])
    expect(source.log).toEqual(["reject network behind 3", "commit 7"])
  })

  it("end the session with PAGE_TOO_LARGE if a limit is set", async () => {
    const source = new Pages(payload("ab"), payload("cd", "e"))
    source.maxPageBytes = 2
    const reader = new PageReader(source, url, bytesFormat, wholePages)
    const first = await reader.next()
    if (first) reader.accept(first)
    const error = await reader.next().catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: "PAGE_TOO_LARGE" })
    expect(String(error)).toMatch(/streams\.test\/s is larger than maxPageBytes \(2 bytes\)/)
    expect(source.log).toEqual(["commit 2", "fail DurableStreamError"])
  })

  it("have no limit where no page is held", async () => {
    const source = new Pages(payload("abc", "de"))
    source.maxPageBytes = 1
    expect(await bytesIn(source)).toEqual(["abc", "de"])
  })
})

describe("pages of text", () => {
  it("each come with their own offset", async () => {
    expect(await textIn(new Pages(text("aé"), text("b")))).toEqual([
      ["aé", "o1"],
      ["b", "o2"],
    ])
  })

  it("that end inside a character are held and handed over with the next", async () => {
    const source = new Pages(bytes(0x61, 0xf0, 0x9f), bytes(0x98), bytes(0x80, 0x62))
    expect(await textIn(source)).toEqual([["a😀b", "o3"]])
    expect(source.log).toEqual(["hold 3", "hold 1", "commit 2"])
  })

  it("that end inside a character are not handed over if nothing more comes", async () => {
    const source = new Pages(text("first "), bytes(0x61, 0xc3))
    expect(await textIn(source)).toEqual([["first ", "o1"]])
    expect(source.position.offset).toBe("o1")
  })

  it("that were held are still there if the next one breaks", async () => {
    const source = new Pages(bytes(0x61, 0xc3), payload("x", "broken"), bytes(0xa9))
    expect(await textIn(source)).toEqual([["aé", "o3"]])
  })

  it("half a character at the end of a closed stream is U+FFFD, and the end", async () => {
    const source = new Pages(bytes(0xe6, 0xbc), [bytes(), { streamClosed: true }])
    expect(await textIn(source)).toEqual([["\uFFFD", "o2"]])
  })

  it("that arrived over SSE complete what arrived as bytes before", async () => {
    const source = new Pages(bytes(0xc3), textPayload(["é"]), textPayload(["x", "y"]))
    expect(await textIn(source)).toEqual([
      ["\uFFFDé", "o2"],
      ["xy", "o3"],
    ])
  })

  it("keep a BOM, on the first page and on any other", async () => {
    const source = new Pages(text("\uFEFFa"), textPayload(["\uFEFFb"]))
    expect(await textIn(source)).toEqual([
      ["\uFEFFa", "o1"],
      ["\uFEFFb", "o2"],
    ])
  })

  it("of any length are held for half a character", async () => {
    const long = "x".repeat(3 << 20)
    const page = new Uint8Array([...new TextEncoder().encode(`${long}y`), 0xc3])
    const source = new Pages(bufferedPayload(page), bytes(0xa9))
    expect(await textIn(source)).toEqual([[`${long}yé`, "o2"]])
  })

  it("are held as long as it takes, if they are short", async () => {
    const halves = Array.from({ length: 500 }, () => bytes(0xc3))
    expect(await textIn(new Pages(...halves, bytes(0xa9)))).toEqual([
      ["\uFFFD".repeat(499) + "é", "o501"],
    ])
  })

  it("are handed over without an offset of their own before they are held without end", async () => {
    const long = new TextEncoder().encode("x".repeat(10))
    const halves = Array.from({ length: 5 }, () =>
      bufferedPayload(Uint8Array.from([...long, 0xc3])),
    )
    const deliveries = await textIn(new Pages(...halves), { partSize: 20 })
    expect(deliveries.map((one) => (one as string[])[1])).toEqual(["-1", "-1"])
  })

  it("that were held are dropped if the stream was recreated", async () => {
    const source = new Pages(bytes(0x61, 0xc3), text("new"))
    const reader = new PageReader(source, url, textFormat, wholePages)
    const pending = reader.next()
    source.restarted = true
    const delivery = await pending
    expect(delivery?.value).toBe("new")
    expect(delivery && reader.accept(delivery)).toMatchObject({ offset: "o2", restarted: true })
  })
})

describe("pages of JSON", () => {
  const json = async (source: Pages) =>
    (await all(new PageReader(source, url, jsonFormat, wholePages))).map(({ value }) => value)

  it("are arrays of messages, or one message; a BOM is none", async () => {
    const source = new Pages(text("[1,[2]]"), text('{"a":1}'), text("\uFEFF[3]"), text("[]"))
    expect(await json(source)).toEqual([[1, [2]], [{ a: 1 }], [3], []])
    expect(source.log).toEqual(["commit 7", "commit 7", "commit 6", "commit 2, empty"])
  })

  it("over SSE are a document for each event", async () => {
    expect(await json(new Pages(textPayload(["[1]", "[]", "2"])))).toEqual([[1, 2]])
  })

  it("that are not valid are rejected as malformed", async () => {
    const source = new Pages(text("[1"), text("[1]"))
    expect(await json(source)).toEqual([[1]])
    expect(source.log).toEqual(["reject malformed behind 0", "commit 3"])
  })

  it("whose content was lost are rejected as malformed, but not those without a body", async () => {
    const source = new Pages(text(""), text("\n"), [bytes(), { offset: "-1" }], {
      ...bytes(),
      bodiless: true,
    })
    expect(await json(source)).toEqual([[], []])
    expect(source.log).toEqual([
      "reject malformed behind 0",
      "reject malformed behind 0",
      "commit 0, empty",
      "commit 0, empty",
    ])
  })
})
