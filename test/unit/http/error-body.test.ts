import { getEventListeners } from "node:events"
import { afterEach, beforeEach, expect, it, vi } from "vitest"
import { readErrorBody } from "../../../src/http/response.ts"

beforeEach(() => vi.useFakeTimers())
afterEach(() => vi.useRealTimers())

const BOUND_BYTES = 64 * 1024
const json = { headers: { "content-type": "application/json" } }

it.each<[Response, object]>([
  [new Response("text"), { text: "text" }],
  [new Response('{"a":1}', json), { json: { a: 1 } }],
  [new Response("[1]", json), { json: [1] }],
  [new Response("{broken", json), { text: "{broken" }],
  [new Response("7", json), { text: "7" }],
  [new Response("null", json), { text: "null" }],
  [new Response('{"a":1}'), { text: '{"a":1}' }],
  [new Response(null), {}],
  [new Response(""), {}],
])("reads a body %#", async (response, expected) => {
  expect(await readErrorBody(response)).toEqual(expected)
})

it.each([new TextEncoder().encode("text").buffer, "text"])(
  "reads chunks that are an ArrayBuffer, and none that are no bytes: %o",
  async (chunk) => {
    const body = new ReadableStream<unknown>({
      start(controller) {
        controller.enqueue(chunk)
        controller.close()
      },
    })
    // What a fetch of the caller's can respond with.
    const response = new Response(body as BodyInit)
    expect(await readErrorBody(response)).toEqual(typeof chunk === "string" ? {} : { text: "text" })
  },
)

it("reads nothing of a response that cannot be read: a mock's", async () => {
  const bare = { status: 404, headers: new Headers() }
  // What a fetch of the caller's can respond with.
  expect(await readErrorBody(bare as Response)).toEqual({})
})

it("reads a body once, and none that somebody else reads", async () => {
  const used = new Response("text")
  await used.text()
  expect(await readErrorBody(used)).toEqual({})
  const locked = new Response("text")
  locked.body?.getReader()
  expect(await readErrorBody(locked)).toEqual({})
})

it("reads no more than its bound of an endless page, and releases the rest", async () => {
  let pulled = 0
  let cancelled = false
  const chunk = new Uint8Array(10_000).fill(0x78)
  const endless = new ReadableStream<Uint8Array>({
    pull(controller) {
      pulled += chunk.byteLength
      controller.enqueue(chunk)
    },
    cancel() {
      cancelled = true
    },
  })
  const { text } = await readErrorBody(new Response(endless))
  expect(text).toHaveLength(BOUND_BYTES)
  expect(pulled).toBeLessThanOrEqual(BOUND_BYTES + 2 * chunk.byteLength)
  expect(cancelled).toBe(true)
})

function trickle(first: string, onCancel: () => void): Response {
  return new Response(
    new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode(first))
      },
      cancel: onCancel,
    }),
  )
}

it("waits no longer than a few seconds for a body that trickles, and leaves no timer", async () => {
  const onCancel = vi.fn()
  const reading = readErrorBody(trickle("begun", onCancel))
  await vi.advanceTimersByTimeAsync(5_000)
  expect(await reading).toEqual({ text: "begun" })
  expect(onCancel).toHaveBeenCalledOnce()
  await readErrorBody(new Response("text"))
  expect(vi.getTimerCount()).toBe(0)
})

it("ends with its signal, before or in the middle", async () => {
  const controller = new AbortController()
  const onCancel = vi.fn()
  const reading = readErrorBody(trickle("begun", onCancel), controller.signal)
  await vi.advanceTimersByTimeAsync(0)
  controller.abort()
  expect(await reading).toEqual({ text: "begun" })
  await readErrorBody(trickle("begun", onCancel), controller.signal)
  expect(onCancel).toHaveBeenCalledTimes(2)
  const idle = new AbortController()
  await readErrorBody(new Response("text"), idle.signal)
  expect(getEventListeners(idle.signal, "abort")).toEqual([])
  expect(vi.getTimerCount()).toBe(0)
})

it("takes what came of a body that breaks off", async () => {
  let step = 0
  const broken = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (step++ === 0) controller.enqueue(new TextEncoder().encode("half"))
      else controller.error(new Error("broken"))
    },
  })
  expect(await readErrorBody(new Response(broken))).toEqual({ text: "half" })
})

it("reads a response without a stream (React Native)", async () => {
  const response = { bodyUsed: false, headers: new Headers(), text: () => Promise.resolve("text") }
  // No more of a Response than React Native gives.
  expect(await readErrorBody(response as unknown as Response)).toEqual({ text: "text" })
})
