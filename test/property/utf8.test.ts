import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { stream, type StreamResponse } from "../../src/index.ts"
import { decodeChunk, endText, NO_TEXT } from "../../src/protocol/utf8-decoder.ts"
import { chunked, cuts } from "./split-bytes.ts"

const encoder = new TextEncoder()
const url = "https://streams.test/s"

/** Text of one to four bytes a character, a BOM among them. */
const texts = fc
  .array(fc.oneof(fc.string({ unit: "binary", maxLength: 4 }), fc.constant("\uFEFF")), {
    maxLength: 12,
  })
  // Half of a surrogate pair is no text: it is written as U+FFFD.
  .map((parts) =>
    new TextDecoder("utf-8", { ignoreBOM: true }).decode(encoder.encode(parts.join(""))),
  )

/** A server whose pages are these chunks; the offsets are how many bytes lie before. Live pages come by long-poll. */
function pagesOf(chunks: readonly Uint8Array[], livePages: number): typeof globalThis.fetch {
  const ends = chunks.map((_chunk, index) =>
    chunks.slice(0, index + 1).reduce((sum, chunk) => sum + chunk.byteLength, 0),
  )
  return (input) => {
    const { searchParams } = new URL(String(input))
    const from = Math.max(0, Number(searchParams.get("offset")))
    const index = ends.findIndex((end) => end > from)
    const page = index === -1 ? new Uint8Array() : (chunks[index] ?? new Uint8Array())
    const begin = index === -1 ? from : (ends[index] ?? 0) - page.byteLength
    const last = index === -1 || index === chunks.length - 1
    const atTail = last || index >= chunks.length - 1 - livePages
    const headers = {
      "content-type": "text/plain",
      "stream-next-offset": String(index === -1 ? from : ends[index]),
      ...(atTail && { "stream-up-to-date": "true" }),
      ...(last && { "stream-closed": "true" }),
    }
    return Promise.resolve(new Response(page.slice(from - begin), { headers }))
  }
}

/** Where chunks of bytes end, the last one at their end. */
function endsOf(bytes: Uint8Array, at: readonly number[]): number[] {
  let end = 0
  return chunked(bytes, at).map((chunk) => (end += chunk.byteLength))
}

/** An open stream whose pages end where they may, and at its tail. */
function openStream(bytes: Uint8Array, pageEnds: readonly number[]): typeof globalThis.fetch {
  return (input) => {
    const asked = new URL(String(input)).searchParams.get("offset")
    const from = asked === "-1" ? 0 : Number(asked)
    const tail = bytes.byteLength
    const end = pageEnds.find((pageEnd) => pageEnd > from && pageEnd < tail) ?? tail
    const headers = {
      "content-type": "text/plain",
      "stream-next-offset": String(end),
      ...(end === tail && { "stream-up-to-date": "true" }),
    }
    return Promise.resolve(new Response(bytes.slice(from, end), { headers }))
  }
}

async function readText(response: StreamResponse, method: string): Promise<string> {
  let text = ""
  if (method === "textStream") for await (const part of response.textStream()) text += part
  else if (method === "textChunks")
    for await (const part of response.textChunks()) text += part.text
  else {
    response.subscribeText((chunk) => void (text += chunk.text))
    await response.closed
  }
  return text
}

describe("UTF-8", () => {
  it("any bytes, split anywhere, are the text that they are whole", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), cuts, (bytes, at) => {
        const decoded = chunked(bytes, at).reduce(decodeChunk, NO_TEXT)
        const whole = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes)
        expect(endText(decoded)).toEqual({ text: whole, pending: undefined })
      }),
      { numRuns: 5000 },
    )
  })

  it("no part that is given ends inside a character", () => {
    fc.assert(
      fc.property(texts, cuts, (text, at) => {
        let decoded = NO_TEXT
        for (const chunk of chunked(encoder.encode(text), at)) {
          decoded = decodeChunk(decoded, chunk)
          expect(decoded.text).not.toContain("\uFFFD")
        }
        expect(decoded).toEqual({ text, pending: undefined })
      }),
      { numRuns: 1000 },
    )
  })

  it("pages that end inside characters give the text that was written, by every method", async () => {
    await fc.assert(
      fc.asyncProperty(
        texts.filter((text) => !text.includes("\uFFFD")),
        cuts,
        fc.nat(3),
        fc.constantFrom("textStream", "textChunks", "subscribeText"),
        async (text, at, livePages, method) => {
          const chunks = chunked(encoder.encode(text), at).filter((chunk) => chunk.byteLength > 0)
          const fetch = pagesOf(chunks, livePages)
          const response = await stream({ url, fetch, live: "long-poll" })
          expect(await readText(response, method)).toBe(text)
          expect(response.streamClosed).toBe(true)
        },
      ),
      { numRuns: 150 },
    )
  })

  it("what was delivered up to any offset, and a fresh read from it, is the whole text", async () => {
    await fc.assert(
      fc.asyncProperty(
        texts.filter((text) => !text.includes("\uFFFD")),
        cuts,
        async (text, at) => {
          const chunks = chunked(encoder.encode(text), at).filter((chunk) => chunk.byteLength > 0)
          const fetch = pagesOf(chunks, 1)
          const first = await stream({ url, fetch, live: "long-poll" })
          const places: Array<[offset: string, delivered: string]> = []
          let delivered = ""
          for await (const chunk of first.textChunks()) {
            delivered += chunk.text
            places.push([chunk.offset, delivered])
          }
          for (const [offset, before] of places) {
            const rest = await stream({ url, fetch, offset, live: "long-poll" })
            expect(before + (await readText(rest, "textChunks"))).toBe(text)
          }
        },
      ),
      { numRuns: 40 },
    )
  })

  it("finite reads, each from where the last one ended, give the whole text, once", async () => {
    await fc.assert(
      fc.asyncProperty(
        texts.filter((text) => !text.includes("\uFFFD")),
        cuts,
        cuts,
        fc.constantFrom("textChunks", "subscribeText"),
        async (text, tails, at, method) => {
          const whole = encoder.encode(text)
          // The stream grows from read to read, and its tail can be inside a character.
          const pageEnds = endsOf(whole, at)
          let offset = "-1"
          let read = ""
          for (const tail of endsOf(whole, tails)) {
            const fetch = openStream(whole.subarray(0, tail), pageEnds)
            const response = await stream({ url, fetch, live: false, offset })
            read += await readText(response, method)
            offset = response.offset
            expect(text.startsWith(read)).toBe(true)
          }
          expect(read).toBe(text)
        },
      ),
      { numRuns: 300 },
    )
  })
})
