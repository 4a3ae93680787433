import * as v from "valibot"
import { describe, expectTypeOf, it } from "vitest"
import { z } from "zod"
import type { DurableStreamError, JsonBatch, TextChunk } from "../../src/index.ts"
import type {
  Claim,
  SubscriptionError,
  CurrentHolder,
  SubscriptionConfig,
  Wake,
  Worker,
} from "../../src/subscriptions/index.ts"
import {
  runWorker,
  Subscriptions,
  verifyWebhook,
  webhookHandler,
} from "../../src/subscriptions/index.ts"

const root = "https://streams.example.com/v1/stream"
const subscriptions = new Subscriptions({ root })

describe("subscriptions", () => {
  it("need a wake stream or a webhook, depending on the type", () => {
    expectTypeOf<{ type: "pull-wake"; wakeStream: string }>().toExtend<SubscriptionConfig>()
    expectTypeOf<{ type: "pull-wake" }>().not.toExtend<SubscriptionConfig>()
    expectTypeOf<{ type: "webhook"; wakeStream: string }>().not.toExtend<SubscriptionConfig>()
    expectTypeOf<{
      type: "webhook"
      webhook: { url: string }
    }>().toExtend<SubscriptionConfig>()
  })

  it("are claimed, held, or without work", () => {
    const claim = subscriptions.claim("id", { worker: "w" })
    expectTypeOf(claim).resolves.toEqualTypeOf<Claim | CurrentHolder | undefined>()
    expectTypeOf<Claim>().toExtend<AsyncDisposable>()
    expectTypeOf<Worker>().toExtend<AsyncDisposable>()
  })

  it("give their handlers what the schema makes of a message", () => {
    runWorker(subscriptions, "id", {
      worker: "w",
      schema: z.object({ n: z.string().transform(Number) }),
      onBatch: ({ items }) => expectTypeOf(items).toEqualTypeOf<{ n: number }[]>(),
    })
    const schema = v.object({ n: v.number() })
    webhookHandler({
      root,
      subscription: "id",
      schema,
      onBatch: ({ items }) => expectTypeOf(items).toEqualTypeOf<{ n: number }[]>(),
    })
  })

  it("give their handlers what `as` says", () => {
    runWorker<{ n: number }>(subscriptions, "id", {
      worker: "w",
      onBatch: (batch) => expectTypeOf(batch).toEqualTypeOf<JsonBatch<{ n: number }>>(),
    })
    runWorker<unknown, "text">(subscriptions, "id", {
      worker: "w",
      as: "text",
      onBatch: (batch) => expectTypeOf(batch).toEqualTypeOf<TextChunk>(),
    })
  })

  it("fail with an error of the client's", () => {
    expectTypeOf<SubscriptionError>().toExtend<DurableStreamError>()
    expectTypeOf<SubscriptionError["serverCode"]>().toEqualTypeOf<string | undefined>()
  })

  it("receive webhooks by a handler of Fetch", async () => {
    const handler = webhookHandler({ root, subscription: "id", onBatch() {} })
    expectTypeOf(handler).toEqualTypeOf<(request: Request) => Promise<Response>>()
    const verification = await verifyWebhook(new Request(root), { root, subscription: "id" })
    if (verification.kind === "verified") expectTypeOf(verification.wake).toEqualTypeOf<Wake>()
  })
})
