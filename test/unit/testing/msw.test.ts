import { http } from "msw"
import { setupServer } from "msw/node"
import { afterAll, afterEach, beforeAll, expect, it } from "vitest"
import { DurableStream, IdempotentProducer, stream } from "../../../src/index.ts"
import { createTestServer, type TestServer } from "../../../src/testing/index.ts"

const mock = setupServer()
let server: TestServer

beforeAll(() => mock.listen({ onUnhandledRequest: "error" }))
afterEach(() => {
  mock.resetHandlers()
  server.close()
})
afterAll(() => mock.close())

/** The recipe of docs/testing.md. */
function serve(options?: Parameters<typeof createTestServer>[0]): void {
  server = createTestServer(options)
  mock.use(
    http.all(`${server.url}/*`, ({ request }) =>
      server.fetch(request).catch(() => Response.error()),
    ),
  )
}

it.each(["sse", "long-poll"] as const)(
  "MSW gives the platform's fetch the streams of a test server: reading by %s",
  async (live) => {
    serve()
    const url = `${server.url}/chat`
    const chat = await DurableStream.create({ url, contentType: "application/json" })
    const response = await stream<number>({ url, live })
    const seen: number[] = []
    await chat.append(1)
    for await (const { items } of response.jsonBatches()) {
      seen.push(...items)
      if (seen.length === 1) await chat.close({ body: 2 })
    }
    expect(seen).toEqual([1, 2])
  },
)

it("MSW passes on a lost response as a failure of the network", async () => {
  serve()
  const url = `${server.url}/orders`
  const backoffOptions = { initialDelay: 0, maxDelay: 0 }
  const orders = await DurableStream.create({
    url,
    contentType: "application/json",
    backoffOptions,
  })
  server.dropResponse({ method: "POST", times: 2 })
  await using producer = new IdempotentProducer(orders, "writer", { autoClaim: true })
  await producer.send({ id: 1 })
  expect(server.streams.get(url)?.messages).toEqual([{ id: 1 }])
})

it("MSW ends a live read of a test server at the client's abort", async () => {
  serve()
  const url = `${server.url}/log`
  await DurableStream.create({ url, contentType: "text/plain", body: "a" })
  const controller = new AbortController()
  const response = await stream({ url, signal: controller.signal })
  let text = ""
  response.subscribeText((chunk) => {
    text += chunk.text
    controller.abort()
  })
  await response.closed.catch(() => undefined)
  expect(text).toBe("a")
})
