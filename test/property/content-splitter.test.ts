import fc from "fast-check"
import { expect, it } from "vitest"
import { DurableStreamError } from "../../src/errors/durable-stream-error.ts"
import { JsonSplitter } from "../../src/write/content-splitter.ts"

const whiteSpace = fc.stringMatching(/^[ \t\r\n]{0,3}$/)
const stringified = fc.jsonValue().map((value) => JSON.stringify(value))

/** A value, and a text of values as people write it: on its own, or in an array. */
const section = fc.oneof(
  stringified
    // An array at the outside is the list of the messages in it.
    .filter((text) => !text.startsWith("["))
    .map((text) => ({ text: `${text}\n`, messages: [text] })),
  fc
    .tuple(fc.array(fc.tuple(whiteSpace, stringified, whiteSpace)), whiteSpace)
    .map(([elements, inner]) => ({
      text: elements.length === 0 ? `[${inner}]` : `[${elements.map((e) => e.join("")).join(",")}]`,
      messages: elements.map(([, text]) => text),
    })),
)

const document = fc.array(fc.tuple(whiteSpace, section)).map((sections) => ({
  text: sections.map(([space, { text }]) => space + text).join(""),
  messages: sections.flatMap(([, { messages }]) => messages),
}))

/** Cuts into pieces of the given sizes, over and over. */
function cut<T extends { length: number; slice(from: number, to: number): T }>(
  whole: T,
  sizes: readonly number[],
): T[] {
  const pieces: T[] = []
  for (let at = 0, turn = 0; at < whole.length; turn++) {
    const size = sizes[turn % sizes.length] ?? 1
    pieces.push(whole.slice(at, at + size))
    at += size
  }
  return pieces
}

function split(chunks: readonly (string | Uint8Array)[]): string[] {
  const splitter = new JsonSplitter("http://h/s")
  const messages = chunks.flatMap((chunk) => splitter.push(chunk))
  // White space around a message belongs to it; text is not made into bytes.
  return [...messages, ...splitter.end()].map((message) => String(message).trim())
}

const sizes = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1 })

it("gives the same messages wherever the text or its bytes are cut", () => {
  fc.assert(
    fc.property(document, sizes, ({ text, messages }, cuts) => {
      expect(split(cut(text, cuts))).toEqual(messages)
      expect(split(cut(new TextEncoder().encode(text), cuts))).toEqual(messages)
    }),
  )
})

it("gives what JSON.parse gives of one value, or refuses what JSON.parse refuses", () => {
  const nearJson = fc.oneof(
    fc.string({ unit: fc.constantFrom(...'[]{},:"\\ 0-.etrufalsn1\n') }),
    fc.tuple(stringified, fc.nat(), fc.constantFrom(...'[]{},:"\\ 1')).map(([text, at, unit]) => {
      const place = at % (text.length + 1)
      return text.slice(0, place) + unit + text.slice(place + 1)
    }),
  )
  fc.assert(
    fc.property(nearJson, sizes, (text, cuts) => {
      let messages: string[] | undefined
      try {
        messages = split(cut(text, cuts))
      } catch (error) {
        expect(error).toBeInstanceOf(DurableStreamError)
        expect(error).toHaveProperty("code", "PARSE_ERROR")
      }
      // Each message is JSON by itself, whatever the text was.
      for (const message of messages ?? []) JSON.parse(message)
      let value: unknown
      try {
        value = JSON.parse(text)
      } catch {
        return
      }
      const expected: unknown[] = Array.isArray(value) ? value : [value]
      expect(messages?.map((message): unknown => JSON.parse(message))).toEqual(expected)
    }),
    { numRuns: 500 },
  )
})

it("refuses text in the middle of a character of bytes", () => {
  const [lead, tail] = [Uint8Array.of(0xc3), Uint8Array.of(0xa9)]
  expect(() => split(['"', lead, "x", tail, '"'])).toThrow("must be JSON values")
  expect(split(['"', lead, tail, "x", lead, tail, '"'])).toEqual(['"éxé"'])
})
