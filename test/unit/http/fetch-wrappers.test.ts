import { getEventListeners } from "node:events"
import { describe, expect, it, vi } from "vitest"
import {
  createFetchWithBackoff,
  createFetchWithConsumedBody,
} from "../../../src/http/fetch-wrappers.ts"
import { rejection } from "../../support/rejection.ts"
import { makeResponse, scriptedFetch } from "../../support/scripted-fetch.ts"

const url = "http://server.test/s?token=secret"
const options = { initialDelay: 1, maxDelay: 1 }

describe("createFetchWithBackoff", () => {
  it("tries reads and idempotent writes again, whatever fails", async () => {
    for (const init of [
      undefined,
      { method: "PUT" },
      { method: "delete" },
      { method: "POST", headers: { "producer-id": "p" } },
    ]) {
      const { fetch, calls } = scriptedFetch([
        new TypeError("fetch failed"),
        () => Response.error(),
        makeResponse(502),
        makeResponse(429),
        makeResponse(200, {}, "done"),
      ])
      const response = await createFetchWithBackoff(fetch, options)(url, init)
      expect(await response.text()).toBe("done")
      expect(calls).toHaveLength(5)
    }
  })

  it("tries a plain POST again only where it was not stored", async () => {
    const { fetch, calls } = scriptedFetch([makeResponse(503), makeResponse(502)])
    const patient = createFetchWithBackoff(fetch, options)
    const error = await rejection(patient(new URL(url), { method: "POST", body: "x" }))
    expect(error).toMatchObject({ name: "FetchError", status: 502, url: "http://server.test/s" })
    expect(error.message).not.toContain("secret")
    expect(calls).toHaveLength(2)
  })

  it("tries what is not idempotent no more than that", async () => {
    for (const method of ["PATCH", "patch", "LOCK"]) {
      const { fetch, calls } = scriptedFetch([makeResponse(503), makeResponse(502)])
      const error = await rejection(createFetchWithBackoff(fetch, options)(url, { method }))
      expect(error).toMatchObject({ status: 502, indeterminate: true })
      expect(calls).toHaveLength(2)
    }
  })

  it("says of a write, and of nothing else, whether it is in doubt", async () => {
    const once = { maxRetries: 0 }
    for (const [failure, isInDoubt] of [
      [makeResponse(502), true],
      [makeResponse(504), true],
      [new TypeError("fetch failed"), true],
      [makeResponse(503), false],
      [makeResponse(409), false],
    ] as const) {
      for (const method of ["POST", "put", "GET", "head"]) {
        const failing = createFetchWithBackoff(scriptedFetch([failure]).fetch, once)
        const indeterminate = isInDoubt && ["POST", "put"].includes(method)
        expect(await rejection(failing(url, { method }))).toMatchObject({ indeterminate })
      }
    }
    const failing = createFetchWithBackoff(scriptedFetch([makeResponse(502)]).fetch, once)
    const request = new Request(url, { method: "POST", body: "x" })
    expect(await rejection(failing(request))).toMatchObject({ indeterminate: true })
  })

  it("sends a Request again, body and all, and a stream never", async () => {
    const bodies: string[] = []
    const fetch: typeof globalThis.fetch = async (input) => {
      bodies.push(await (input as Request).text())
      return makeResponse(bodies.length < 3 ? 500 : 200)
    }
    const request = new Request(url, { method: "PUT", body: "x" })
    await createFetchWithBackoff(fetch, options)(request)
    expect(bodies).toEqual(["x", "x", "x"])
    const once = scriptedFetch([makeResponse(503)])
    const init = { method: "PUT", body: new ReadableStream(), duplex: "half" }
    expect(await rejection(createFetchWithBackoff(once.fetch, options)(url, init))).toMatchObject({
      status: 503,
    })
    expect(once.calls).toHaveLength(1)
  })

  it("rejects what is no success, and network failures once retries are used up", async () => {
    const refusing = createFetchWithBackoff(scriptedFetch([makeResponse(404, {}, "gone")]).fetch)
    expect(await rejection(refusing(url))).toMatchObject({ code: "NOT_FOUND", text: "gone" })
    const broken = scriptedFetch([new TypeError("fetch failed")])
    const once = createFetchWithBackoff(broken.fetch, { maxRetries: 0 })
    expect(await rejection(once(url))).toMatchObject({ code: "NETWORK", status: 0 })
  })

  it("ends with the signal of the call or of the Request", async () => {
    const controller = new AbortController()
    const { fetch } = scriptedFetch(["hang"], { ignoresAbort: true })
    const { signal } = controller
    const patient = createFetchWithBackoff(fetch)
    const calls = [patient(url, { signal }), patient(new Request(url, { signal }))].map((call) =>
      rejection(call),
    )
    controller.abort("why")
    for (const call of calls) expect(await call).toMatchObject({ code: "ABORTED", cause: "why" })
  })

  it("checks its options", () => {
    expect(() => createFetchWithBackoff(fetch, { multiplier: 0 })).toThrow("multiplier")
  })
})

describe("createFetchWithConsumedBody", () => {
  it("gives a response whose body is here", async () => {
    const { fetch } = scriptedFetch([makeResponse(201, { "x-a": "1" }, "body")])
    const response = await createFetchWithConsumedBody(fetch)(url)
    expect(response.status).toBe(201)
    expect(response.headers.get("x-a")).toBe("1")
    expect(await response.text()).toBe("body")
  })

  it("passes on responses without a body", async () => {
    for (const status of [204, 304]) {
      const { fetch } = scriptedFetch([makeResponse(status)])
      expect((await createFetchWithConsumedBody(fetch)(url)).status).toBe(status)
    }
  })

  const breaking = (onPull: UnderlyingSourcePullCallback<unknown>) => () =>
    new Response(new ReadableStream<unknown>({ pull: onPull }))

  it("rejects where the body breaks off, so that a retry can catch it", async () => {
    const broken = breaking((controller) => {
      controller.error(new Error("broken off"))
    })
    const { fetch } = scriptedFetch([broken])
    const error = await rejection(createFetchWithConsumedBody(fetch)(url))
    expect(error).toMatchObject({ name: "FetchError", code: "NETWORK", status: 200 })
    expect(error.message).not.toContain("secret")
    const again = scriptedFetch([broken, makeResponse(200, {}, "whole")])
    const whole = createFetchWithBackoff(createFetchWithConsumedBody(again.fetch), options)
    expect(await (await whole(url)).text()).toBe("whole")
    expect(again.calls).toHaveLength(2)
  })

  it("says of an abort that it is one", async () => {
    const controller = new AbortController()
    const { fetch } = scriptedFetch([
      breaking((stream) => {
        controller.abort("why")
        stream.error(new DOMException("aborted", "AbortError"))
      }),
    ])
    const call = createFetchWithConsumedBody(fetch)(url, { signal: controller.signal })
    expect(await rejection(call)).toMatchObject({ code: "ABORTED", cause: "why" })
  })

  it("says so too of one before the response, and of a Request's signal", async () => {
    const controller = new AbortController()
    const { signal } = controller
    const breakOff = () => Promise.reject(new DOMException("aborted", "AbortError"))
    const whole = createFetchWithConsumedBody(() => {
      controller.abort("why")
      return breakOff()
    })
    const wholeBody = createFetchWithConsumedBody(() => {
      const response = new Response("text")
      return Promise.resolve(Object.assign(response, { arrayBuffer: breakOff }))
    })
    for (const call of [
      whole(url, { signal }),
      whole(new Request(url, { signal })),
      wholeBody(new Request(url, { signal })),
    ]) {
      expect(await rejection(call)).toMatchObject({ code: "ABORTED", cause: "why" })
    }
  })

  it("keeps where the response came from", async () => {
    const given = { url: "http://server.test/elsewhere", redirected: true, type: "cors" } as const
    const response = makeResponse(200, {}, "body")
    for (const [name, value] of Object.entries(given)) {
      Object.defineProperty(response, name, { value })
    }
    const whole = await createFetchWithConsumedBody(() => Promise.resolve(response))(url)
    expect(whole).not.toBe(response)
    expect(whole).toMatchObject(given)
    expect(await whole.text()).toBe("body")
  })

  it("ends at once with an abort, where fetch ignores its signal", async () => {
    const never = new Promise<never>(() => undefined)
    const begun = breaking((controller) => {
      controller.enqueue(new Uint8Array(1))
      return never
    })
    const cancelled = vi.fn()
    let resolveLate: (response: Response) => void = () => undefined
    const late = new Promise<Response>((resolve) => (resolveLate = resolve))
    for (const fetch of [() => Promise.resolve(begun()), () => late]) {
      const controller = new AbortController()
      const { signal } = controller
      const call = createFetchWithConsumedBody(fetch)(url, { signal })
      await new Promise(setImmediate)
      controller.abort("why")
      expect(await rejection(call)).toMatchObject({
        name: "AbortError",
        cause: "why",
      })
      expect(getEventListeners(signal, "abort")).toEqual([])
    }
    resolveLate(new Response(new ReadableStream({ cancel: cancelled })))
    await vi.waitFor(() => expect(cancelled).toHaveBeenCalledOnce())
  })

  it("passes on what fetch threw where nobody aborted it", async () => {
    const failure = new TypeError("fetch failed")
    const { fetch } = scriptedFetch([failure])
    expect(await rejection(createFetchWithConsumedBody(fetch)(url))).toBe(failure)
  })
})
