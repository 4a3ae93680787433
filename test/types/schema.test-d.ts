import { type } from "arktype"
import * as v from "valibot"
import { describe, expectTypeOf, it } from "vitest"
import { z } from "zod"
import {
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
