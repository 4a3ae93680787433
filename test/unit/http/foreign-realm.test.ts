import { runInNewContext } from "node:vm"
import { afterEach, describe, expect, it, vi } from "vitest"
import { DurableStream } from "../../../src/durable-stream.ts"
import { createFetchWithBackoff } from "../../../src/http/fetch-wrappers.ts"
import { LinkedAbortController } from "../../../src/http/abort.ts"
import { createEndpoint } from "../../../src/http/endpoint.ts"
import { exchange } from "../../../src/http/request.ts"
import { fallSilent, startMisbehavingServer } from "../../support/misbehaving-server.ts"
import { rejection } from "../../support/rejection.ts"
import { makeResponse, scriptedFetch } from "../../support/scripted-fetch.ts"
import { get, post } from "./requests.ts"

afterEach(() => vi.unstubAllGlobals())

/** A controller as jsdom and happy-dom have it: by shape alone. */
class ForeignSignal {
  aborted = false
  reason: unknown
  readonly #listeners = new Set<() => void>()
  addEventListener(_type: string, listener: () => void) {
    this.#listeners.add(listener)
  }
  removeEventListener(_type: string, listener: () => void) {
    this.#listeners.delete(listener)
  }
  get listenerCount() {
    return this.#listeners.size
  }
  abort(reason: unknown) {
    this.aborted = true
    this.reason = reason
    // As an EventTarget calls them.
    for (const listener of [...this.#listeners]) listener.call(this)
  }
}

class ForeignController {
  readonly signal = new ForeignSignal()
  abort(reason?: unknown) {
    this.signal.abort(reason)
  }
}

const asSignal = (signal: ForeignSignal) => signal as unknown as AbortSignal

describe("a signal of another realm", () => {
  it.each([get, post])("aborts a request of the platform's fetch: $method", async (request) => {
    await using server = await startMisbehavingServer(fallSilent())
    const signal = new ForeignSignal()
    const endpoint = createEndpoint({ url: server.url, signal: asSignal(signal) })
    const call = rejection(exchange(endpoint, request))
    await server.whenRequested(1)
    signal.abort("why")
    expect(await call).toMatchObject({ name: "AbortError", code: "ABORTED", cause: "why" })
    expect(signal.listenerCount).toBe(0)
  })

  it("aborts a fetch with backoff", async () => {
    await using server = await startMisbehavingServer(fallSilent())
    const signal = new ForeignSignal()
    const call = rejection(createFetchWithBackoff(fetch)(server.url, { signal: asSignal(signal) }))
    await server.whenRequested(1)
    signal.abort("why")
    expect(await call).toMatchObject({ name: "AbortError", cause: "why" })
  })
})

describe("an AbortController of another realm in place of the platform's", () => {
  const platform = { Request, AbortSignal }
  /** As Node 22 and later check it. */
  class StrictRequest extends platform.Request {
    constructor(input: string, init: RequestInit) {
      if (!(init.signal instanceof platform.AbortSignal)) throw new TypeError("not an AbortSignal")
      super(input, init)
    }
  }

  it.each([platform.Request, StrictRequest])(
    "still gives fetch a signal that it takes, which aborts with the reason: %o",
    async (Request) => {
      vi.stubGlobal("AbortController", ForeignController)
      vi.stubGlobal("Request", Request)
      await using server = await startMisbehavingServer(fallSilent())
      const controller = new LinkedAbortController()
      expect(controller.signal instanceof platform.AbortSignal).toBe(Request === StrictRequest)
      const call = rejection(exchange(createEndpoint({ url: server.url }), get, controller.signal))
      await server.whenRequested(1)
      controller.abort("why")
      expect(controller.signal).toMatchObject({ aborted: true, reason: "why" })
      expect(await call).toMatchObject({ name: "AbortError", cause: "why" })
    },
  )

  it("lets a handle read and write, also if fetch takes no signal but its own", async () => {
    vi.stubGlobal("AbortController", ForeignController)
    vi.stubGlobal("Request", StrictRequest)
    const headers = { "content-type": "text/plain", "stream-next-offset": "1" }
    const scripted = scriptedFetch([
      makeResponse(204, headers),
      makeResponse(200, { ...headers, "stream-up-to-date": "true" }, "a"),
    ])
    const strictFetch: typeof fetch = async (input, init = {}) => {
      new StrictRequest(String(input), init)
      return scripted.fetch(input, init)
    }
    const handle = new DurableStream({
      url: "http://h/s",
      fetch: strictFetch,
      contentType: "text/plain",
    })
    await handle.append("a")
    expect(await (await handle.stream({ live: false })).text()).toBe("a")
  })
})

it("a URL of another realm is one", () => {
  const url: unknown = runInNewContext("new Foreign('http://h/s?x=1')", { Foreign: URL })
  expect(createEndpoint({ url: url as URL }).url).toBe("http://h/s?x=1")
  // No more of a URL than its text.
  const polyfill = { href: "http://h/s" } as unknown as URL
  expect(createEndpoint({ url: polyfill })).toMatchObject({
    url: "http://h/s",
    urlError: undefined,
  })
})
