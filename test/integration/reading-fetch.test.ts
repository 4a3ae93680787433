import { afterAll, beforeAll, describe, expect, it, vi } from "vitest"
import {
  createFetchWithBackoff,
  createFetchWithConsumedBody,
  FetchError,
  stream,
  type StreamEvent,
} from "../../src/index.ts"
import { bareResponse } from "../support/bare-response.ts"
import { startReferenceServer, type ReferenceServer } from "../support/reference-server.ts"
import { rejection } from "../support/rejection.ts"
import { makeResponse, scriptedFetch } from "../support/scripted-fetch.ts"
import {
  append,
  closeStream,
  consume,
  createStream,
  GATHERING,
  METHODS,
  oneTurn,
  pageHeaders,
  quick,
  Received,
  type Method,
} from "./reading-support.ts"

let server: ReferenceServer
beforeAll(async () => {
  server = await startReferenceServer()
})
afterAll(() => server.stop())

const url = "https://streams.test/s"

/** A platform without streams as bodies, as React Native's: what is there comes whole. */
function withoutStreams(fetch: typeof globalThis.fetch): typeof globalThis.fetch {
  return async (input, init) => {
    const { status, statusText, headers, body, ...rest } = await takeApart(await fetch(input, init))
    const buffer = await body()
    // What a platform without streams responds with.
    return {
      ...rest,
      ok: status < 300,
      status,
      statusText,
      headers,
      bodyUsed: false,
      arrayBuffer: () => Promise.resolve(buffer),
    } as unknown as Response
  }
}

function takeApart(response: Response) {
  const { status, statusText, headers, type } = response
  return Promise.resolve({
    status,
    statusText,
    headers,
    type,
    url: response.url,
    body: () => response.arrayBuffer(),
  })
}

describe("a fetch of the caller's", () => {
  it("may respond without a url, with a body that is buffered, or with none", async () => {
    const { fetch } = scriptedFetch([
      () => makeResponse(200, pageHeaders("o1", { upToDate: false }), "[1]"),
      () => makeResponse(200, pageHeaders("o2", { upToDate: false }), new Blob(["[2]"])),
      () => Response.json([3], { headers: pageHeaders("o3", { upToDate: false }) }),
      () => makeResponse(200, pageHeaders("o3", { closed: true })),
    ])
    const response = await stream({ ...quick, url, fetch })
    expect(await consume(response, "jsonBatches")).toBe("1\n2\n3\n")
    expect(response.streamClosed).toBe(true)
  })

  it("may have no streams for bodies: live reads go by long-poll, every method works", async () => {
    const warn = vi.spyOn(console, "warn")
    for (const method of [...METHODS.json, ...METHODS.text, ...METHODS.bytes]) {
      const target = server.streamUrl()
      await createStream(target, "application/json", "[1]")
      const requests: string[] = []
      const fetch = withoutStreams((input, init) => {
        requests.push(String(input))
        return globalThis.fetch(input, init)
      })
      const response = await stream({ url: target, fetch })
      const received = new Received()
      const done = consume(response, method, received)
      if (!GATHERING.has(method)) {
        await append(target, "application/json", "2")
        await closeStream(target)
      }
      expect(await done).toMatch(/^(1\n(2\n)?|\[1\](\[2\])?)$/)
      // A response that does not end would never come.
      expect(requests.filter((called) => called.includes("live=sse"))).toEqual([])
    }
    expect(warn).not.toHaveBeenCalled()
    warn.mockRestore()
  })

  it("may have no streams for bodies on a platform without ReadableStream: all but the streams work", async () => {
    const target = server.streamUrl()
    await createStream(target, "application/json", "[1]")
    await closeStream(target)
    const fetch = withoutStreams(globalThis.fetch)
    const streams: Method[] = ["bodyStream", "jsonStream", "textStream"]
    for (const method of [...METHODS.json, ...METHODS.text, ...METHODS.bytes]) {
      const response = await stream({ url: target, fetch })
      vi.stubGlobal("ReadableStream", undefined)
      try {
        if (streams.includes(method)) {
          const error = await rejection(consume(response, method))
          expect(error).toMatchObject({ name: "DurableStreamError", code: "BAD_REQUEST" })
          expect(error.message).toMatch(new RegExp(`^${method}\\(\\) needs ReadableStream`))
          // That was no consumption.
          expect(await response.text()).toBe("[1]")
        } else expect(await consume(response, method)).toMatch(/^(1\n|\[1\])$/)
      } finally {
        vi.unstubAllGlobals()
      }
    }
  })

  it("may have no streams for bodies: SSE that is asked for is given up at once, and let go", async () => {
    const target = server.streamUrl()
    await createStream(target, "application/json", "[1]")
    const connections: AbortSignal[] = []
    const fetch: typeof globalThis.fetch = async (input, init) => {
      if (String(input).includes("live=sse") && init?.signal) connections.push(init.signal)
      const response = await globalThis.fetch(input, init)
      // What node-fetch responds with.
      return Object.defineProperty(response, "body", { value: { pipe: "a stream of Node's" } })
    }
    const received = new Received()
    const events: StreamEvent[] = []
    const observe = (event: StreamEvent): void => void events.push(event)
    const response = await stream({ ...quick, url: target, fetch, live: "sse", observe })
    const done = consume(response, "jsonStream", received)
    await expect
      .poll(() => events)
      .toContainEqual(
        expect.objectContaining({ kind: "transport", to: "long-poll", reason: "unsupported" }),
      )
    expect(connections.map(({ aborted }) => aborted)).toEqual([true])
    await append(target, "application/json", "2")
    await received.whenEndsWith("2\n")
    await closeStream(target)
    expect(await done).toBe("1\n2\n")
  })

  it("may respond with headers that can do no more than get", async () => {
    const pages = scriptedFetch([
      makeResponse(503, { "retry-after": "0" }),
      makeResponse(200, pageHeaders("o1", { upToDate: false }), "[1]"),
      makeResponse(200, pageHeaders("o2"), "[2]"),
      makeResponse(404, { "content-type": "text/plain" }, "gone"),
    ])
    const fetch: typeof globalThis.fetch = async (input, init) =>
      bareResponse(await pages.fetch(input, init))
    const response = await stream({ ...quick, url, fetch, live: false })
    expect(await consume(response, "json")).toBe("1\n2\n")
    expect(response).toMatchObject({ offset: "o2", upToDate: true, status: 200 })
    const error = await rejection(stream({ ...quick, url, fetch }))
    expect(error).toMatchObject({ code: "NOT_FOUND", status: 404, headers: {} })
  })

  it("may wait for whole bodies and try again by itself", async () => {
    const target = server.streamUrl()
    await createStream(target, "text/plain", "hello")
    const fetch = createFetchWithBackoff(createFetchWithConsumedBody(globalThis.fetch))
    const response = await stream({ ...quick, url: target, fetch, live: false })
    expect(await response.text()).toBe("hello")
  })

  it("may respond again with what it gave before: a clone is as good as a new response", async () => {
    const kept = makeResponse(200, pageHeaders("o1"), "[1]")
    const fetch: typeof globalThis.fetch = () => Promise.resolve(kept.clone())
    for (let reads = 0; reads < 3; reads++) {
      expect(await consume(await stream({ ...quick, url, fetch, live: false }), "json")).toBe("1\n")
    }
  })

  it("that has read the body itself is told so, at once", async () => {
    const fetch: typeof globalThis.fetch = async () => {
      const response = makeResponse(200, pageHeaders("o1"), "[1]")
      await response.text()
      return response
    }
    const error = await rejection(stream({ ...quick, url, fetch }))
    expect(error).toMatchObject({ name: "DurableStreamError", code: "BAD_REQUEST" })
    expect(error.message).toMatch(/fetch.*body was used already/)
  })

  it("whose bodies are no bytes is told so, by every method, before long", async () => {
    const strings = (): Response => {
      const body = new ReadableStream<unknown>({ start: (chunks) => chunks.enqueue("[1]") })
      // What a polyfill can respond with.
      return makeResponse(200, pageHeaders("o1"), body as ReadableStream<Uint8Array<ArrayBuffer>>)
    }
    for (const method of [...METHODS.json, ...METHODS.text, ...METHODS.bytes]) {
      const { fetch, calls } = scriptedFetch([strings])
      const response = await stream({ ...quick, url, fetch })
      const error = await rejection(consume(response, method))
      expect(error).toMatchObject({ code: "BAD_REQUEST" })
      expect(error.message).toMatch(/option fetch .* bytes/)
      expect(calls.length).toBeLessThan(10)
    }
  })

  it("whose SSE bodies alone are no bytes: long-poll takes over", async () => {
    const target = server.streamUrl()
    await createStream(target, "application/json", "[1]")
    const fetch: typeof globalThis.fetch = async (input, init) => {
      const response = await globalThis.fetch(input, init)
      if (!String(input).includes("live=sse")) return response
      const text = response.body?.pipeThrough(new TextDecoderStream())
      // What a polyfill can respond with.
      return new Response(text, response)
    }
    const received = new Received()
    const response = await stream({ ...quick, url: target, fetch })
    const done = consume(response, "jsonStream", received)
    await received.whenEndsWith("1\n")
    await append(target, "application/json", "2")
    await received.whenEndsWith("2\n")
    await closeStream(target)
    expect(await done).toBe("1\n2\n")
  })

  it("may throw plain errors: they count as the network's, and are tried again", async () => {
    const plain = [new Error("socket closed"), new TypeError("Failed to fetch")] as const
    const { fetch, calls } = scriptedFetch([...plain, makeResponse(200, pageHeaders("o1"), "[1]")])
    expect(await consume(await stream({ ...quick, url, fetch, live: false }), "json")).toBe("1\n")
    expect(calls.length).toBe(3)
  })

  it("what can never succeed fails at once, and an unrecognised error after a few retries", async () => {
    const loop = new TypeError("fetch failed", { cause: new Error("redirect count exceeded") })
    const mistake = new TypeError("options.map is not a function")
    for (const [thrown, count] of [
      [loop, 1],
      [mistake, 4],
    ] as const) {
      const { fetch, calls } = scriptedFetch([thrown])
      const error = await rejection(stream({ ...quick, url, fetch }))
      expect(error).toBeInstanceOf(FetchError)
      expect(error).toMatchObject({ status: 0, cause: thrown })
      expect(calls.length).toBe(count)
    }
  })

  it("may throw before it returns a promise", async () => {
    let calls = 0
    const fetch: typeof globalThis.fetch = () => {
      if (++calls === 1) throw new Error("offline")
      return Promise.resolve(makeResponse(200, pageHeaders("o1"), "[1]"))
    }
    expect(await consume(await stream({ ...quick, url, fetch, live: false }), "json")).toBe("1\n")
  })

  it("may ignore its signal: an abort is as prompt, and the response that comes late is released", async () => {
    let respondLate: (response: Response) => void = () => undefined
    const late = new Promise<Response>((resolve) => {
      respondLate = resolve
    })
    const { fetch } = scriptedFetch([() => late], { ignoresAbort: true })
    const controller = new AbortController()
    const opened = rejection(stream({ ...quick, url, fetch, signal: controller.signal }))
    await oneTurn()
    controller.abort("left")
    expect(await opened).toMatchObject({ name: "AbortError", cause: "left" })
    let cancelled = false
    const body = new ReadableStream({ cancel: () => void (cancelled = true) })
    respondLate(makeResponse(200, pageHeaders("o1"), body))
    await oneTurn()
    expect(cancelled).toBe(true)
  })

  it("may ignore its signal in a body: silence and aborts end the wait all the same", async () => {
    const bodies: string[] = []
    const silent = (name: string): Response => {
      const cancel = (): void => void bodies.push(name)
      return makeResponse(200, pageHeaders("o1"), new ReadableStream({ cancel }))
    }
    const { fetch } = scriptedFetch([() => silent("first"), () => silent("second")])
    const controller = new AbortController()
    const events: StreamEvent[] = []
    const response = await stream({
      ...quick,
      url,
      fetch,
      signal: controller.signal,
      idleTimeoutMs: 50,
      observe: (event) => void events.push(event),
    })
    const gathered = rejection(response.json())
    await expect.poll(() => bodies).toEqual(["first"])
    const retry = { kind: "retry", error: expect.objectContaining({ code: "TIMEOUT" }) }
    await expect.poll(() => events).toContainEqual(expect.objectContaining(retry))
    const reads = { kind: "state", state: { kind: "catching-up" } }
    await expect.poll(() => events.at(-1)).toEqual(reads)
    controller.abort("left")
    expect(await gathered).toMatchObject({ cause: "left" })
    expect(bodies).toEqual(["first", "second"])
  })

  it("that gives no response at all is told so", async () => {
    // @ts-expect-error -- what a mock can do
    const fetch: typeof globalThis.fetch = () => Promise.resolve(undefined)
    const error = await rejection(stream({ ...quick, url, fetch }))
    expect(error).toBeInstanceOf(FetchError)
    expect(error).toMatchObject({ status: 0, code: "BAD_REQUEST" })
  })
})
