import { afterAll, beforeAll, describe, expect, it, vi } from "vitest"
import {
  stream,
  type LiveMode,
  type SseFallbackReason,
  type StreamEvent,
  type StreamOptions,
} from "../../src/index.ts"
import { startReferenceServer, type ReferenceServer } from "../support/reference-server.ts"
import {
  append,
  closeStream,
  consume,
  createStream,
  quick,
  Received,
  sseControl,
  sseEvent,
} from "./reading-support.ts"

let server: ReferenceServer
beforeAll(async () => {
  server = await startReferenceServer({ longPollTimeout: 1000 })
})
afterAll(() => server.stop())

const EVENT_STREAM = { "content-type": "text/event-stream" }

/** What stands between the client and the server's SSE; the rest passes. */
type Meddler = (url: URL, init: RequestInit) => Response | Promise<Response>

function meddling(meddler: Meddler): typeof globalThis.fetch {
  return async (input, init = {}) => {
    const url = new URL(String(input))
    return url.searchParams.get("live") === "sse" ? meddler(url, init) : fetch(url, init)
  }
}

/** The server's own events, as far as `edit` lets them. */
function edited(
  edit: (chunk: Uint8Array, controller: TransformStreamDefaultController<Uint8Array>) => void,
): Meddler {
  return async (url, init) => {
    const response = await fetch(url, init)
    const body = response.body?.pipeThrough(
      new TransformStream<Uint8Array, Uint8Array>({ transform: edit }),
    )
    return new Response(body, { headers: response.headers })
  }
}

/** Never responds, and heeds its signal. */
function silent(_url: URL, { signal }: RequestInit): Promise<Response> {
  return new Promise((_resolve, reject) => {
    // What a fetch does.
    signal?.addEventListener("abort", () => reject(signal.reason as Error))
  })
}

/** Holds everything back for as long as a proxy that buffers until the connection ends. */
function buffering(holdMs: number): Meddler {
  return async (url, init) => {
    const controller = new AbortController()
    init.signal?.addEventListener("abort", () => controller.abort())
    const response = await fetch(url, { ...init, signal: controller.signal })
    const held: Uint8Array[] = []
    const timer = setTimeout(() => controller.abort(), holdMs)
    const body = new ReadableStream<Uint8Array>({
      async start(stream) {
        try {
          for await (const chunk of response.body ?? []) held.push(chunk)
        } catch {
          // The end of the connection, which lets go of what was held back.
        }
        clearTimeout(timer)
        for (const chunk of held) stream.enqueue(chunk)
        stream.close()
      },
    })
    return new Response(body, { headers: response.headers })
  }
}

interface Outcome {
  content: string
  events: StreamEvent[]
  warnings: string[]
  sseRequests: number
}

/** Read a JSON stream live through a meddler, while messages arrive, to its end. */
async function readThrough(
  meddler: Meddler,
  options: Partial<StreamOptions> = {},
  contentType = "application/json",
): Promise<Outcome> {
  const url = server.streamUrl()
  const isJson = contentType === "application/json"
  const message = (n: number): string => (isJson ? `${n}` : `${n}\n`)
  await createStream(url, contentType, message(1))
  const events: StreamEvent[] = []
  const warnings: string[] = []
  const warn = vi.spyOn(console, "warn").mockImplementation((text) => void warnings.push(text))
  const response = await stream({
    ...quick,
    sseResilience: { ...quick.sseResilience, logWarnings: true },
    url,
    fetch: meddling(meddler),
    observe: (event) => void events.push(event),
    ...options,
  })
  const received = new Received()
  const done = consume(response, isJson ? "subscribeJson" : "subscribeBytes", received)
  for (let n = 2; n <= 5; n++) {
    await append(url, contentType, message(n))
    await received.whenEndsWith(`${n}\n`)
  }
  await closeStream(url)
  const content = await done
  warn.mockRestore()
  const sse = events.filter((event) => event.kind === "request" && event.transport === "sse")
  return { content, events, warnings, sseRequests: sse.length }
}

function check({ content, events, warnings }: Outcome, reason: SseFallbackReason): void {
  expect(content).toBe("1\n2\n3\n4\n5\n")
  const fallbacks = events.filter((event) => event.kind === "transport" && event.reason)
  expect(fallbacks).toEqual([{ kind: "transport", from: "sse", to: "long-poll", reason }])
  expect(warnings).toHaveLength(1)
  expect(warnings[0]).toMatch(/\[durable-streams\] http.*long-poll replaces SSE.*prox/)
}

const cases: Array<[string, SseFallbackReason, Meddler, Partial<StreamOptions>]> = [
  ["cut at once", "short-connections", () => new Response("", { headers: EVENT_STREAM }), {}],
  [
    "cut after its first control event",
    "short-connections",
    ({ searchParams }) =>
      new Response(sseControl(String(searchParams.get("offset"))), { headers: EVENT_STREAM }),
    {},
  ],
  ["buffered until the end", "buffered", buffering(1200), {}],
  [
    "responds and is silent for ever",
    "silent",
    () => new Response(new ReadableStream(), { headers: EVENT_STREAM }),
    { idleTimeoutMs: 150 },
  ],
  ["never responds", "silent", silent, { idleTimeoutMs: 150 }],
  [
    "responds with JSON, by something that drops the query",
    "unsupported",
    (url, init) => {
      url.searchParams.delete("live")
      return fetch(url, init)
    },
    {},
  ],
  ...[400, 405, 406, 415, 501].map((status): [string, SseFallbackReason, Meddler, object] => [
    `refused with ${status}`,
    "unsupported",
    () => new Response("no events here", { status }),
    {},
  ]),
  ...[429, 500, 502, 503, 504].map((status): [string, SseFallbackReason, Meddler, object] => [
    `responds with ${status} every time, while catch-up works`,
    "failing",
    () => new Response("busy", { status }),
    {},
  ]),
  [
    "cut before its headers every time, while catch-up works",
    "failing",
    () => Promise.reject(new TypeError("fetch failed")),
    {},
  ],
  [
    "responds with 204",
    "unsupported",
    () => new Response(null, { status: 204, headers: { "stream-up-to-date": "true" } }),
    {},
  ],
  [
    "with control events that are no JSON",
    "malformed",
    () => new Response("event: control\ndata: {oops\n\n", { headers: EVENT_STREAM }),
    {},
  ],
  [
    "with control events without an offset",
    "malformed",
    () => new Response('event: control\ndata: {"upToDate":true}\n\n', { headers: EVENT_STREAM }),
    {},
  ],
  [
    "with data that is no JSON",
    "malformed",
    ({ searchParams }) => {
      const events = sseEvent("data", "[2,") + sseControl(`${searchParams.get("offset")}0`)
      return new Response(events, { headers: EVENT_STREAM })
    },
    {},
  ],
  [
    "with data that no control event ever follows",
    "malformed",
    (_url, { signal }) => {
      let timer: ReturnType<typeof setInterval>
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          const event = new TextEncoder().encode(sseEvent("data", "[2]"))
          timer = setInterval(() => {
            controller.enqueue(event)
          }, 20)
          signal?.addEventListener("abort", () => {
            clearInterval(timer)
          })
        },
        cancel() {
          clearInterval(timer)
        },
      })
      return new Response(body, { headers: EVENT_STREAM })
    },
    { idleTimeoutMs: 150 },
  ],
  [
    "that ends in half an event, every time",
    "short-connections",
    () =>
      new Response('event: data\ndata: [2]\n\nevent: control\ndata: {"str', {
        headers: EVENT_STREAM,
      }),
    {},
  ],
]

describe.each<LiveMode>([true, "sse"])("SSE that does not work (live: %s)", (live) => {
  it.each(cases)("%s: %s", async (_what, reason, meddler, options) => {
    const outcome = await readThrough(meddler, { live, ...options })
    check(outcome, reason)
    expect(outcome.sseRequests).toBeLessThanOrEqual(3)
  })
})

describe("SSE that works badly", () => {
  it("invalid base64 falls back without loss", async () => {
    const broken: Meddler = ({ searchParams }) => {
      const events = sseEvent("data", "YQ") + sseControl(`${searchParams.get("offset")}0`)
      return new Response(events, { headers: EVENT_STREAM })
    }
    check(await readThrough(broken, { live: "sse" }, "application/octet-stream"), "malformed")
  })

  it("data without its control event is thrown away, and comes again", async () => {
    let cut = 0
    const decoder = new TextDecoder()
    const halves = edited((chunk, controller) => {
      const text = decoder.decode(chunk)
      const control = text.indexOf("event: control")
      if (!text.includes("event: data") || ++cut % 2 === 0 || control === -1) {
        return controller.enqueue(chunk)
      }
      controller.enqueue(chunk.subarray(0, control + 20))
      controller.terminate()
    })
    const { content } = await readThrough(halves)
    expect(content).toBe("1\n2\n3\n4\n5\n")
    expect(cut).toBeGreaterThan(1)
  })

  it("a healthy reconnect, however often, is no failure", async () => {
    const lifetimeMs = 80
    const healthy: Meddler = async (url, init) => {
      const controller = new AbortController()
      init.signal?.addEventListener("abort", () => controller.abort())
      setTimeout(() => controller.abort(), lifetimeMs)
      return fetch(url, { ...init, signal: controller.signal })
    }
    const url = server.streamUrl()
    await createStream(url, "application/json", "[0]")
    const events: StreamEvent[] = []
    const response = await stream({
      ...quick,
      sseResilience: { ...quick.sseResilience, minConnectionDuration: lifetimeMs / 2 },
      url,
      fetch: meddling(healthy),
      observe: (event) => void events.push(event),
    })
    const received = new Received()
    const done = consume(response, "subscribeJson", received)
    const sse = (): number =>
      events.filter((e) => e.kind === "request" && e.transport === "sse").length
    await expect.poll(sse).toBeGreaterThan(8)
    await append(url, "application/json", "1")
    await received.whenEndsWith("1\n")
    await closeStream(url)
    expect(await done).toBe("0\n1\n")
    expect(events.some((event) => event.kind === "transport" && event.reason)).toBe(false)
  })

  it("a connection that falls silent is replaced, and SSE stays", async () => {
    let connections = 0
    // The first connection tells where it stands, and never anything again.
    const deaf: Meddler = (url, init) => {
      if (++connections > 1) return fetch(url, init)
      const body = new ReadableStream<Uint8Array>({
        start: (stream) =>
          stream.enqueue(
            new TextEncoder().encode(sseControl(url.searchParams.get("offset") ?? "")),
          ),
      })
      return new Response(body, { headers: EVENT_STREAM })
    }
    const outcome = await readThrough(deaf, { idleTimeoutMs: 300 })
    expect(outcome.content).toBe("1\n2\n3\n4\n5\n")
    expect(outcome.warnings).toEqual([])
    expect(connections).toBeGreaterThan(1)
  })

  it("comments are sound", async () => {
    const connections: string[] = []
    const chatty: Meddler = () => {
      connections.push("sse")
      let timer: ReturnType<typeof setInterval> | undefined
      const encoder = new TextEncoder()
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          timer = setInterval(() => controller.enqueue(encoder.encode(": still here\n")), 20)
        },
        cancel: () => clearInterval(timer),
      })
      return new Response(body, { headers: EVENT_STREAM })
    }
    const url = server.streamUrl()
    await createStream(url, "application/json", "[0]")
    const response = await stream({ ...quick, url, fetch: meddling(chatty), idleTimeoutMs: 200 })
    const done = consume(response, "subscribeJson")
    await new Promise((resolve) => setTimeout(resolve, 700))
    expect(connections).toEqual(["sse"])
    response.cancel()
    await done
  })

  it("attempts that failed before the connection stood do not make it seem held back", async () => {
    let attempts = 0
    const flaky: Meddler = (url, init) =>
      ++attempts < 3 ? new Response("busy", { status: 503 }) : fetch(url, init)
    const slowly = { backoffBaseDelay: 800, backoffMaxDelay: 800 }
    const outcome = await readThrough(flaky, { sseResilience: slowly })
    expect(outcome.content).toBe("1\n2\n3\n4\n5\n")
    expect(outcome.warnings).toEqual([])
  })

  it("an outage of the whole server is no failure of SSE, however long it lasts", async () => {
    const url = server.streamUrl()
    await createStream(url, "application/json", "[1]")
    let down = false
    let failures = 0
    let seen = 0
    const events: StreamEvent[] = []
    const connections: AbortController[] = []
    const fetchUnlessDown: typeof globalThis.fetch = (input, init) => {
      if (down) {
        failures++
        return Promise.reject(new TypeError("fetch failed"))
      }
      const connection = new AbortController()
      connections.push(connection)
      init?.signal?.addEventListener("abort", () => connection.abort())
      return fetch(input, { ...init, signal: connection.signal })
    }
    const observe = (event: StreamEvent): void => void events.push(event)
    const response = await stream({ ...quick, url, fetch: fetchUnlessDown, observe })
    const received = new Received()
    const done = consume(response, "subscribeJson", received)
    for (let n = 2; n <= 4; n++) {
      const isConnected = (event: StreamEvent): boolean =>
        event.kind === "response" && event.transport === "sse"
      await vi.waitUntil(() => events.slice(seen).some(isConnected))
      await append(url, "application/json", `${n}`)
      await received.whenEndsWith(`${n}\n`)
      down = true
      const before = failures
      for (const connection of connections.splice(0)) connection.abort(new Error("outage"))
      await vi.waitUntil(() => failures > before + 10)
      seen = events.length
      down = false
    }
    await append(url, "application/json", "5")
    await closeStream(url)
    expect(await done).toBe("1\n2\n3\n4\n5\n")
    expect(events.some((event) => event.kind === "transport" && event.to === "long-poll")).toBe(
      false,
    )
    expect(events.some((event) => event.kind === "request" && event.transport === "sse")).toBe(true)
  })

  it("logWarnings: false keeps it quiet, and observe still tells", async () => {
    const sseResilience = { ...quick.sseResilience, logWarnings: false }
    const refusing: Meddler = () => new Response("", { status: 406 })
    const { warnings, events } = await readThrough(refusing, { sseResilience })
    expect(warnings).toEqual([])
    expect(events.some((event) => event.kind === "transport" && event.reason)).toBe(true)
  })

  it("errors that are not about SSE do not give it up: 401, 404, 410 are asked about", async () => {
    for (const status of [401, 403, 404, 410]) {
      const refusing: Meddler = () => new Response("", { status })
      const url = server.streamUrl()
      await createStream(url, "application/json", "[0]")
      const response = await stream({ ...quick, url, fetch: meddling(refusing) })
      await expect(consume(response, "subscribeJson")).rejects.toMatchObject({ status })
    }
  })
})

/** What a reader gets of a text that is appended piece by piece, and the transports of its requests. */
async function readText(
  live: LiveMode,
  stored: string,
  pieces: readonly string[],
  method: Parameters<typeof consume>[1] = "subscribeText",
  isNormalized = false,
): Promise<{ received: string; transports: string[] }> {
  const url = server.streamUrl()
  await createStream(url, "text/plain", stored)
  const transports: string[] = []
  const observe = (event: StreamEvent): void => {
    if (event.kind === "request") transports.push(event.transport)
  }
  const response = await stream({ ...quick, url, live, observe })
  const received = new Received()
  const done = consume(response, method, received)
  for (const piece of pieces) {
    await append(url, "text/plain", piece)
    await received.whenEndsWith(isNormalized ? normalized(piece) : piece)
  }
  await closeStream(url)
  return { received: await done, transports }
}

function normalized(text: string): string {
  return text.replace(/\r\n?/g, "\n")
}

describe("text that SSE cannot carry as it is", () => {
  it("arrives where a cache keeps catch-up responses: the tail it read is not the tail any more", async () => {
    const url = server.streamUrl()
    await createStream(url, "text/plain", "stored")
    const { headers } = await fetch(`${url}?offset=-1`)
    const offset = String(headers.get("stream-next-offset"))
    const kept = new Map<string, Promise<Response>>()
    const cached: typeof globalThis.fetch = async (input, init) => {
      const request = String(input)
      if (request.includes("live=")) return fetch(input, init)
      if (!kept.has(request)) kept.set(request, fetch(input, init))
      return (await kept.get(request))!.clone()
    }
    const response = await stream({ ...quick, url, offset, fetch: cached })
    const received = new Received()
    const done = consume(response, "subscribeText", received)
    for (const text of ["one\r\ntwo\n", "three\nfour\n"]) {
      await append(url, "text/plain", text)
      await received.whenEndsWith(text)
    }
    await closeStream(url)
    expect(await done).toBe("one\r\ntwo\nthree\nfour\n")
  })

  const pieces = ["\n", "fetching\n", "\r10%", "\r50%", "\r100%\n", "done\r\n"]

  it.each(["subscribeText", "subscribeBytes", "textStream"] as const)(
    "live: true reads text over long-poll, every carriage return as it was written (%s)",
    async (method) => {
      const { received, transports } = await readText(true, "installing\n", pieces, method)
      expect(received).toBe(["installing\n", ...pieces].join(""))
      expect(transports).not.toContain("sse")
    },
  )

  it.each(["subscribeText", "subscribeBytes", "textStream"] as const)(
    "an explicit SSE delivers LF exactly and CR as LF, without a second request (%s)",
    async (method) => {
      const { received, transports } = await readText("sse", "installing\n", pieces, method, true)
      expect(received).toBe(["installing\n", ...pieces].map(normalized).join(""))
      expect(transports).toEqual(["catch-up", "sse"])
    },
  )

  it("U+FFFD in an explicit SSE continues over long-poll permanently", async () => {
    const text = ["one\n", "genuine \uFFFD\n", "two\n", "three\r\n"]
    const { received, transports } = await readText("sse", "stored\n", text)
    expect(received).toBe(["stored\n", ...text].join(""))
    expect(transports.slice(0, 3)).toEqual(["catch-up", "sse", "long-poll"])
    expect(transports.slice(3).every((transport) => transport === "long-poll")).toBe(true)
  })

  it("a carriage return in a catch-up page continues over long-poll permanently", async () => {
    const { received, transports } = await readText("sse", "stored\r\n", ["a\rb\r\n", "c\n"])
    expect(received).toBe("stored\r\na\rb\r\nc\n")
    expect(transports).not.toContain("sse")
  })

  it.each(["long-poll", "sse", true] as const)(
    "is read as it was written all the same (live: %s)",
    async (live) => {
      const url = server.streamUrl()
      await createStream(url, "text/plain", "\uFEFFfirst\r\n")
      const response = await stream({ ...quick, url, live })
      const received = new Received()
      const done = consume(response, "subscribeText", received)
      let expected = "\uFEFFfirst\r\n"
      const encoder = new TextEncoder()
      const emoji = encoder.encode("😀\n")
      const parts: Array<string | Uint8Array> = [" led by a space\n", "\n\n", "genuine \uFFFD\n"]
      parts.push(
        emoji.slice(0, 2),
        emoji.slice(2),
        "a\r\nb\rc\n",
        "  \n",
        "data: x\nevent: control\n",
      )
      for (const part of parts) {
        await append(url, "text/plain", part)
        if (typeof part === "string") expected += part
        else if (part.byteLength === 3) expected += "😀\n"
        else continue
        await received.whenEndsWith(expected.slice(-2))
      }
      await closeStream(url)
      expect(await done).toBe(expected)
    },
  )
})
