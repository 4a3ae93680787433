import { type } from "arktype"
import * as v from "valibot"
import { describe, expectTypeOf, it } from "vitest"
import { z } from "zod"
import {
  DurableStream,
  IdempotentProducer,
  stream,
  subscribe,
  type JsonBatch,
  type StreamOptions,
  type StreamResponse,
} from "../../src/index.ts"

interface Message {
  id: number
  sentAt: Date
}

const url = "https://streams.test/s"
const ofZod = z.object({ id: z.number(), sentAt: z.string().transform((text) => new Date(text)) })
const ofValibot = v.object({
  id: v.number(),
  sentAt: v.pipe(
    v.string(),
    v.transform((text) => new Date(text)),
  ),
})
const ofArktype = type({ id: "number", sentAt: "string.date.parse" })

describe("a schema types what is read", () => {
  it("as what it makes of a message", () => {
    expectTypeOf(stream({ url, schema: ofZod })).resolves.toEqualTypeOf<StreamResponse<Message>>()
    expectTypeOf(stream({ url, schema: ofValibot })).resolves.toEqualTypeOf<
      StreamResponse<Message>
    >()
    expectTypeOf(stream({ url, schema: ofArktype })).resolves.toEqualTypeOf<
      StreamResponse<Message>
    >()
  })

  it("in subscribe() too", () => {
    subscribe(
      { url, schema: ofZod },
      {
        onBatch(batch) {
          if ("items" in batch) expectTypeOf(batch).toEqualTypeOf<JsonBatch<Message>>()
        },
      },
    )
  })

  it("without one the type stays the caller's claim", () => {
    const options: StreamOptions = { url }
    expectTypeOf(stream(options)).resolves.toEqualTypeOf<StreamResponse>()
    expectTypeOf(stream<Message>(options)).resolves.toEqualTypeOf<StreamResponse<Message>>()
    expectTypeOf({ url, schema: ofArktype }).toExtend<StreamOptions>()
  })
})

describe("a schema types what is written", () => {
  const handle = new DurableStream({ url, schema: ofZod })

  it("as what it accepts, and what is read from the same handle as what it makes of that", () => {
    expectTypeOf(handle).toEqualTypeOf<DurableStream<Message, { id: number; sentAt: string }>>()
    expectTypeOf(handle.stream()).resolves.toEqualTypeOf<StreamResponse<Message>>()
    void handle.append({ id: 1, sentAt: "2026-01-01" })
    void handle.append('{"id":1,"sentAt":"2026-01-01"}')
    void handle.append(Promise.resolve({ id: 1, sentAt: "2026-01-01" }))
    // @ts-expect-error -- what it makes of a message is not what is stored
    void handle.append({ id: 1, sentAt: new Date() })
    // @ts-expect-error -- not a message
    void handle.appendWithResult(1)
  })

  it("of handles that are created or connected", () => {
    expectTypeOf(DurableStream.create({ url, schema: ofValibot })).resolves.toEqualTypeOf<
      DurableStream<Message, { id: number; sentAt: string }>
    >()
    expectTypeOf(DurableStream.connect({ url, schema: ofArktype })).resolves.toEqualTypeOf<
      DurableStream<Message, { id: number; sentAt: string }>
    >()
    expectTypeOf(DurableStream.create({ url })).resolves.toEqualTypeOf<DurableStream>()
  })

  it("of a producer", () => {
    const producer = new IdempotentProducer(handle, "writer")
    producer.append({ id: 1, sentAt: "2026-01-01" })
    // @ts-expect-error -- not a message
    producer.append({ id: "1" })
    new IdempotentProducer(new DurableStream({ url }), "writer").append(1)
    expectTypeOf(IdempotentProducer.takeOver(producer)).toEqualTypeOf(producer)
  })

  it("and a typed handle is still a handle", () => {
    expectTypeOf(handle).toExtend<DurableStream>()
    expectTypeOf(handle.stream({ schema: z.number() })).resolves.toEqualTypeOf<
      StreamResponse<number>
    >()
  })
})
