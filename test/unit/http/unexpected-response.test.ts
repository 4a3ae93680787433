import { describe, expect, it, vi } from "vitest"
import { createEndpoint } from "../../../src/http/endpoint.ts"
import { exchange, send, type StreamRequest } from "../../../src/http/request.ts"
import { rejection } from "../../support/rejection.ts"
import { makeResponse, scriptedFetch, type FetchOutcome } from "../../support/scripted-fetch.ts"
import { post } from "./requests.ts"

const url = "http://server.test/s?token=secret"
const writes: StreamRequest[] = [
  post,
  { ...post, retry: "idempotent", headers: { "Producer-Id": "p" } },
  { method: "PUT", operation: "create", retry: "idempotent" },
  { method: "DELETE", operation: "delete", retry: "idempotent" },
  { method: "POST", operation: "close", retry: "idempotent", headers: { "Stream-Closed": "true" } },
]

/** A body that says nothing of its length beforehand, as a chunked one. */
function chunked(...chunks: string[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(new TextEncoder().encode(chunk))
      controller.close()
    },
  })
}

async function outcomeOf(request: StreamRequest, response: FetchOutcome) {
  const { fetch, calls } = scriptedFetch([response])
  const call = exchange(createEndpoint({ url, fetch }), request)
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(calls).toHaveLength(1)
  return error
}

const xml = { "content-type": "text/xml" }
const offset = { "Stream-Next-Offset": "1" }
// What React Native and node-fetch give: no stream of the platform.
const withoutStream = (text: string) =>
  ({ status: 200, ok: true, headers: new Headers(), text: () => Promise.resolve(text) }) as Response

describe("a success of a write that is not from a server of the protocol", () => {
  it.each<[string, FetchOutcome]>([
    ["200 with text", makeResponse(200, {}, "OK")],
    [
      "200 with JSON",
      makeResponse(200, { "content-type": "application/json" }, '{"error":"not signed in"}'),
    ],
    ["200 with XML", makeResponse(200, xml, "<ok/>")],
    ["200 with a page", makeResponse(200, { "content-type": "text/html" }, "<p>")],
    ["201 with a body", makeResponse(201, {}, "created")],
    ["203 with a body", makeResponse(203, {}, "x")],
    ["a body in chunks, the first of them empty", () => new Response(chunked("", "x"))],
    [
      "a body that breaks off",
      () => new Response(new ReadableStream({ pull: () => Promise.reject(new Error("broken")) })),
    ],
    ["a body without a stream", () => withoutStream("x")],
    [
      "a body that a layer has read",
      async () => {
        const response = makeResponse(200, { "content-length": "2" }, "OK")
        await response.text()
        return response
      },
    ],
    ["202", makeResponse(202)],
    ["202 with an offset", makeResponse(202, offset)],
    ["205", makeResponse(205)],
    ["206", makeResponse(206, offset, "x")],
  ])("fails the write as indeterminate: %s", async (_name, response) => {
    for (const request of writes) {
      const error = await outcomeOf(request, response)
      expect(error).toMatchObject({ name: "FetchError", code: "PROTOCOL", indeterminate: true })
      expect((error as Error).message).toContain("did not come from a Durable Streams server")
      expect((error as Error).message).not.toContain("secret")
    }
  })

  it.each([202, 205, 206])(
    "fails a HEAD with %i, whose content type is another server's",
    async (status) => {
      const head = { method: "HEAD", operation: "head", retry: "idempotent" } as const
      const response = makeResponse(status, { "content-type": "application/json" })
      expect(await outcomeOf(head, response)).toMatchObject({
        code: "PROTOCOL",
        indeterminate: false,
      })
    },
  )

  it("counts a body that does not begin within a second", async () => {
    vi.useFakeTimers()
    try {
      const onCancel = vi.fn()
      const body = new ReadableStream({ cancel: onCancel })
      const { fetch } = scriptedFetch([() => new Response(body)])
      const call = rejection(exchange(createEndpoint({ url, fetch }), post))
      await vi.advanceTimersByTimeAsync(1_000)
      expect(await call).toMatchObject({ code: "PROTOCOL", indeterminate: true })
      expect(onCancel).toHaveBeenCalledOnce()
      expect(vi.getTimerCount()).toBe(0)
    } finally {
      vi.useRealTimers()
    }
  })
})

describe("a success of a write that may be the server's", () => {
  it.each<[string, FetchOutcome]>([
    ["200 without a body", makeResponse(200)],
    ["200 with an empty body", makeResponse(200, {}, "")],
    ["200 with an empty body in chunks", () => new Response(chunked(""))],
    ["200 with an empty body, and without a stream", () => withoutStream("")],
    [
      "200 that says HTML of nothing",
      makeResponse(200, { "content-type": "text/html", "content-length": "0" }),
    ],
    ["201", makeResponse(201)],
    ["204", makeResponse(204)],
    ["a body beside an offset", makeResponse(200, offset, "OK")],
    ["a body beside the closure", makeResponse(200, { "Stream-Closed": "true" }, "OK")],
    ["a body beside a producer's seq", makeResponse(200, { "Producer-Seq": "0" }, "OK")],
    [
      "a body that a layer has read, of unknown length",
      async () => {
        const response = makeResponse(200, {}, "OK")
        await response.text()
        return response
      },
    ],
    [
      "a mock's response without any body",
      () => ({ status: 200, ok: true, headers: new Headers() }) as Response,
    ],
  ])("is one: %s", async (_name, response) => {
    for (const request of writes) expect(await outcomeOf(request, response)).toBeUndefined()
  })
})

it("leaves the body of a request about a subscription unread, whatever headers it has", async () => {
  const { fetch } = scriptedFetch([makeResponse(200, { "content-type": "application/json" }, "{}")])
  const request = { method: "POST", operation: "subscription", retry: "idempotent" } as const
  const response = await send(createEndpoint({ url, fetch }), request, new AbortController().signal)
  expect(await response.json()).toEqual({})
})

it("rejects a page as the response to a HEAD, and nothing is indeterminate", async () => {
  const head = { method: "HEAD", operation: "head", retry: "quick" } as const
  const page = { "content-type": "text/html" }
  expect(await outcomeOf(head, makeResponse(200, page))).toMatchObject({
    code: "PROTOCOL",
    indeterminate: false,
  })
  expect(await outcomeOf(head, makeResponse(200, { ...page, ...offset }))).toBeUndefined()
})
