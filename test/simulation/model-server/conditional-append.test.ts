import { describe, expect, it } from "vitest"
import type { ModelResponse } from "../../../src/testing/messages.ts"
import { offsetOf } from "../../../src/testing/offsets.ts"
import { ModelServer } from "../../../src/testing/server.ts"

const STREAM = new URL("http://model.test/stream")

async function createServer(isConditional: boolean): Promise<ModelServer> {
  const clock = { now: () => 0, after: () => () => undefined }
  const server = new ModelServer(clock, { expectedOffset: isConditional })
  await send(server, "PUT", {}, "")
  return server
}

function send(
  server: ModelServer,
  method: string,
  headers: Record<string, string>,
  body: string,
): Promise<ModelResponse> {
  return server.handle({
    method,
    url: STREAM,
    headers: new Map(Object.entries({ "content-type": "text/plain", ...headers })),
    body: new TextEncoder().encode(body),
  })
}

/** The reference server does not know the header, so that the model is compared with PROTOCOL.md. */
describe("Stream-Expected-Offset", () => {
  it("stores the body if the tail is at that offset", async () => {
    const server = await createServer(true)
    const headers = { "stream-expected-offset": offsetOf(0) }
    expect((await send(server, "POST", headers, "ab")).status).toBe(204)
    expect(server.stream("/stream").length).toBe(2)
  })

  it("gets 409 with the tail and without other headers if the tail is elsewhere", async () => {
    const server = await createServer(true)
    await send(server, "POST", {}, "ab")
    const headers = { "stream-expected-offset": offsetOf(0) }
    const response = await send(server, "POST", headers, "cd")
    expect(response.status).toBe(409)
    expect(response.headers["stream-next-offset"]).toBe(offsetOf(2))
    expect(Object.keys(response.headers).filter((name) => /closed|producer/.test(name))).toEqual([])
    expect(server.stream("/stream").length).toBe(2)
  })

  it("recognises a producer's duplicate first", async () => {
    const server = await createServer(true)
    const headers = {
      "stream-expected-offset": offsetOf(0),
      "producer-id": "p",
      "producer-epoch": "0",
      "producer-seq": "0",
    }
    expect((await send(server, "POST", headers, "ab")).status).toBe(200)
    await send(server, "POST", {}, "cd")
    expect((await send(server, "POST", headers, "ab")).status).toBe(204)
    expect(server.stream("/stream").length).toBe(4)
  })

  it("does not use up the producer's number on a conflict", async () => {
    const server = await createServer(true)
    await send(server, "POST", {}, "ab")
    const producer = { "producer-id": "p", "producer-epoch": "0", "producer-seq": "0" }
    const stale = { ...producer, "stream-expected-offset": offsetOf(0) }
    expect((await send(server, "POST", stale, "cd")).status).toBe(409)
    const current = { ...producer, "stream-expected-offset": offsetOf(2) }
    expect((await send(server, "POST", current, "cd")).status).toBe(200)
  })

  it("carries the tail on a conflict of Stream-Seq as well", async () => {
    const server = await createServer(true)
    await send(server, "POST", { "stream-seq": "b" }, "ab")
    const headers = { "stream-seq": "a", "stream-expected-offset": offsetOf(2) }
    const response = await send(server, "POST", headers, "cd")
    expect(response.status).toBe(409)
    expect(response.headers["stream-next-offset"]).toBe(offsetOf(2))
    const withoutCondition = await send(server, "POST", { "stream-seq": "a" }, "cd")
    expect(withoutCondition.headers["stream-next-offset"]).toBeUndefined()
  })

  it("is ignored by a server that does not know it", async () => {
    const server = await createServer(false)
    await send(server, "POST", {}, "ab")
    const headers = { "stream-expected-offset": offsetOf(0) }
    expect((await send(server, "POST", headers, "cd")).status).toBe(204)
  })

  it("comes after the closure", async () => {
    const server = await createServer(true)
    await send(server, "POST", { "stream-closed": "true" }, "ab")
    const headers = { "stream-expected-offset": offsetOf(0) }
    const response = await send(server, "POST", headers, "cd")
    expect(response.status).toBe(409)
    expect(response.headers["stream-closed"]).toBe("true")
  })
})
