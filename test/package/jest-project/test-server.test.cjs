// Run by jest in each of its environments, on the installed package.
const { DurableStream, IdempotentProducer, stream } = require("@durable-streams/client")
const { createTestServer } = require("@durable-streams/client/testing")

let server
let url
beforeEach(() => {
  server = createTestServer()
  url = `${server.url}/chat`
})
afterEach(() => {
  jest.useRealTimers()
  server.close()
})

const create = () =>
  DurableStream.create({ url, contentType: "application/json", fetch: server.fetch })

test.each(["sse", "long-poll"])("a live read by %s", async (live) => {
  const chat = await create()
  const response = await stream({ url, live, fetch: server.fetch })
  const seen = []
  response.subscribeJson(async ({ items }) => {
    seen.push(...items)
    if (seen.length === 1) await chat.close({ body: 2 })
  })
  await chat.append(1)
  await response.closed
  expect(seen).toEqual([1, 2])
})

test("an abort", async () => {
  await create()
  const controller = new AbortController()
  const response = await stream({ url, fetch: server.fetch, signal: controller.signal })
  response.subscribeJson(() => undefined)
  controller.abort(new Error("enough"))
  await response.closed
  const waiting = server.fetch(`${url}?live=sse&offset=-1`, { signal: controller.signal })
  await expect(waiting).rejects.toThrow("enough")
})

test("a producer whose responses are lost", async () => {
  const chat = await create()
  server.dropResponse({ method: "POST", times: 2 })
  const producer = new IdempotentProducer(chat, "writer", { autoClaim: true })
  await producer.send({ id: 1 })
  await producer.detach()
  expect(server.streams.get(url).messages).toEqual([{ id: 1 }])
})

test("a retry in fake time", async () => {
  const chat = await create()
  // Promises and streams need these two, whatever the test's time is.
  jest.useFakeTimers({ doNotFake: ["nextTick", "queueMicrotask"] })
  server.failNext({ status: 503, headers: { "retry-after": "60" } })
  let isStored = false
  const appended = chat.append(1).then(() => (isStored = true))
  await jest.advanceTimersByTimeAsync(59_000)
  expect(isStored).toBe(false)
  await jest.advanceTimersByTimeAsync(2_000)
  await appended
  expect(server.streams.get(url).messages).toEqual([1])
})
