import fc from "fast-check"
import { describe, expect, it } from "vitest"
import {
  BatchBuilder,
  messageBytesOf,
  messagesOf,
  splitContent,
  type BatchContent as Batch,
} from "../../../src/producer/batch-content.ts"
import type { MessageContent as Message } from "../../../src/protocol/message.ts"

const decoder = new TextDecoder()
const encoder = new TextEncoder()

function fill(builder: BatchBuilder, messages: readonly Message[]): Batch[] {
  const batches: Batch[] = []
  for (const message of messages) {
    if (builder.add(message) !== undefined) continue
    batches.push(builder.seal())
    expect(builder.add(message)).toBeDefined()
  }
  if (builder.count > 0) batches.push(builder.seal())
  return batches
}

const message = fc.oneof(
  fc.json(),
  fc.json().map((text) => encoder.encode(text)),
  fc.string({ unit: "grapheme", minLength: 1, maxLength: 40 }).map((text) => JSON.stringify(text)),
)

describe("BatchBuilder", () => {
  it("puts every message into one batch, in order, and joins none beyond the limit", () => {
    fc.assert(
      fc.property(
        fc.array(message, { minLength: 1 }),
        fc.integer({ min: 1, max: 200 }),
        fc.boolean(),
        (messages, limitBytes, isArray) => {
          const batches = fill(new BatchBuilder(isArray, limitBytes), messages)
          const texts = messages.map((one) => (typeof one === "string" ? one : decoder.decode(one)))
          const taken = batches.flatMap((batch) => messagesOf(batch))
          expect(taken.map((bytes) => decoder.decode(bytes))).toEqual(texts)
          for (const batch of batches) {
            if (batch.ends.length > 1) expect(batch.body.byteLength).toBeLessThanOrEqual(limitBytes)
            const bytes = messagesOf(batch).reduce((sum, { byteLength }) => sum + byteLength, 0)
            expect(messageBytesOf(batch)).toBe(bytes)
            if (isArray) {
              const own = messagesOf(batch).map((bytes) => decoder.decode(bytes))
              expect(decoder.decode(batch.body)).toBe(`[${own.join(",")}]`)
            }
          }
        },
      ),
    )
  })

  it("fills a batch to the last byte, brackets and commas counted", () => {
    const builder = new BatchBuilder(true, 7)
    expect([builder.add("11"), builder.add("222")]).toEqual([2, undefined])
    expect(builder.add("22")).toBe(2)
    expect(decoder.decode(builder.seal().body)).toBe("[11,22]")
  })

  it("measures text in bytes, not in characters", () => {
    const builder = new BatchBuilder(false, 10)
    expect(builder.add("漢漢漢")).toBe(9)
    expect(builder.add("é")).toBeUndefined()
    expect(builder.add("e")).toBe(1)
  })

  it("takes a message that is larger than the limit, alone", () => {
    const builder = new BatchBuilder(true, 4)
    expect(builder.add("[1,2,3,4,5,6]")).toBe(13)
    expect(builder.add("1")).toBeUndefined()
    const long = JSON.stringify("é".repeat(50_000))
    expect(decoder.decode(fill(new BatchBuilder(true, 4), [long])[0]?.body)).toBe(`[${long}]`)
  })

  it("copies bytes: what their owner does with them later changes nothing", () => {
    const builder = new BatchBuilder(false, 100)
    const bytes = encoder.encode("before")
    builder.add(bytes)
    bytes.fill(0)
    const batch = builder.seal()
    builder.add("more")
    expect(decoder.decode(batch.body)).toBe("before")
  })

  it("keeps hold of no more memory than a small batch needs", () => {
    const builder = new BatchBuilder(false, 1_000_000)
    fill(builder, ["x".repeat(16_000)])
    builder.add("y")
    expect(builder.seal().body.buffer.byteLength).toBe(1)
  })
})

describe("splitContent", () => {
  it("gives two batches with the same messages in the same order", () => {
    fc.assert(
      fc.property(fc.array(fc.json(), { minLength: 2 }), fc.boolean(), (messages, isArray) => {
        const builder = new BatchBuilder(isArray, Infinity)
        for (const one of messages) builder.add(one)
        const [first, second] = splitContent(builder.seal())
        expect(first.ends.length).toBeGreaterThan(0)
        expect(second.ends.length).toBeGreaterThan(0)
        const taken = [first, second].flatMap((half) => messagesOf(half))
        expect(taken.map((bytes) => decoder.decode(bytes))).toEqual(messages)
        const separator = isArray ? "," : ""
        for (const half of [first, second]) {
          const inner = messagesOf(half)
            .map((bytes) => decoder.decode(bytes))
            .join(separator)
          expect(decoder.decode(half.body)).toBe(isArray ? `[${inner}]` : inner)
        }
      }),
    )
  })
})
