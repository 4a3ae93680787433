import { getEventListeners } from "node:events"
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { createEndpoint, type Endpoint, type EndpointOptions } from "../../../src/http/endpoint.ts"
import { exchange, send, type StreamRequest } from "../../../src/http/request.ts"
import { rejection } from "../../support/rejection.ts"
import { get, post } from "./requests.ts"
import { makeResponse, scriptedFetch, type FetchOutcome } from "../../support/scripted-fetch.ts"

beforeEach(() => {
  vi.useFakeTimers()
  vi.spyOn(Math, "random").mockReturnValue(1)
})
afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

const url = "http://server.test/s"
const { signal } = new AbortController()

function scripted(
  outcomes: readonly [FetchOutcome, ...FetchOutcome[]],
  options: Partial<EndpointOptions> & { ignoresAbort?: boolean } = {},
) {
  const { fetch, calls } = scriptedFetch(outcomes, { ignoresAbort: options.ignoresAbort ?? false })
  return { endpoint: createEndpoint({ url, fetch, ...options }), calls }
}

async function settled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined)
  await vi.runAllTimersAsync()
  return promise
}

/** A response whose body goes on for ever. */
function endless(status: number) {
  const onCancel = vi.fn()
  const body = new ReadableStream({
    pull(controller) {
      controller.enqueue(new Uint8Array(1000))
    },
    cancel: onCancel,
  })
  return { response: () => new Response(body, { status }), onCancel }
}

describe("a header function that finds no network", () => {
  const offline = new TypeError("fetch failed", { cause: { code: "ENOTFOUND" } })

  it.each([get, post])("is asked again, as if the request had found none: %j", async (request) => {
    const failures = [offline, new TypeError("Load failed"), undefined]
    const header = vi.fn(() => {
      const failure = failures.shift()
      return failure === undefined ? Promise.resolve("token") : Promise.reject(failure)
    })
    const { endpoint, calls } = scripted([makeResponse(200)], { headers: { a: header } })
    expect((await settled(send(endpoint, request, signal))).status).toBe(200)
    expect([header.mock.calls.length, calls.length]).toEqual([3, 1])
    expect(calls[0]?.init.headers).toMatchObject({ a: "token" })
  })

  it("ends the request as NETWORK where that may not be tried again, and nothing was done", async () => {
    const { endpoint, calls } = scripted([makeResponse(200)], {
      headers: { a: () => Promise.reject(offline) },
      backoffOptions: { maxRetries: 1 },
    })
    expect(await rejection(settled(send(endpoint, post, signal)))).toMatchObject({
      code: "NETWORK",
      status: 0,
      indeterminate: false,
    })
    expect(calls).toEqual([])
  })

  it.each([
    new Error("the vault is sealed"),
    new TypeError("no token"),
    new TypeError("x is null"),
  ])("is not what throws an error of its own: %s", async (own) => {
    const header = vi.fn(() => Promise.reject(own))
    const { endpoint } = scripted([makeResponse(200)], { headers: { a: header } })
    expect(await rejection(settled(send(endpoint, get, signal)))).toBe(own)
    expect(header).toHaveBeenCalledOnce()
  })
})

describe("send", () => {
  it("makes the request that it is asked for", async () => {
    const { endpoint, calls } = scripted(
      [makeResponse(200, { "stream-next-offset": "1" }, "body")],
      {
        url: `${url}?x=%2f`,
        headers: { "content-TYPE": "text/css", a: () => "1" },
        params: { p: () => Promise.resolve("1") },
      },
    )
    const response = await send(
      endpoint,
      {
        ...post,
        headers: { "content-type": "text/plain", "Stream-Seq": "7" },
        query: { offset: "-1", none: undefined },
        keepalive: true,
      },
      signal,
    )
    expect(await response.text()).toBe("body")
    const [call] = calls
    expect(call?.url).toBe(`${url}?x=%2f&offset=-1&p=1`)
    expect(call?.headers).toEqual({ "content-type": "text/plain", "Stream-Seq": "7", a: "1" })
    expect(call?.init).toMatchObject({ method: "POST", body: "x", keepalive: true })
    expect(call?.init).not.toHaveProperty("duplex")
  })

  it("asks for half a duplex where the body is a stream, and only there", async () => {
    const { endpoint, calls } = scripted([makeResponse(204)])
    const streams = [new ReadableStream<Uint8Array>(), () => new ReadableStream<Uint8Array>()]
    for (const body of [...streams, "x", new Uint8Array(1)]) {
      await send(endpoint, { ...post, body }, signal)
    }
    await send(endpoint, get, signal)
    const duplexes = calls.map(({ init }) => ("duplex" in init ? init.duplex : "none"))
    expect(duplexes).toEqual(["half", "half", "none", "none", "none"])
    for (const { init } of calls) expect(init).not.toHaveProperty("keepalive")
    expect(calls.at(-1)?.init).not.toHaveProperty("body")
  })

  it("makes a body anew for every attempt where it is a function", async () => {
    let count = 0
    const { endpoint, calls } = scripted([makeResponse(503), makeResponse(204)])
    const body = () => `body ${++count}`
    await settled(send(endpoint, { ...post, body }, signal))
    expect(calls.map(({ init }) => init.body)).toEqual(["body 1", "body 2"])
  })

  it("gives a response that is no success where it is accepted", async () => {
    const { endpoint } = scripted([makeResponse(404)])
    const accepts = (status: number) => status === 404
    expect(await send(endpoint, { ...get, accepts }, signal)).toMatchObject({ status: 404 })
    expect(await rejection(send(endpoint, get, signal))).toMatchObject({ code: "NOT_FOUND" })
  })

  it("leaves the body of a success unread", async () => {
    const { response, onCancel } = endless(200)
    const { endpoint } = scripted([response])
    const { body, bodyUsed } = await send(endpoint, get, signal)
    expect(bodyUsed).toBe(false)
    expect(onCancel).not.toHaveBeenCalled()
    await body?.cancel()
  })

  it("releases the bodies of the responses that it retries", async () => {
    const { response, onCancel } = endless(503)
    const { endpoint } = scripted([response, makeResponse(200)])
    await settled(send(endpoint, get, signal))
    expect(onCancel).toHaveBeenCalledOnce()
  })

  it("waits as long as Retry-After says", async () => {
    const start = Date.now()
    const { endpoint, calls } = scripted([
      makeResponse(429, { "retry-after": "7" }),
      makeResponse(503, { "retry-after": new Date(start + 20_000).toUTCString() }),
      makeResponse(503, { "retry-after": "-1" }),
      makeResponse(200),
    ])
    const times: number[] = []
    const request = { ...get, observer: { onRequest: () => times.push(Date.now() - start) } }
    await settled(send(endpoint, request, signal))
    expect(calls).toHaveLength(4)
    expect(times[1]).toBe(7_000)
    expect(times[2]).toBeGreaterThan(18_000)
    expect((times[3] ?? 0) - (times[2] ?? 0)).toBeCloseTo(169)
  })

  it("tells its observer", async () => {
    const { endpoint } = scripted([makeResponse(503), makeResponse(200)])
    const observer = { onRequest: vi.fn(), onResponse: vi.fn(), onRetry: vi.fn() }
    await settled(send(endpoint, { ...get, observer }, signal))
    expect(observer.onRequest.mock.calls).toEqual([[1], [2]])
    expect(observer.onResponse.mock.calls.map(([{ status }]) => status as number)).toEqual([
      503, 200,
    ])
    expect(observer.onRetry).toHaveBeenCalledExactlyOnceWith({
      attempt: 1,
      delayMs: 100,
      error: expect.objectContaining({ code: "BUSY" }),
    })
  })

  it("does not collect what the attempts of a long outage leave on their signals", async () => {
    const { signal: caller } = new AbortController()
    const lost: FetchOutcome = ({ init }) => {
      // As a platform's fetch does; it forgets the listener with the signal.
      init.signal?.addEventListener("abort", () => undefined)
      return Promise.reject(new TypeError("terminated"))
    }
    const outage = Array.from({ length: 50 }, () => lost)
    const { endpoint } = scripted([lost, ...outage, makeResponse(503), makeResponse(200)])
    await settled(send(endpoint, { ...get, timeoutMs: Infinity }, caller))
    // The first attempt's, and one to follow the caller for as long as the response is used.
    expect(getEventListeners(caller, "abort")).toHaveLength(2)
  })

  it.each<[string, StreamRequest, FetchOutcome, object]>([
    ["a lost read", get, new TypeError("terminated"), { code: "NETWORK", indeterminate: false }],
    ["a lost write", post, new TypeError("terminated"), { code: "NETWORK", indeterminate: true }],
    ["a gateway's read", get, makeResponse(502), { status: 502, indeterminate: false }],
    ["a gateway's write", post, makeResponse(502), { status: 502, indeterminate: true }],
    ["a busy write", post, makeResponse(503), { status: 503, indeterminate: false }],
    ["a conflict", { ...post, headers: {} }, makeResponse(409), { code: "CONTENT_TYPE_MISMATCH" }],
    [
      "a conflict of a seq",
      { ...post, headers: { "Stream-Seq": "1" } },
      makeResponse(409),
      { code: "CONFLICT_SEQ" },
    ],
  ])("says of %s what is known", async (_name, request, outcome, expected) => {
    const { endpoint } = scripted([outcome], { backoffOptions: { maxRetries: 0 } })
    expect(await rejection(send(endpoint, request, signal))).toMatchObject(expected)
  })

  it("fails at once with what can never succeed", async () => {
    const { endpoint, calls } = scripted([
      new TypeError("fetch failed", { cause: new Error("bad port") }),
    ])
    expect(await rejection(send(endpoint, get, signal))).toMatchObject({ code: "BAD_REQUEST" })
    expect(calls).toHaveLength(1)
  })

  it("takes Response.error(), status 0, for the network's failure that it is", async () => {
    const { endpoint, calls } = scripted([() => Response.error(), makeResponse(200)])
    expect(await settled(send(endpoint, get, signal))).toMatchObject({ status: 200 })
    expect(calls).toHaveLength(2)
    const once = { backoffOptions: { maxRetries: 0 } }
    for (const request of [get, post]) {
      const lost = scripted([() => Response.error()], once)
      expect(await rejection(send(lost.endpoint, request, signal))).toMatchObject({
        code: "NETWORK",
        status: 0,
        indeterminate: request === post,
      })
    }
  })

  it("retries a response that the platform hides a few times, and then says so", async () => {
    for (const type of ["opaque", "opaqueredirect"]) {
      const hidden = Object.defineProperty(Response.error(), "type", { value: type })
      const { endpoint, calls } = scripted([() => hidden])
      const error = await rejection(settled(send(endpoint, get, signal)))
      expect(error).toMatchObject({ code: "BAD_REQUEST" })
      expect(error.cause).toMatchObject({ message: expect.stringContaining("mode cors") as string })
      expect(calls).toHaveLength(4)
    }
  })

  it("takes a fetch that throws at once for one that rejects", async () => {
    let calls = 0
    const fetch = () => {
      if (++calls === 1) throw new Error("boom")
      return Promise.resolve(makeResponse(200))
    }
    const endpoint = createEndpoint({ url, fetch })
    expect(await settled(send(endpoint, get, signal))).toMatchObject({ status: 200 })
  })
})

describe("the timeout of a request", () => {
  it.each([true, false])(
    "ends one without a response (fetch ignores abort: %s)",
    async (ignores) => {
      const { endpoint, calls } = scripted(["hang"], {
        requestTimeoutMs: 1000,
        ignoresAbort: ignores,
        backoffOptions: { maxRetries: 1 },
      })
      const read = rejection(send(endpoint, get, signal))
      await vi.advanceTimersByTimeAsync(1000)
      expect(calls[0]?.init.signal?.aborted).toBe(true)
      await vi.runAllTimersAsync()
      expect(await read).toMatchObject({ code: "TIMEOUT", status: 0, indeterminate: false })
      expect(calls).toHaveLength(2)
      const write = rejection(send(endpoint, post, signal))
      await vi.runAllTimersAsync()
      expect(await write).toMatchObject({ code: "TIMEOUT", indeterminate: true })
      expect(calls).toHaveLength(3)
    },
  )

  it("is the request's own where it has one, and none where that is Infinity", async () => {
    const { endpoint, calls } = scripted(["hang"])
    const never = rejection(send(endpoint, { ...get, timeoutMs: Infinity }, signal))
    const never2 = rejection(send(endpoint, { ...get, timeoutMs: 2 ** 40 }, signal))
    expect(vi.getTimerCount()).toBe(0)
    const own = rejection(send(endpoint, { ...get, retry: "never", timeoutMs: 5 }, signal))
    await vi.advanceTimersByTimeAsync(5)
    expect(await own).toMatchObject({ code: "TIMEOUT" })
    expect(calls[0]?.init.signal?.aborted).toBe(false)
    void never
    void never2
  })

  it("does not count the body", async () => {
    const { endpoint } = scripted([makeResponse(200, {}, "body")], { requestTimeoutMs: 10 })
    const response = await send(endpoint, get, signal)
    expect(vi.getTimerCount()).toBe(0)
    await vi.advanceTimersByTimeAsync(1000)
    expect(await response.text()).toBe("body")
  })

  it.each([get, post])(
    "covers functions that never give a header or a param: $method",
    async (request) => {
      for (const option of ["headers", "params"]) {
        const hang = () => new Promise<string>(() => undefined)
        const options = {
          [option]: { a: hang },
          requestTimeoutMs: 50,
          backoffOptions: { maxRetries: 2 },
        }
        const { endpoint, calls } = scripted([makeResponse(200)], options)
        // The time for the response is another, as with streamed appends.
        const call = rejection(send(endpoint, { ...request, timeoutMs: Infinity }, signal))
        await vi.advanceTimersByTimeAsync(49)
        expect(vi.getTimerCount()).toBe(1)
        await vi.runAllTimersAsync()
        expect(await call).toMatchObject({ code: "TIMEOUT", status: 0, indeterminate: false })
        expect((await call).message).toMatch(/server\.test\/s.*headers or params/)
        expect(calls).toEqual([])
      }
    },
  )

  it("begins anew with each attempt, also that for the functions", async () => {
    const gives = [new Promise<string>(() => undefined), Promise.resolve("b")]
    const header = vi.fn(() => gives.shift() ?? "c")
    const { endpoint, calls } = scripted([makeResponse(200)], { headers: { a: header } })
    expect(await settled(send(endpoint, get, signal))).toMatchObject({ status: 200 })
    expect(calls.map(({ headers }) => headers)).toEqual([{ a: "b" }])
    expect(vi.getTimerCount()).toBe(0)
  })

  it("releases a response that comes too late", async () => {
    const onCancel = vi.fn()
    let respond: (response: Response) => void = () => undefined
    const fetch = () => new Promise<Response>((resolve) => (respond = resolve))
    const endpoint = createEndpoint({ url, fetch, requestTimeoutMs: 10 })
    const call = rejection(send(endpoint, { ...get, retry: "never" }, signal))
    await vi.runAllTimersAsync()
    expect(await call).toMatchObject({ code: "TIMEOUT" })
    respond(new Response(new ReadableStream({ cancel: onCancel })))
    await vi.waitFor(() => expect(onCancel).toHaveBeenCalledOnce())
  })
})

describe("an abort", () => {
  /** Starts a request that hangs somewhere, aborts it there, and looks at what is left. */
  async function abortDuring(endpoint: Endpoint, until: () => boolean): Promise<void> {
    const controller = new AbortController()
    const call = rejection(send(endpoint, get, controller.signal))
    for (let turn = 0; turn < 100 && !until(); turn++) await Promise.resolve()
    expect(until()).toBe(true)
    controller.abort("why")
    expect(await call).toMatchObject({
      name: "AbortError",
      code: "ABORTED",
      cause: "why",
    })
    expect(vi.getTimerCount()).toBe(0)
  }

  it("before anything: makes no request", async () => {
    const { endpoint, calls } = scripted([makeResponse(200)])
    const call = send(endpoint, get, AbortSignal.abort("why"))
    expect(await rejection(call)).toMatchObject({ code: "ABORTED", cause: "why" })
    expect(calls).toEqual([])
  })

  it("while a header function is asked", async () => {
    const header = vi.fn(() => new Promise<string>(() => undefined))
    const { endpoint, calls } = scripted([makeResponse(200)], { headers: { a: header } })
    await abortDuring(endpoint, () => header.mock.calls.length === 1)
    expect(calls).toEqual([])
  })

  it.each([true, false])(
    "while there is no response (fetch ignores abort: %s)",
    async (ignores) => {
      const { endpoint, calls } = scripted(["hang"], { ignoresAbort: ignores })
      await abortDuring(endpoint, () => calls.length === 1)
      expect(calls[0]?.init.signal?.reason).toBe("why")
    },
  )

  it("while the body of an error is read", async () => {
    const onPull = vi.fn(() => new Promise<void>(() => undefined))
    const onCancel = vi.fn()
    const body = new ReadableStream({ pull: onPull, cancel: onCancel }, { highWaterMark: 0 })
    const { endpoint } = scripted([() => new Response(body, { status: 500 })])
    await abortDuring(endpoint, () => onPull.mock.calls.length === 1)
    expect(onCancel).toHaveBeenCalledOnce()
  })

  it("while it waits for a retry", async () => {
    const { endpoint } = scripted([makeResponse(503, { "retry-after": "60" })])
    await abortDuring(endpoint, () => vi.getTimerCount() === 1)
  })
})

describe("exchange", () => {
  it("gives status and headers, and releases the body", async () => {
    const { response, onCancel } = endless(200)
    const { endpoint } = scripted([response])
    const { status, headers } = await exchange(endpoint, get)
    expect(status).toBe(200)
    expect(headers).toBeInstanceOf(Headers)
    expect(onCancel).toHaveBeenCalledOnce()
  })

  it("takes any response: without a body, with one that is used or locked", async () => {
    const used = new Response("x")
    await used.text()
    const locked = new Response("x")
    locked.body?.getReader()
    for (const response of [makeResponse(204), used, locked]) {
      const { endpoint } = scripted([() => response])
      expect((await exchange(endpoint, get)).status).toBe(response.status)
    }
  })

  it("ends with either signal, and leaves nothing on them", async () => {
    for (const index of [0, 1]) {
      const controllers = [new AbortController(), new AbortController()] as const
      const [ours, theirs] = controllers
      const { endpoint } = scripted(["hang", makeResponse(200)], { signal: ours.signal })
      const call = rejection(exchange(endpoint, get, theirs.signal))
      controllers[index]?.abort("why")
      expect(await call).toMatchObject({ code: "ABORTED", cause: "why" })
      for (const controller of controllers) {
        expect(getEventListeners(controller.signal, "abort")).toEqual([])
      }
    }
    const idle = new AbortController()
    const { endpoint } = scripted([makeResponse(200)], { signal: idle.signal })
    await exchange(endpoint, get)
    expect(getEventListeners(idle.signal, "abort")).toEqual([])
  })
})
