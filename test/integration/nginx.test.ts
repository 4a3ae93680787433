import { afterAll, beforeAll, describe, expect, it, vi } from "vitest"
import { DurableStream, stream, type StreamEvent } from "../../src/index.ts"
import { COLLAPSING, hasNginx, startNginx } from "../support/nginx.ts"
import { startReferenceServer, type ReferenceServer } from "../support/reference-server.ts"

/** Compression keeps what it gets until it has enough to be worth it, whatever the origin asks for. */
const BUFFERING = `
  proxy_buffering on;
  proxy_ignore_headers X-Accel-Buffering;
  gzip on;
  gzip_proxied any;
  gzip_min_length 0;
  gzip_types text/event-stream;
`

const REVALIDATING = `${COLLAPSING} proxy_cache_revalidate on;`

/** Caches what it must not: every response for an hour, whatever its headers and the cursor say. */
const STUCK = `
  proxy_cache streams;
  proxy_cache_key $uri-$arg_offset-$arg_live;
  proxy_ignore_headers Cache-Control Expires Vary;
  proxy_cache_valid any 1h;
`

describe.skipIf(!hasNginx())("behind nginx (left out where nginx is not installed)", () => {
  let origin: ReferenceServer
  let streams = 0
  beforeAll(async () => {
    origin = await startReferenceServer({ longPollTimeout: 400 })
  })
  afterAll(() => origin.stop())

  async function jsonStream(): Promise<{ handle: DurableStream; path: string }> {
    const path = `/nginx/${process.pid}-${++streams}`
    const url = `${origin.url}${path}`
    return { handle: await DurableStream.create({ url, contentType: "application/json" }), path }
  }

  it("reads on by long-poll where it holds SSE back, without loss, and says once what to configure", async () => {
    await using nginx = await startNginx(origin.url, BUFFERING)
    const { handle, path } = await jsonStream()
    await handle.append({ n: 0 })
    const warn = vi.spyOn(console, "warn").mockImplementation(() => undefined)
    const events: StreamEvent[] = []
    const received: unknown[] = []
    const response = await stream({
      url: `${nginx.url}${path}`,
      live: "sse",
      idleTimeoutMs: 600,
      observe: (event) => events.push(event),
    })
    response.subscribeJson(({ items }) => {
      received.push(...items)
    })
    await vi.waitFor(() => expect(events.some(fellBack)).toBe(true), 20_000)
    await handle.append({ n: 1 })
    await vi.waitFor(() => expect(received).toHaveLength(2), 20_000)
    await handle.close({ body: { n: 2 } })
    await response.closed
    expect(received).toEqual([{ n: 0 }, { n: 1 }, { n: 2 }])
    expect(warn).toHaveBeenCalledTimes(1)
    expect(warn.mock.calls[0]?.[0]).toContain("proxy_buffering off")
    warn.mockRestore()
  })

  it("survives its restarts in the middle of a session", async () => {
    await using nginx = await startNginx(origin.url, "proxy_buffering off;")
    const { handle, path } = await jsonStream()
    const received: unknown[] = []
    const response = await stream<{ n: number }>({
      url: `${nginx.url}${path}`,
      sseResilience: { logWarnings: false },
    })
    response.subscribeJson(({ items }) => {
      received.push(...items)
    })
    for (let n = 0; n < 6; n++) {
      await handle.append({ n })
      if (n % 2 === 1) {
        await nginx.stop()
        await handle.append({ n: n + 0.5 })
        await nginx.start()
      }
      await vi.waitFor(
        () => expect(received.at(-1)).toEqual({ n: n % 2 === 1 ? n + 0.5 : n }),
        20_000,
      )
    }
    await handle.close()
    await response.closed
    const sent = [0, 1, 1.5, 2, 3, 3.5, 4, 5, 5.5]
    expect(received).toEqual(sent.map((n) => ({ n })))
  })

  it("lets a cache with request collapsing serve 200 readers at the cost of a few requests", async () => {
    await using nginx = await startNginx(origin.url, REVALIDATING)
    const { handle, path } = await jsonStream()
    await handle.append({ n: 0 })
    const url = `${nginx.url}${path}`
    let begun = 0
    const reads = Array.from({ length: 200 }, async () => {
      const response = await stream<{ n: number }>({ url, live: "long-poll" })
      const items: unknown[] = []
      for await (const batch of response.jsonBatches()) {
        if (items.length === 0) begun++
        items.push(...batch.items)
      }
      return items
    })
    await vi.waitFor(() => expect(begun).toBe(200), 20_000)
    // Its connection may be one that the server closes just now, after five seconds: with numbers, it is sent again.
    await handle.append({ n: 1 }, { producerId: "nginx", producerEpoch: 0, producerSeq: 0 })
    await handle.close({ body: { n: 2 } })
    for (const items of await Promise.all(reads)) {
      expect(items).toEqual([{ n: 0 }, { n: 1 }, { n: 2 }])
    }
    const { HIT = 0, MISS = 0, ...rest } = await nginx.upstreamRequests()
    const toOrigin = MISS + Object.values(rest).reduce((sum, count) => sum + count, 0)
    console.log(`200 readers: ${HIT + toOrigin} requests to nginx, ${toOrigin} to the origin`)
    expect(toOrigin).toBeLessThan(60)
    expect(HIT + toOrigin).toBeGreaterThan(400)
  })

  it("echoes the cursor on live requests only, so that a catch-up URL stays one for all", async () => {
    await using nginx = await startNginx(origin.url, REVALIDATING)
    const { handle, path } = await jsonStream()
    await handle.append({ n: 0 })
    const urls: string[] = []
    const response = await stream({
      url: `${nginx.url}${path}`,
      live: "long-poll",
      fetch: (input, init) => {
        // The client calls fetch with a string.
        urls.push(input as string)
        return fetch(input, init)
      },
    })
    const unsubscribe = response.subscribeJson(() => undefined)
    await vi.waitFor(() => expect(urls.length).toBeGreaterThan(3), 20_000)
    unsubscribe()
    const queries = urls.map((url) => new URL(url).searchParams)
    expect(queries[0]?.has("cursor") || queries[0]?.has("live")).toBe(false)
    expect(queries.slice(2).every((query) => query.get("live") === "long-poll")).toBe(true)
    expect(queries.slice(2).every((query) => query.has("cursor"))).toBe(true)
  })

  it("is asked no more than a bounded number of times where its cache is stuck", async () => {
    await using nginx = await startNginx(origin.url, STUCK)
    const { handle, path } = await jsonStream()
    await handle.append({ n: 0 })
    const events: StreamEvent[] = []
    const response = await stream({
      url: `${nginx.url}${path}`,
      live: "long-poll",
      backoffOptions: { initialDelay: 5, maxDelay: 20 },
      observe: (event) => events.push(event),
    })
    response.subscribeJson(() => undefined)
    await expect(response.closed).rejects.toMatchObject({ code: "NO_PROGRESS" })
    expect(events.filter(({ kind }) => kind === "request").length).toBeLessThan(60)
  })
})

function fellBack(event: StreamEvent): boolean {
  return event.kind === "transport" && event.from === "sse" && event.to === "long-poll"
}
