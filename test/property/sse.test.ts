import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { IdleWatch } from "../../src/read/idle-watch.ts"
import { SseConnection, type SseRead } from "../../src/read/sse-connection.ts"
import { readPayload } from "../support/read-payload.ts"
import { chunked, cuts } from "./split-bytes.ts"

const encoder = new TextEncoder()

/** How a server writes its events: line ends, the space behind the colon, how data is cut into events and lines. */
interface Style {
  lineEnd: string
  padding: string
  bom: boolean
  comment: string
}

const styles: fc.Arbitrary<Style> = fc.record({
  lineEnd: fc.constantFrom("\n", "\r", "\r\n"),
  padding: fc.constantFrom("", " "),
  bom: fc.boolean(),
  comment: fc.constantFrom("", ": ping", ":", "retry: 5", "id: 7", "event"),
})

/** A page as a server has it: events of data, then where it ends. */
interface SentPage<T> {
  data: T[]
  closed: boolean
}

function write(style: Style, name: string, lines: readonly string[]): string {
  const { lineEnd, padding, comment } = style
  const fields = [`event:${padding}${name}`, ...lines.map((line) => `data:${padding}${line}`)]
  const noise = comment === "" ? "" : comment + lineEnd + lineEnd
  return noise + fields.join(lineEnd) + lineEnd + lineEnd
}

function writeAll<T>(
  style: Style,
  pages: readonly SentPage<T>[],
  linesOf: (data: T) => readonly string[],
): Uint8Array {
  const events = pages.flatMap(({ data, closed }, index) => {
    const control = { streamNextOffset: `o${index + 1}`, ...(closed && { streamClosed: true }) }
    return [
      ...data.map((item) => write(style, "data", linesOf(item))),
      write(style, "control", JSON.stringify(control, null, index % 2).split("\n")),
    ]
  })
  return encoder.encode((style.bom ? "\uFEFF" : "") + events.join(""))
}

interface Heard {
  texts: string[]
  bytes: number[]
  offset: string
  closed: boolean
  ending: SseRead
}

/** Everything that a connection brings of these chunks, before they end. */
async function hear(
  chunks: readonly Uint8Array[],
  contentType: string,
  headers: Record<string, string> = {},
): Promise<Heard> {
  const body = new ReadableStream<Uint8Array>({
    start(stream) {
      for (const chunk of chunks) stream.enqueue(chunk)
      stream.close()
    },
  })
  const under = {
    url: "https://streams.test/s",
    signal: new AbortController().signal,
    watch: new IdleWatch("https://streams.test/s", { onIdle: () => undefined }),
    idleTimeoutMs: Infinity,
    platform: { lacksArrayBuffer: false },
  }
  const connection = new SseConnection(new Response(body, { headers }), {
    ...under,
    contentType,
    offset: "o0",
    startedAtMs: performance.now(),
    firstByteTimeoutMs: Infinity,
    maxPageBytes: undefined,
  })
  const heard = { texts: [] as string[], bytes: [] as number[], offset: "o0", closed: false }
  for (;;) {
    const read = await connection.next()
    if (read.kind !== "page") return { ...heard, ending: read }
    const { payload } = read
    const { offset, streamClosed } = read.end
    heard.texts.push(...(payload.texts ?? []))
    const whole = await readPayload(payload)
    if (whole.kind === "whole") heard.bytes.push(...whole.bytes)
    Object.assign(heard, { offset, closed: streamClosed })
  }
}

function pagesOf<T>(item: fc.Arbitrary<T>): fc.Arbitrary<SentPage<T>[]> {
  const page = fc.record({
    data: fc.array(item, { maxLength: 4 }),
    closed: fc.constant(false),
  })
  return fc
    .tuple(fc.array(page, { minLength: 1, maxLength: 4 }), fc.boolean())
    .map(([pages, closes]) =>
      pages.map((sent, index) => ({ ...sent, closed: closes && index === pages.length - 1 })),
    )
}

const text = fc
  .string({ unit: "grapheme", maxLength: 12 })
  .map((raw) => raw.replace(/[\r\uFFFD]/g, ""))
const lines = fc.array(text, { minLength: 1, maxLength: 4 })
const spaced = fc.tuple(fc.constantFrom("", " ", "  "), text).map((parts) => parts.join(""))

describe("SSE, its bytes split anywhere", () => {
  it("text is what was written, leading spaces and empty lines too", async () => {
    await fc.assert(
      fc.asyncProperty(
        styles,
        pagesOf(fc.array(spaced, { minLength: 1, maxLength: 4 })),
        cuts,
        async (style, pages, at) => {
          const bytes = writeAll(style, pages, (data) => data)
          const heard = await hear(chunked(bytes, at), "text/plain")
          expect(heard.texts).toEqual(pages.flatMap(({ data }) => data.map((d) => d.join("\n"))))
          expect(heard.offset).toBe(`o${pages.length}`)
          expect(heard.closed).toBe(pages.at(-1)?.closed)
        },
      ),
      { numRuns: 400 },
    )
  })

  it("JSON is what was written, over any number of lines and events", async () => {
    await fc.assert(
      fc.asyncProperty(styles, pagesOf(fc.jsonValue()), cuts, async (style, pages, at) => {
        const bytes = writeAll(style, pages, (data) => JSON.stringify([data], null, 1).split("\n"))
        const heard = await hear(chunked(bytes, at), "application/json")
        const messages = heard.texts.flatMap((document) => JSON.parse(document) as unknown[])
        const sent = pages.flatMap(({ data }) => data)
        expect(messages).toEqual(JSON.parse(JSON.stringify(sent)))
      }),
      { numRuns: 300 },
    )
  })

  it("base64 is what was written, broken into lines anywhere", async () => {
    const bytesAndWidth = fc.tuple(
      fc.uint8Array({ maxLength: 40 }),
      fc.integer({ min: 1, max: 20 }),
    )
    await fc.assert(
      fc.asyncProperty(styles, pagesOf(bytesAndWidth), cuts, async (style, pages, at) => {
        const bytes = writeAll(style, pages, ([data, width]) => {
          const encoded = Buffer.from(data).toString("base64")
          return encoded.match(new RegExp(`.{1,${width}}`, "g")) ?? [""]
        })
        const heard = await hear(chunked(bytes, at), "application/octet-stream")
        expect(heard.bytes).toEqual(pages.flatMap(({ data }) => data.flatMap(([d]) => [...d])))
      }),
      { numRuns: 300 },
    )
  })

  it("what a connection brings and where it stands belong together, wherever it ends", async () => {
    await fc.assert(
      fc.asyncProperty(
        styles,
        pagesOf(lines),
        cuts,
        fc.double({ min: 0, max: 1, noNaN: true }),
        async (style, pages, at, fraction) => {
          const all = writeAll(style, pages, (data) => data)
          const bytes = all.subarray(0, Math.floor(all.byteLength * fraction))
          const heard = await hear(chunked(bytes, at), "text/plain")
          const whole = Number(heard.offset.slice(1))
          const delivered = pages.slice(0, whole).flatMap(({ data }) => data)
          expect(heard.texts).toEqual(delivered.map((data) => data.join("\n")))
          expect(heard.ending.kind).toBe("sse-closed")
        },
      ),
      { numRuns: 400 },
    )
  })

  it("bytes that are no events at all bring nothing and do no harm", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), cuts, async (bytes, at) => {
        const heard = await hear(chunked(bytes, at), "text/plain")
        expect(heard.texts).toEqual([])
      }),
    )
  })
})

describe("SSE that cannot be taken as it is", () => {
  const style = { lineEnd: "\n", padding: " ", bom: false, comment: "" }
  const page = (data: string): SentPage<string> => ({ data: [data], closed: false })

  it.each([
    ["base64 that is none", "abc", "application/octet-stream"],
    ["base64 of another alphabet", "ab_-", "application/octet-stream"],
    ["base64 whose padding is missing", "YQ", "image/png"],
  ])("%s ends the connection behind the pages before it", async (_what, data, contentType) => {
    const bytes = writeAll(style, [page("YWJj"), page(data), page("YWJj")], (line) => [line])
    const heard = await hear([bytes], contentType)
    expect([heard.offset, heard.bytes]).toEqual(["o1", [97, 98, 99]])
    expect(heard.ending).toMatchObject({ kind: "sse-closed", ending: { kind: "malformed" } })
  })

  it("text in which a character may be missing is left to another transport", async () => {
    const bytes = writeAll(style, [page("whole"), page("half \uFFFD"), page("x")], (l) => [l])
    const heard = await hear([bytes], "text/plain")
    expect(heard).toMatchObject({
      offset: "o1",
      texts: ["whole"],
      ending: { ending: { kind: "lossy-text" } },
    })
  })

  it("the header decides, and where it is hidden the content type: text in base64 is bytes", async () => {
    const bytes = writeAll(style, [page("aMOk")], (line) => [line])
    const header = { "stream-sse-data-encoding": "base64" }
    expect((await hear([bytes], "text/plain", header)).bytes).toEqual([...encoder.encode("hä")])
    expect((await hear([bytes], "application/x-ndjson")).bytes).toEqual([...encoder.encode("hä")])
    expect((await hear([bytes], "text/plain")).texts).toEqual(["aMOk"])
  })

  it("a malformed control event ends the connection, its data with it", async () => {
    const good = writeAll(style, [page("good")], (line) => [line])
    const bad = encoder.encode("event: data\ndata: lost\n\nevent: control\ndata: {oops\n\n")
    const heard = await hear([good, bad], "text/plain")
    expect(heard).toMatchObject({ offset: "o1", texts: ["good"] })
    expect(heard.ending).toMatchObject({ ending: { kind: "malformed", brought: "content" } })
  })
})
