import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { ByteSplitter } from "../../../src/write/content-splitter.ts"
import { isWellFormed } from "../../../src/protocol/well-formed.ts"

function bytesOf(parts: readonly Uint8Array[]): number[] {
  return parts.flatMap((part) => [...part])
}

describe("ByteSplitter", () => {
  it("encodes a text as a whole, wherever it is cut, and rejects half of a character", () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: "binary", maxLength: 5 })), (chunks) => {
        const text = chunks.join("")
        for (const pieces of [chunks, text.split("")]) {
          const splitter = new ByteSplitter("http://h/s")
          const encode = () => [
            ...pieces.flatMap((piece) => splitter.push(piece)),
            ...splitter.end(),
          ]
          if (isWellFormed(text)) expect(Buffer.concat(encode()).toString()).toBe(text)
          else expect(encode).toThrow("half of a character")
        }
      }),
    )
  })

  it("gives nothing for nothing", () => {
    const splitter = new ByteSplitter("http://h/s")
    expect(splitter.push("")).toEqual([])
    expect(splitter.push(new Uint8Array())).toEqual([])
    expect(splitter.push("\ud83d")).toEqual([])
    expect(bytesOf(splitter.push("\ude00"))).toEqual([...Buffer.from("😀")])
    expect(splitter.end()).toEqual([])
  })

  it("rejects half of a character before bytes and at the end", () => {
    for (const finish of [
      (splitter: ByteSplitter) => splitter.push(new Uint8Array([1])),
      (splitter: ByteSplitter) => splitter.end(),
    ]) {
      const splitter = new ByteSplitter("http://h/s")
      splitter.push("a\ud83d")
      expect(() => finish(splitter)).toThrow("http://h/s")
    }
  })
})
