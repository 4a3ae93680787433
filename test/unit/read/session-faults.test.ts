import { describe, expect, it, vi } from "vitest"
import { stream, type StreamEvent, type StreamOptions } from "../../../src/index.ts"
import { runInVirtualTime } from "../../support/virtual-time.ts"

const url = "https://streams.test/s"
const encoder = new TextEncoder()

interface Asked {
  readonly live: string | null
  readonly offset: string
  readonly count: number
  readonly headers: Record<string, string>
  readonly signal: AbortSignal
}

/** A fetch that responds by a rule, and what it was asked. */
function server(respond: (asked: Asked) => Response | Promise<Response>) {
  const asked: Asked[] = []
  const fetch: typeof globalThis.fetch = async (input, init) => {
    const { searchParams } = new URL(String(input))
    const request = {
      live: searchParams.get("live"),
      offset: searchParams.get("offset") ?? "",
      count: asked.length + 1,
      headers: init?.headers as Record<string, string>,
      signal: init?.signal ?? new AbortController().signal,
    }
    asked.push(request)
    await Promise.resolve()
    return respond(request)
  }
  return { fetch, asked }
}

function page(offset: string, body: BodyInit | null, headers: Record<string, string> = {}) {
  return new Response(body, {
    headers: { "content-type": "application/json", "stream-next-offset": offset, ...headers },
  })
}

const upToDate = { "stream-up-to-date": "true" }
const closed = { "stream-closed": "true" }

/** A response as it comes from the network. */
function fromNetwork(response: Response): Response {
  return Object.defineProperty(response, "url", { value: url })
}

/** A response that never arrives, as of a long-poll that is held open. */
function never(signal: AbortSignal): Promise<Response> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener("abort", () => {
      // What fetch rejects with.
      reject(signal.reason as Error)
    })
  })
}

/** An event stream that brings chunks and stays open. */
function events(chunks: AsyncIterable<string> | Iterable<string>): Response {
  const body = new ReadableStream<Uint8Array>({
    async start(controller) {
      for await (const chunk of chunks) {
        try {
          controller.enqueue(encoder.encode(chunk))
        } catch {
          return
        }
      }
    },
  })
  return new Response(body, { headers: { "content-type": "text/event-stream" } })
}

const control = (offset: string) =>
  `event: control\ndata: ${JSON.stringify({ streamNextOffset: offset, upToDate: true })}\n\n`

async function codeOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => "resolved",
    (error: unknown) => (error as { code?: unknown }).code ?? error,
  )
}

const quick = { backoffOptions: { initialDelay: 1, maxDelay: 2 } }

describe("an exception between a response and the callback", () => {
  it("ends the session with it: closed never hangs", async () => {
    const mistake = new Error("headers of a proxy that was revoked")
    const { fetch } = server(({ count }) => {
      if (count === 1) return page("1", "[1]")
      const headers = {
        get: () => {
          throw mistake
        },
      }
      // Enough of a Response for a fetch of the caller's.
      return { status: 200, ok: true, headers, body: null } as unknown as Response
    })
    const response = await stream({ url, fetch, ...quick })
    response.subscribeJson(() => undefined)
    await expect(response.closed).rejects.toBeInstanceOf(Error)
  })
})

describe("offset: now", () => {
  it("continues at the tail that the first headers named if the body breaks", async () => {
    const { fetch, asked } = server(({ offset }) => {
      if (offset !== "now") return page("9", "[7,8]", closed)
      const broken = new ReadableStream({
        pull(controller) {
          controller.error(new TypeError("terminated"))
        },
      })
      return page("7", broken, upToDate)
    })
    const response = await stream({ url, fetch, offset: "now", live: "long-poll", ...quick })
    const items: unknown[] = []
    response.subscribeJson((batch) => void items.push(...batch.items))
    await response.closed
    expect(asked.map(({ offset }) => offset)).toEqual(["now", "7"])
    expect(items).toEqual([7, 8])
  })

  it("shows the tail before anything is consumed", async () => {
    const { fetch } = server(() => page("7", "[]", upToDate))
    const response = await stream({ url, fetch, offset: "now" })
    expect([response.offset, response.upToDate, response.startOffset]).toEqual(["7", true, "now"])
    response.cancel()
  })
})

describe("SSE requests", () => {
  it("send Accept: text/event-stream, catch-up requests do not", async () => {
    const { fetch, asked } = server(({ live }) =>
      live === null ? page("1", "[1]", upToDate) : events([control("1")]),
    )
    const response = await stream({ url, fetch })
    response.subscribeJson(() => undefined)
    await vi.waitFor(() => expect(asked.length).toBe(2))
    expect(asked.map(({ headers }) => headers["accept"])).toEqual([undefined, "text/event-stream"])
    response.cancel()
  })

  it.each([
    ["headers without a first event fall back after 10 s, as no headers do", [], 10_000],
    ["comments keep them open", [": ping\n\n"], undefined],
  ])("%s", async (_what, chunks, fallbackMs) => {
    const transports: [string, number][] = []
    await runInVirtualTime({ seed: 1, maxSteps: 10_000 }, async (clock) => {
      const { fetch } = server(({ live, signal }) => {
        if (live === null) return page("1", "[1]", upToDate)
        return live === "sse" ? events(chunks) : never(signal)
      })
      const observe = (event: StreamEvent) => {
        if (event.kind === "transport") transports.push([event.to, clock.elapsedMs])
      }
      const sseResilience = { logWarnings: false }
      const response = await stream({ url, fetch, observe, sseResilience })
      response.subscribeJson(() => undefined)
      await clock.sleep(30_000)
      response.cancel()
      await response.closed
    })
    expect(transports[0]?.[0]).toBe("sse")
    expect(transports[1]?.[1]).toBe(fallbackMs)
  })
})

describe("SSE memory is bounded by maxPageBytes, counted in bytes", () => {
  it.each<[string, string, string]>([
    ["a line that never ends", "event: data\ndata: ", "é".repeat(500)],
    ["data lines that never end", "event: data\n", `data: ${"x".repeat(1000)}\n`],
    ["data events without a control event", "", `event: data\ndata: ${"x".repeat(1000)}\n\n`],
  ])(
    "%s: PAGE_TOO_LARGE, which names the limit and what exceeds it",
    async (what, first, repeated) => {
      let sent = 0
      function* chunks() {
        yield first
        for (; sent < 10_000; sent++) yield repeated
      }
      const { fetch } = server(({ live }) =>
        live === null ? page("1", "[1]", upToDate) : pulled(chunks()),
      )
      const response = await stream({ url, fetch, maxPageBytes: 50_000 })
      response.subscribeJson(() => undefined)
      const error: unknown = await response.closed.catch((thrown: unknown) => thrown)
      expect(error).toMatchObject({ code: "PAGE_TOO_LARGE" })
      const named = what.includes("control")
        ? "SSE data without a control event"
        : "A line or event"
      expect(String(error)).toMatch(new RegExp(`${named} .*maxPageBytes \\(50000 bytes\\)`))
      expect(sent).toBeLessThan(60)
    },
  )

  it("comments without end are no line or event", async () => {
    function* chunks() {
      for (let sent = 0; sent < 200; sent++) yield `: ${"x".repeat(1000)}\n: ${"y".repeat(100)}`
      yield `\n\nevent: data\ndata: [2]\n\n${control("2")}`
    }
    const { fetch } = server(({ live }) =>
      live === null ? page("1", "[1]", upToDate) : pulled(chunks()),
    )
    const response = await stream<number>({ url, fetch, maxPageBytes: 5_000 })
    for await (const batch of response.jsonBatches()) if (batch.items.includes(2)) break
    await response.closed
  })

  /** An event stream that is read as fast as the client reads it. */
  function pulled(chunks: Iterator<string>): Response {
    const body = new ReadableStream<Uint8Array>(
      {
        pull(controller) {
          const next = chunks.next()
          if (next.done !== true) controller.enqueue(encoder.encode(next.value))
        },
      },
      { highWaterMark: 0 },
    )
    return new Response(body, { headers: { "content-type": "text/event-stream" } })
  }
})

describe("a failure that repeats in the same way is reported, not retried indefinitely", () => {
  it("a layer that shortened the body and kept its Content-Length", async () => {
    const { fetch } = server(() =>
      fromNetwork(page("2", "[1]", { ...upToDate, "content-length": "60" })),
    )
    const response = await stream({ url, fetch, live: false, ...quick })
    await expect(response.json()).rejects.toThrow(/3 of 60 bytes.*service worker/)
  })

  it("a layer that decoded the body and kept its Content-Length", async () => {
    const { fetch, asked } = server(() =>
      fromNetwork(page("2", "[1,2,3]", { ...upToDate, "content-length": "5" })),
    )
    const response = await stream({ url, fetch, live: false, ...quick })
    await expect(response.json()).rejects.toThrow(/7 of 5 bytes/)
    expect(asked.length).toBeLessThan(10)
  })

  it("a response that a program constructed is accepted as it is", async () => {
    const { fetch } = server(() => page("2", "[1]", { ...upToDate, "content-length": "60" }))
    const response = await stream({ url, fetch, live: false })
    expect(await response.json()).toEqual([1])
  })

  it("a body that no method can read", async () => {
    const fail = () => Promise.reject(new Error("not implemented"))
    const { fetch } = server(() => {
      const { headers } = page("2", null, upToDate)
      const body = { status: 200, ok: true, headers, body: undefined, bodyUsed: false }
      // What React Native's responses have.
      return { ...body, arrayBuffer: fail, text: fail } as unknown as Response
    })
    const response = await stream({ url, fetch, live: false, ...quick })
    expect(await codeOf(response.json())).toBe("NETWORK")
  })
})

describe("a callback that takes its time", () => {
  const polls = (asked: readonly Asked[]) =>
    asked.filter(({ live }) => live === "long-poll").map(({ offset }) => offset)

  function pollServer() {
    return server(({ live, offset, signal }) => {
      if (live === null) return page("1", "[1]", { ...upToDate, "stream-cursor": "c1" })
      return offset === "1"
        ? page("2", "[2]", { ...upToDate, "stream-cursor": "c2" })
        : never(signal)
    })
  }

  async function heldAt(item: number, options: Partial<StreamOptions>) {
    const { fetch, asked } = pollServer()
    const response = await stream<number>({ url, fetch, live: "long-poll", ...options })
    let release: () => void = () => undefined
    const held = new Promise<void>((resolve) => {
      response.subscribeJson(async ({ items }) => {
        if (!items.includes(item)) return
        resolve()
        await new Promise<void>((done) => void (release = done))
      })
    })
    await held
    await new Promise((resolve) => setTimeout(resolve, 10))
    return { response, asked, release }
  }

  it("has the next long-poll in flight meanwhile, and does not repeat it afterwards", async () => {
    const { response, asked, release } = await heldAt(2, {})
    expect(polls(asked)).toEqual(["1", "2"])
    release()
    await new Promise((resolve) => setTimeout(resolve, 10))
    expect(polls(asked)).toEqual(["1", "2"])
    response.cancel()
    expect(asked.at(-1)?.signal.aborted).toBe(true)
    await response.closed
  })

  it("has none in flight with readAhead: 0", async () => {
    const { response, asked, release } = await heldAt(2, { readAhead: 0 })
    expect(polls(asked)).toEqual(["1"])
    release()
    response.cancel()
    await response.closed
  })

  it("gives the next long-poll up if the callback ends the session", async () => {
    const { response, asked, release } = await heldAt(2, {})
    response.cancel()
    release()
    expect(asked.at(-1)?.signal.aborted).toBe(true)
    await response.closed
  })
})

describe("idleTimeoutMs: 30 on a healthy quiet stream", () => {
  it.each(["long-poll", "sse"] as const)("makes a few requests a second (%s)", async (live) => {
    let requests = 0
    await runInVirtualTime({ seed: 1, maxSteps: 50_000 }, async (clock) => {
      const { fetch, asked } = server((request) => {
        if (request.live === null) return page("1", "[1]", upToDate)
        return request.live === "sse" ? events([control("1")]) : never(request.signal)
      })
      const response = await stream({ url, fetch, live, idleTimeoutMs: 30 })
      response.subscribeJson(() => undefined)
      await clock.sleep(60_000)
      response.cancel()
      await response.closed
      requests = asked.length
    })
    expect(requests).toBeGreaterThan(60)
    expect(requests).toBeLessThan(60 * 5)
  })
})

describe("a stream that was recreated under a saved offset", () => {
  it.each<[StreamOptions["live"]]>([[false], ["long-poll"], ["sse"]])(
    "is reported once (live: %s)",
    async (live) => {
      const observed: StreamEvent[] = []
      const { fetch } = server((request) => {
        if (request.live === null) return page("0002", "[]", upToDate)
        return request.live === "sse" ? events([control("0002")]) : never(request.signal)
      })
      const observe = (event: StreamEvent) => void observed.push(event)
      const response = await stream({ url, fetch, live, offset: "0005", observe })
      response.subscribeJson(() => undefined)
      await new Promise((resolve) => setTimeout(resolve, 20))
      response.cancel()
      await response.closed
      const mismatches = observed.filter(({ kind }) => kind === "offset-mismatch")
      expect(mismatches).toEqual([{ kind: "offset-mismatch", offset: "0005", nextOffset: "0002" }])
    },
  )

  it("continues where the error handler says, and the next batch says restarted", async () => {
    const { fetch, asked } = server(({ offset }) =>
      offset === "-1" ? page("1", "[1]", closed) : new Response("gone", { status: 410 }),
    )
    const onError = () => ({ offset: "-1" })
    const response = await stream({ url, fetch, offset: "0005", onError })
    const batches: unknown[] = []
    response.subscribeJson((batch) => void batches.push(batch))
    await response.closed
    expect(asked.map(({ offset }) => offset)).toEqual(["0005", "-1"])
    expect(batches).toEqual([
      { items: [1], offset: "1", upToDate: true, streamClosed: true, restarted: true },
    ])
  })

  it.each<["textChunks" | "byteChunks", object]>([
    ["textChunks", { text: "new" }],
    ["byteChunks", { data: new TextEncoder().encode("new") }],
  ])("says so of %s too", async (method, content) => {
    const { fetch } = server(({ offset }) => {
      if (offset !== "-1") return new Response("gone", { status: 410 })
      return page("1", "new", { ...closed, "content-type": "text/plain" })
    })
    const onError = () => ({ offset: "-1" })
    const response = await stream({ url, fetch, offset: "0005", onError })
    const chunks: unknown[] = []
    for await (const chunk of response[method]()) chunks.push(chunk)
    const place = { offset: "1", upToDate: true, streamClosed: true, restarted: true }
    expect(chunks).toEqual([{ ...content, ...place }])
  })

  it("does not continue at what is not an offset", async () => {
    const { fetch } = server(() => new Response("gone", { status: 410 }))
    // What a JavaScript caller can do.
    const onError = () => ({ offset: 7 as unknown as string })
    await expect(stream({ url, fetch, onError })).rejects.toMatchObject({ code: "BAD_REQUEST" })
  })
})

describe("a network that changed", () => {
  it("replaces the transfer of a page", async () => {
    const network = new EventTarget()
    vi.stubGlobal("addEventListener", network.addEventListener.bind(network))
    vi.stubGlobal("removeEventListener", network.removeEventListener.bind(network))
    try {
      const { fetch, asked } = server(({ count }) => {
        const half = new ReadableStream({ start: (body) => body.enqueue(encoder.encode("[1,")) })
        return page("1", count === 1 ? half : "[1,2]", closed)
      })
      const response = await stream({ url, fetch, ...quick })
      const items = response.json()
      await new Promise((resolve) => setTimeout(resolve, 10))
      network.dispatchEvent(new Event("online"))
      expect(await items).toEqual([1, 2])
      expect(asked.length).toBe(2)
    } finally {
      vi.unstubAllGlobals()
    }
  })

  it.each(["long-poll", "sse"] as const)("replaces a %s that is waiting", async (live) => {
    const network = new EventTarget()
    vi.stubGlobal("addEventListener", network.addEventListener.bind(network))
    vi.stubGlobal("removeEventListener", network.removeEventListener.bind(network))
    try {
      const { fetch, asked } = server((request) => {
        if (request.live === null) return page("1", "[1]", upToDate)
        return request.live === "sse" ? events([control("1")]) : never(request.signal)
      })
      const response = await stream({ url, fetch, live })
      response.subscribeJson(() => undefined)
      await vi.waitFor(() => expect(asked.length).toBe(2))
      await new Promise((resolve) => setTimeout(resolve, 10))
      network.dispatchEvent(new Event("online"))
      await vi.waitFor(() => expect(asked.length).toBe(3))
      expect(asked.map((request) => request.live)).toEqual([null, live, live])
      expect(asked[1]?.signal.aborted).toBe(true)
      response.cancel()
      await response.closed
    } finally {
      vi.unstubAllGlobals()
    }
  })
})
