import { describe, expectTypeOf, it } from "vitest"
import { z } from "zod"
import type { StreamEvent, StreamOptions, StreamResponse } from "../../src/index.ts"
import {
  sharedStream,
  type AloneReason,
  type HolderReason,
  type SharedStreamEvent,
  type SharedStreamOptions,
} from "../../src/tabs/index.ts"

describe("sharedStream", () => {
  it("takes the options of stream() and gives its response", () => {
    expectTypeOf<Omit<StreamOptions, "observe">>().toExtend<SharedStreamOptions>()
    const response = sharedStream<{ n: number }>({ url: "https://streams.example.com/s" })
    expectTypeOf(response).resolves.toEqualTypeOf<StreamResponse<{ n: number }>>()
  })

  it("observes what stream() does, and who holds the connection", () => {
    expectTypeOf<StreamEvent>().toExtend<SharedStreamEvent>()
    expectTypeOf<SharedStreamEvent>().not.toExtend<StreamEvent>()
    type Holder = Extract<SharedStreamEvent, { kind: "holder" }>
    type Alone = Extract<SharedStreamEvent, { kind: "alone" }>
    expectTypeOf<Holder["reason"]>().toEqualTypeOf<HolderReason>()
    expectTypeOf<Alone["reason"]>().toEqualTypeOf<AloneReason>()
  })

  it("has the type of its schema", () => {
    const schema = z.object({ n: z.number() })
    const response = sharedStream({ url: "https://streams.example.com/s", schema })
    expectTypeOf(response).resolves.toEqualTypeOf<StreamResponse<{ n: number }>>()
  })
})
