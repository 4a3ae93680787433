import { describe, expectTypeOf, it } from "vitest"
import { stream } from "../../src/index.ts"
import { webhookHandler } from "../../src/subscriptions/index.ts"
import type {
  DropOptions,
  FailOptions,
  FaultOptions,
  TestServer,
  TestServerOptions,
  TestStream,
} from "../../src/testing/index.ts"
import { createTestServer } from "../../src/testing/index.ts"

describe("the test server", () => {
  it("has a fetch for every option `fetch`", () => {
    const server = createTestServer()
    expectTypeOf(server).toEqualTypeOf<TestServer>()
    expectTypeOf(server.fetch).toEqualTypeOf<typeof globalThis.fetch>()
    void stream({ url: server.url, fetch: server.fetch })
  })

  it("shows messages that nobody has checked", () => {
    expectTypeOf(createTestServer().streams).toEqualTypeOf<ReadonlyMap<string, TestStream>>()
    expectTypeOf<TestStream["messages"]>().toEqualTypeOf<readonly unknown[]>()
  })

  it("takes the function of a webhook handler, and options that may be undefined", () => {
    const onWebhook = webhookHandler({
      root: "https://streams.example.com",
      subscription: "s",
      onBatch: () => undefined,
    })
    const options: TestServerOptions = { onWebhook, url: undefined }
    expectTypeOf(createTestServer).toBeCallableWith(options)
  })

  it("has one way to name the requests that a fault hits", () => {
    expectTypeOf<FailOptions>().toExtend<FaultOptions>()
    expectTypeOf<DropOptions>().toExtend<FaultOptions>()
    expectTypeOf<FaultOptions["method"]>().toEqualTypeOf<
      "GET" | "POST" | "PUT" | "HEAD" | "DELETE" | undefined
    >()
  })
})
