import { describe, expect, it } from "vitest"
import { Utf8Assembler } from "../../../src/protocol/utf8-assembler.ts"

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)

describe("text from bytes", () => {
  it("keeps a character that is half there until its other half comes", () => {
    const utf8 = new Utf8Assembler()
    const [first, ...rest] = bytesOf("é")
    expect(utf8.push(Uint8Array.of(0x61, first ?? 0))).toBe("a")
    expect(utf8.aligned).toBe(false)
    expect(utf8.push(Uint8Array.from(rest))).toBe("é")
    expect(utf8.aligned).toBe(true)
  })

  it("takes a character byte by byte", () => {
    const utf8 = new Utf8Assembler()
    const texts = [...bytesOf("😀")].map((byte) => utf8.push(Uint8Array.of(byte)))
    expect(texts).toEqual(["", "", "", "😀"])
  })

  it("keeps a BOM, at the start and elsewhere: it is content", () => {
    const utf8 = new Utf8Assembler()
    expect(utf8.push(bytesOf("\uFEFFa"))).toBe("\uFEFFa")
    expect(utf8.push(bytesOf("\uFEFFb"))).toBe("\uFEFFb")
  })

  it("says U+FFFD for what is no UTF-8, and once for what never became whole", () => {
    const utf8 = new Utf8Assembler()
    expect(utf8.push(Uint8Array.of(0x61, 0xff, 0x62))).toBe("a\uFFFDb")
    expect(utf8.push(bytesOf("漢").subarray(0, 2))).toBe("")
    expect(utf8.flush()).toBe("\uFFFD")
    expect([utf8.aligned, utf8.flush()]).toEqual([true, ""])
  })

  it("does not hold on to the buffer that it was given", () => {
    const utf8 = new Utf8Assembler()
    const chunk = bytesOf("é").subarray(0, 1)
    utf8.push(chunk)
    chunk[0] = 0x61
    expect(utf8.push(Uint8Array.of(0xa9))).toBe("é")
  })
})
