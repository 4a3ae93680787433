import { describe, expect, it } from "vitest"
import { decodeChunk, endText, NO_TEXT } from "../../../src/protocol/utf8-decoder.ts"

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)

describe("decodeChunk", () => {
  it("keeps the bytes of a character that is not whole until the rest arrives", () => {
    const [first, ...rest] = bytesOf("é")
    const half = decodeChunk(NO_TEXT, Uint8Array.of(0x61, first ?? 0))
    expect(half).toEqual({ text: "a", pending: Uint8Array.of(0xc3) })
    expect(decodeChunk(half, Uint8Array.from(rest))).toEqual({ text: "aé", pending: undefined })
  })

  it("decodes a character that arrives byte by byte", () => {
    const texts: string[] = []
    let decoded = NO_TEXT
    for (const byte of bytesOf("😀")) {
      decoded = decodeChunk(decoded, Uint8Array.of(byte))
      texts.push(decoded.text)
    }
    expect(texts).toEqual(["", "", "", "😀"])
  })

  it("keeps a BOM, at the start and elsewhere: it is content", () => {
    const decoded = decodeChunk(NO_TEXT, bytesOf("\uFEFFa"))
    expect(decodeChunk(decoded, bytesOf("\uFEFFb")).text).toBe("\uFEFFa\uFEFFb")
  })

  it("decodes what is not UTF-8 as U+FFFD, and as one what never became whole", () => {
    expect(decodeChunk(NO_TEXT, Uint8Array.of(0x61, 0xff, 0x62)).text).toBe("a\uFFFDb")
    const half = decodeChunk(NO_TEXT, bytesOf("漢").subarray(0, 2))
    expect(half.text).toBe("")
    expect(endText(half)).toEqual({ text: "\uFFFD", pending: undefined })
    expect(endText(endText(half)).text).toBe("\uFFFD")
  })

  it("does not keep the buffer that it was given", () => {
    const chunk = bytesOf("é").subarray(0, 1)
    const half = decodeChunk(NO_TEXT, chunk)
    chunk[0] = 0x61
    expect(decodeChunk(half, Uint8Array.of(0xa9)).text).toBe("é")
  })

  it("does not change what it is given: a page that breaks is decoded again from there", () => {
    const half = decodeChunk(NO_TEXT, Uint8Array.of(0x61, 0xc3))
    decodeChunk(half, Uint8Array.of(0xa9, 0x62))
    expect(decodeChunk(half, Uint8Array.of(0xa8)).text).toBe("aè")
  })
})
