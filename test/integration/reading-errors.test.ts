import { describe, expect, it, vi } from "vitest"
import {
  DurableStreamError,
  FetchError,
  stream,
  type RetryOpts,
  type StreamEvent,
  type StreamFailure,
  type StreamOptions,
} from "../../src/index.ts"
import { rejection } from "../support/rejection.ts"
import {
  makeResponse,
  scriptedFetch,
  type FetchCall,
  type FetchOutcome,
} from "../support/scripted-fetch.ts"
import { startReferenceServer } from "../support/reference-server.ts"
import {
  append,
  closeStream,
  consume,
  createStream,
  oneTurn,
  pageHeaders,
  quick,
  Received,
  sseControl,
  sseEvent,
} from "./reading-support.ts"

const url = "https://streams.test/s?signature=secret"

const first = makeResponse(200, pageHeaders("o1", { upToDate: false }), "[1]")
const second = makeResponse(200, pageHeaders("o2"), "[2]")
const closed = makeResponse(200, pageHeaders("o3", { closed: true }), "[3]")

function open(
  outcomes: readonly [FetchOutcome, ...FetchOutcome[]],
  options: Partial<StreamOptions> = {},
) {
  const script = scriptedFetch(outcomes)
  const opened = stream({ ...quick, url, fetch: script.fetch, live: false, ...options })
  return { opened, calls: script.calls }
}

function offsetOf({ url: called }: FetchCall): string | null {
  return new URL(called).searchParams.get("offset")
}

describe("a first request that fails for good", () => {
  it.each([
    [400, "BAD_REQUEST"],
    [401, "UNAUTHORIZED"],
    [403, "FORBIDDEN"],
    [404, "NOT_FOUND"],
    [405, "UNKNOWN"],
    [409, "CONFLICT_SEQ"],
    [410, "GONE"],
    [418, "UNKNOWN"],
    [501, "UNKNOWN"],
    [505, "UNKNOWN"],
  ])("%i rejects at once: FetchError %s", async (status, code) => {
    const { opened, calls } = open([makeResponse(status, { "content-type": "text/plain" }, "why")])
    const error = await rejection(opened)
    expect(error).toBeInstanceOf(FetchError)
    expect(error).toMatchObject({ status, code, text: "why", url: "https://streams.test/s" })
    expect(error.message).not.toContain("secret")
    expect(calls.length).toBe(1)
  })

  it.each([408, 425, 429, 500, 502, 503, 504])("%i is tried again", async (status) => {
    const { opened, calls } = open([makeResponse(status), makeResponse(status), second])
    expect(await consume(await opened, "json")).toBe("2\n")
    expect(calls.length).toBe(3)
  })

  it("5xx and network failures reject once retries are used up", async () => {
    const backoffOptions = { ...quick.backoffOptions, maxRetries: 2 }
    const down = open([makeResponse(503)], { backoffOptions })
    expect(await rejection(down.opened)).toMatchObject({ status: 503, code: "BUSY" })
    expect(down.calls.length).toBe(3)
    const gone = open([new TypeError("fetch failed")], { backoffOptions })
    expect(await rejection(gone.opened)).toMatchObject({ status: 0, code: "NETWORK" })
    expect(gone.calls.length).toBe(3)
  })
})

describe("onError", () => {
  it("is asked about the first request, and an object means go on", async () => {
    const asked: StreamFailure[] = []
    const { opened, calls } = open([makeResponse(401), first, second], {
      headers: { authorization: "Bearer old", "x-kept": "1" },
      params: { tenant: "a", gone: "x" },
      onError: (error): RetryOpts => {
        asked.push(error)
        return { headers: { Authorization: "Bearer new" }, params: { extra: "b", gone: undefined } }
      },
    })
    expect(await consume(await opened, "json")).toBe("1\n2\n")
    expect(asked.map(({ code, status }) => [code, status])).toEqual([["UNAUTHORIZED", 401]])
    // What was merged stays merged, for this request and all that follow.
    for (const call of calls.slice(1)) {
      expect(call.headers).toEqual({ Authorization: "Bearer new", "x-kept": "1" })
      expect(call.url).toMatch(/&extra=b&offset=(-1|o1)&tenant=a$/)
    }
  })

  it.each([
    ["nothing", () => undefined],
    ["a promise of nothing", () => Promise.resolve()],
    // @ts-expect-error -- what a JavaScript caller may give
    ["null", (): RetryOpts => null],
    ["no handler at all", undefined],
  ])("%s means end with that error", async (_what, onError) => {
    const { opened, calls } = open([makeResponse(404)], onError === undefined ? {} : { onError })
    expect(await rejection(opened)).toMatchObject({ code: "NOT_FOUND" })
    expect(calls.length).toBe(1)
  })

  it("ends with what the handler throws, where it throws", async () => {
    const own = new Error("the handler's own")
    const { opened } = open([makeResponse(404)], {
      onError: () => {
        throw own
      },
    })
    expect(await rejection(opened)).toBe(own)
  })

  it("may abort the signal, or cancel, and never settle: the session ends all the same", async () => {
    const controller = new AbortController()
    const hang = new Promise<undefined>(() => undefined)
    const onError = () => {
      controller.abort("left")
      return hang
    }
    const { signal } = controller
    expect(await rejection(open([makeResponse(404)], { onError, signal }).opened)).toMatchObject({
      name: "AbortError",
      cause: "left",
    })
    let cancel: () => void = () => undefined
    const cancelling = () => {
      cancel()
      return hang
    }
    const response = await open([first, makeResponse(404)], { onError: cancelling }).opened
    cancel = () => response.cancel()
    response.subscribeJson(() => undefined)
    await response.closed
  })

  it("ends with a typed error where what it asks for cannot be sent", async () => {
    const bad = { params: { offset: "0" } }
    const { opened } = open([makeResponse(401)], { onError: () => bad })
    expect(await rejection(opened)).toMatchObject({ code: "BAD_REQUEST" })
  })

  it("in the middle: a new token, and on at the same offset, nothing twice", async () => {
    let token = "old"
    const { opened, calls } = open([first, makeResponse(401), makeResponse(401), second], {
      headers: { authorization: () => `Bearer ${token}` },
      onError: async ({ status }) => {
        await oneTurn()
        if (status !== 401) return undefined
        token = `${token}+`
        return {}
      },
    })
    expect(await consume(await opened, "jsonBatches")).toBe("1\n2\n")
    expect(calls.map(offsetOf)).toEqual(["-1", "o1", "o1", "o1"])
    expect(calls.map(({ headers }) => headers["authorization"])).toEqual([
      "Bearer old",
      "Bearer old",
      "Bearer old+",
      "Bearer old++",
    ])
  })

  it("is asked about live requests of both kinds, and the session goes on", async () => {
    for (const live of ["long-poll", "sse"] as const) {
      const outcomes: FetchOutcome[] = [makeResponse(403), closed]
      if (live === "sse") {
        const events = sseEvent("data", "[3]") + sseControl("o3", { streamClosed: true })
        outcomes[1] = makeResponse(200, { "content-type": "text/event-stream" }, events)
      }
      const onError = vi.fn(() => ({ headers: { authorization: "new" } }))
      const { opened, calls } = open([second, ...outcomes], { live, onError })
      expect(await consume(await opened, "jsonStream")).toBe("2\n3\n")
      expect(onError).toHaveBeenCalledOnce()
      expect(calls.map(({ url: called }) => new URL(called).searchParams.get("live"))).toEqual([
        null,
        live,
        live,
      ])
    }
  })

  it("on an SSE reconnect after hours: the token has expired, the place has not", async () => {
    const server = await startReferenceServer()
    const target = server.streamUrl()
    await createStream(target, "application/json", "[1]")
    let valid = "t1"
    let token = "t1"
    let cutOff: () => void = () => undefined
    const guarded: typeof globalThis.fetch = async (input, init) => {
      const given = new Headers(init?.headers).get("authorization")
      if (given !== valid) return makeResponse(401)
      const controller = new AbortController()
      cutOff = () => controller.abort()
      init?.signal?.addEventListener("abort", cutOff)
      return fetch(input, { ...init, signal: controller.signal })
    }
    const onError = vi.fn(({ status }: StreamFailure) => {
      if (status !== 401) return undefined
      token = valid
      return {}
    })
    const headers = { authorization: () => token }
    const response = await stream({ ...quick, url: target, fetch: guarded, headers, onError })
    const received = new Received()
    const done = consume(response, "subscribeJson", received)
    await received.whenEndsWith("1\n")
    for (let hour = 2; hour <= 4; hour++) {
      await append(target, "application/json", String(hour))
      await received.whenEndsWith(`${hour}\n`)
      valid = `t${hour}`
      cutOff()
      await expect.poll(() => token).toBe(valid)
    }
    await closeStream(target)
    expect(await done).toBe("1\n2\n3\n4\n")
    expect(onError).toHaveBeenCalledTimes(3)
    await server.stop()
  })

  it("5xx, 429 and network failures reach it only once retries are used up", async () => {
    const seen: unknown[] = []
    const { opened, calls } = open(
      [
        makeResponse(503),
        makeResponse(429),
        new TypeError("fetch failed"),
        makeResponse(500),
        second,
      ],
      {
        backoffOptions: { ...quick.backoffOptions, maxRetries: 2 },
        onError: ({ status }) => {
          seen.push(status)
          return {}
        },
      },
    )
    expect(await consume(await opened, "json")).toBe("2\n")
    expect(seen).toEqual([0])
    expect(calls.length).toBe(5)
  })

  it("a handler that says go on for ever is backed off", async () => {
    vi.useFakeTimers()
    try {
      let asked = 0
      const { opened, calls } = open([makeResponse(401)], {
        backoffOptions: { initialDelay: 100, maxDelay: 1000, multiplier: 2 },
        onError: () => (++asked < 1000 ? {} : undefined),
      })
      const failed = rejection(opened)
      await vi.advanceTimersByTimeAsync(60_000)
      // Without a backoff it would be the thousand; with a delay of half a second on average about 120.
      expect(calls.length).toBeGreaterThan(50)
      expect(calls.length).toBeLessThan(300)
      await vi.advanceTimersByTimeAsync(3_600_000)
      expect(await failed).toMatchObject({ code: "UNAUTHORIZED" })
    } finally {
      vi.useRealTimers()
    }
  })

  it("is told of every failure there is: no progress, a page that is no JSON, a body without offset", async () => {
    const html = makeResponse(200, { "content-type": "text/html" }, "<html>")
    const outcomes = {
      NO_PROGRESS: makeResponse(200, pageHeaders("o1", { upToDate: false }), "[1]"),
      PARSE_ERROR: makeResponse(200, pageHeaders("o2"), "<html>"),
      PROTOCOL: html,
    }
    for (const [code, outcome] of Object.entries(outcomes)) {
      const asked: unknown[] = []
      const { opened } = open([first, outcome], { onError: (error) => void asked.push(error) })
      const error = await rejection(consume(await opened, "jsonBatches"))
      expect(error).toBeInstanceOf(DurableStreamError)
      expect(error).toMatchObject({ code })
      expect(asked).toEqual([error])
    }
  })
})

describe("a header function", () => {
  it("that fails is told to onError, which may go on; without one it ends the read with its own error", async () => {
    const own = new Error("the vault is sealed")
    let calls = 0
    const headers = {
      authorization: () => {
        if (++calls === 2) throw own
        return "fine"
      },
    }
    const asked: unknown[] = []
    const { opened } = open([first, second], {
      headers,
      onError: (error) => (asked.push(error), {}),
    })
    expect(await consume(await opened, "json")).toBe("1\n2\n")
    expect(asked).toEqual([own])
    calls = 1
    expect(await rejection(open([first], { headers }).opened)).toBe(own)
  })
})

describe("observe", () => {
  it("tells requests, responses, retries, the change of transport and the end, in order", async () => {
    const events: StreamEvent[] = []
    const { opened } = open([makeResponse(503), first, second, closed], {
      live: "long-poll",
      readAhead: 0,
      observe: (event) => void events.push(event),
    })
    expect(await consume(await opened, "json")).toBe("1\n2\n")
    const durationMs = expect.any(Number)
    const error = expect.objectContaining({ code: "BUSY" })
    const retrying = { kind: "retrying", error, attempt: 1, retryAtMs: expect.any(Number) }
    expect(events).toEqual([
      { kind: "state", state: { kind: "connecting" } },
      { kind: "request", transport: "catch-up", offset: "-1", attempt: 1 },
      { kind: "response", transport: "catch-up", status: 503, durationMs },
      { kind: "state", state: retrying },
      {
        kind: "retry",
        transport: "catch-up",
        attempt: 1,
        delayMs: expect.any(Number),
        error,
      },
      { kind: "request", transport: "catch-up", offset: "-1", attempt: 2 },
      { kind: "response", transport: "catch-up", status: 200, durationMs },
      { kind: "state", state: { kind: "catching-up" } },
      { kind: "request", transport: "catch-up", offset: "o1", attempt: 1 },
      { kind: "response", transport: "catch-up", status: 200, durationMs },
      { kind: "state", state: { kind: "ended", reason: "up-to-date" } },
      { kind: "end", reason: "up-to-date" },
    ])
  })

  it("tells how a session failed, and when it went live", async () => {
    const events: StreamEvent[] = []
    const { opened } = open([second, makeResponse(410)], {
      live: "long-poll",
      observe: (event) => void events.push(event),
    })
    const error = await rejection(consume(await opened, "jsonBatches"))
    expect(events.filter(({ kind }) => kind === "transport" || kind === "end")).toEqual([
      { kind: "transport", from: "catch-up", to: "long-poll" },
      { kind: "end", reason: "failed", error },
    ])
  })

  it.each(["subscribeJson", "subscribeBytes", "subscribeText"] as const)(
    "tells that a session failed whose %s callback did, now or later",
    async (method) => {
      const failure = new Error("the callback failed")
      for (const isLate of [false, true]) {
        const events: StreamEvent[] = []
        const { opened } = open([second], { observe: (event) => void events.push(event) })
        const response = await opened
        response[method](() => {
          if (isLate) return oneTurn().then(() => Promise.reject(failure))
          throw failure
        })
        expect(await rejection(response.closed)).toBe(failure)
        expect(events.at(-1)).toEqual({ kind: "end", reason: "failed", error: failure })
      }
    },
  )

  it.each<[string, () => unknown]>([
    ["rejects", () => Promise.reject(new Error("observer"))],
    [
      "throws",
      () => {
        throw new Error("observer")
      },
    ],
  ])("an observer that %s harms nothing", async (_how, observe) => {
    const complained = vi.spyOn(console, "error").mockImplementation(() => undefined)
    const { opened } = open([second], { observe })
    expect(await consume(await opened, "json")).toBe("2\n")
    expect(complained).toHaveBeenCalledTimes(6)
    complained.mockRestore()
  })
})
