import { afterEach, expect, it, vi } from "vitest"
import { IdleWatch } from "../../../src/read/idle-watch.ts"
import { SseConnection } from "../../../src/read/sse-connection.ts"

const url = "https://streams.test/s"

afterEach(() => void vi.restoreAllMocks())

function page(n: number): string {
  const control = JSON.stringify({ streamNextOffset: String(n).padStart(6, "0") })
  return `event: data\ndata: [${n}]\n\nevent: control\ndata: ${control}\n\n`
}

/** A connection whose chunks have all arrived. */
function connectionOf(chunks: readonly string[], onRead?: () => void): SseConnection {
  const encoder = new TextEncoder()
  const left = [...chunks]
  const body = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        onRead?.()
        const chunk = left.shift()
        if (chunk === undefined) controller.close()
        else controller.enqueue(encoder.encode(chunk))
      },
    },
    { highWaterMark: 0 },
  )
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

it.each([
  ["the consumer takes 5 ms for each", 5, 0],
  ["the platform takes 5 ms to copy each", 0, 5],
  ["both take 2 ms for each", 2, 2],
])(
  "gives the event loop a turn every 30 ms while it reads chunks that have all arrived: %s",
  async (_, consumerMs, copyMs) => {
    let nowMs = 0
    vi.spyOn(performance, "now").mockImplementation(() => nowMs)
    let turns = 0
    const takeTurns = () => {
      turns++
      setImmediate(takeTurns).unref()
    }
    setImmediate(takeTurns).unref()
    const chunks = Array.from({ length: 100 }, (_unused, index) => page(index + 1))
    const connection = connectionOf(chunks, () => (nowMs += copyMs))
    let last = "-1"
    for (;;) {
      const read = await connection.next()
      if (read.kind !== "page") break
      last = read.end.offset
      nowMs += consumerMs
    }
    expect(last).toBe("000100")
    expect(turns).toBeGreaterThan(10)
  },
)

it("divides a chunk of megabytes into pages, so that the event loop can have a turn between them", async () => {
  const COUNT = 20_000
  const chunk = Array.from({ length: COUNT }, (_, index) => page(index + 1)).join("")
  const connection = connectionOf([chunk])
  const items: unknown[] = []
  let pages = 0
  for (;;) {
    const read = await connection.next()
    if (read.kind !== "page") break
    const texts = read.payload.texts ?? []
    expect(texts.join("").length).toBeLessThan(128 * 1024)
    items.push(...texts.flatMap((text) => JSON.parse(text) as unknown[]))
    pages++
  }
  expect(items).toEqual(Array.from({ length: COUNT }, (_, index) => index + 1))
  expect(pages).toBeGreaterThan(chunk.length / (128 * 1024))
})

it("waits for a control event no shorter because the consumer took its time", async () => {
  let nowMs = 0
  vi.spyOn(performance, "now").mockImplementation(() => nowMs)
  const second = page(2)
  const control = second.indexOf("event: control")
  const chunks = [page(1) + second.slice(0, control), ": keep-alive\n\n", second.slice(control)]
  const connection = connectionOf(chunks)
  expect(await connection.next()).toMatchObject({ kind: "page", end: { offset: "000001" } })
  nowMs += 80_000
  expect(await connection.next()).toMatchObject({ kind: "page", end: { offset: "000002" } })
})
