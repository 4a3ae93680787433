import { afterEach, expect, it, vi } from "vitest"
import { IdleWatch } from "../../../src/read/idle-watch.ts"
import { SseConnection } from "../../../src/read/sse-connection.ts"

const url = "https://streams.test/s"

afterEach(() => void vi.restoreAllMocks())

/** A connection whose chunks, a page each, have all arrived. */
function connectionOf(count: number): SseConnection {
  const encoder = new TextEncoder()
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (let n = 1; n <= count; n++) {
        const control = JSON.stringify({ streamNextOffset: String(n).padStart(4, "0") })
        const text = `event: data\ndata: [${n}]\n\nevent: control\ndata: ${control}\n\n`
        controller.enqueue(encoder.encode(text))
      }
      controller.close()
    },
  })
  const headers = { "content-type": "text/event-stream" }
  return new SseConnection(new Response(body, { headers }), {
    url,
    signal: new AbortController().signal,
    watch: new IdleWatch(url, { onIdle: () => undefined }),
    idleTimeoutMs: 75_000,
    platform: { lacksArrayBuffer: false },
    offset: "-1",
    contentType: "application/json",
    startedAtMs: 0,
    firstByteTimeoutMs: 10_000,
    maxPageBytes: undefined,
  })
}

it("gives the event loop a turn every 30 ms while it reads events that have all arrived", async () => {
  // What is done with an event takes 5 ms.
  let nowMs = 0
  vi.spyOn(performance, "now").mockImplementation(() => nowMs)
  let turns = 0
  const takeTurns = () => {
    turns++
    setImmediate(takeTurns).unref()
  }
  setImmediate(takeTurns).unref()
  const connection = connectionOf(100)
  let last = "-1"
  for (;;) {
    const read = await connection.next()
    if (read.kind !== "page") break
    last = read.end.offset
    nowMs += 5
  }
  expect(last).toBe("0100")
  expect(turns).toBeGreaterThan(10)
})
