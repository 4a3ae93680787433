import { afterEach, describe, expect, it, vi } from "vitest"

/** The module as it is on a platform: it keeps the encoder and the decoder that it makes. */
async function load() {
  vi.resetModules()
  return import("../../../src/platform/text.ts")
}

const texts = [
  "",
  "plain",
  "é ü ß",
  "日本語",
  "😀 and %41",
  "\uFEFFwith a BOM",
  "\0\x7F\u0080\uFFFF",
]

afterEach(() => {
  vi.unstubAllGlobals()
})

describe("encodeUtf8", () => {
  it.each(["with", "without"])("encodes as the platform does, %s TextEncoder", async (which) => {
    const platform = new TextEncoder()
    if (which === "without") vi.stubGlobal("TextEncoder", undefined)
    const { encodeUtf8 } = await load()
    for (const text of [...texts, "half \uD83D of", "\uDE00\uD83D"]) {
      expect(encodeUtf8(text)).toEqual(platform.encode(text))
    }
  })
})

describe("decodeUtf8", () => {
  it.each(["with", "without"])("decodes as the platform does, %s TextDecoder", async (which) => {
    const encoder = new TextEncoder()
    if (which === "without") vi.stubGlobal("TextDecoder", undefined)
    const { decodeUtf8 } = await load()
    for (const text of texts) expect(decodeUtf8(encoder.encode(text))).toBe(text)
  })

  it("makes U+FFFD of what is malformed", async () => {
    const { decodeUtf8 } = await load()
    expect(decodeUtf8(new Uint8Array([0x61, 0xff, 0x62]))).toBe("a\uFFFDb")
  })

  it("names the global that it needs for what is malformed", async () => {
    vi.stubGlobal("TextDecoder", undefined)
    const { decodeUtf8 } = await load()
    expect(() => decodeUtf8(new Uint8Array([0xff]))).toThrow(/TextDecoder/)
  })
})

describe("decodeUtf8Strictly", () => {
  it("works with a TextDecoder that does not know `fatal`", async () => {
    const Native = TextDecoder
    vi.stubGlobal(
      "TextDecoder",
      class {
        constructor(_label: string, options?: TextDecoderOptions) {
          if (options?.fatal === true) throw new TypeError("fatal is not supported")
        }
        decode(bytes: Uint8Array) {
          return new Native("utf-8", { ignoreBOM: true }).decode(bytes)
        }
      },
    )
    const { decodeUtf8Strictly } = await load()
    expect(decodeUtf8Strictly(new TextEncoder().encode("é"))).toBe("é")
    expect(() => decodeUtf8Strictly(new Uint8Array([0xff]))).toThrow(TypeError)
  })

  it("accepts U+FFFD itself, and rejects what would become it", async () => {
    const { decodeUtf8Strictly } = await load()
    expect(decodeUtf8Strictly(new TextEncoder().encode("a\uFFFD\uFEFF"))).toBe("a\uFFFD\uFEFF")
    for (const bytes of [[0xff], [0xc3], [0xed, 0xa0, 0x80], [0xef, 0xbf, 0xbd, 0x80]]) {
      expect(() => decodeUtf8Strictly(new Uint8Array(bytes))).toThrow(TypeError)
    }
  })
})

describe("toWellFormed", () => {
  it.each([
    ["", ""],
    ["whole 😀", "whole 😀"],
    ["\uD83D", "\uFFFD"],
    ["a\uDE00\uD83D\uDE00\uD83Db", "a\uFFFD😀\uFFFDb"],
  ])("replaces half of a character in %j", async (text, replaced) => {
    const { toWellFormed } = await load()
    expect(toWellFormed(text)).toBe(replaced)
  })
})
