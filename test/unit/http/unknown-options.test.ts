import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import type { ForkOptions, IdempotentProducerOptions, ReadOptions } from "../../../src/index.ts"

const url = "https://streams.test/s"
const warned = vi.spyOn(console, "warn").mockImplementation(() => undefined)

/** A copy of the client that has not warned of anything. */
async function freshClient() {
  vi.resetModules()
  return import("../../../src/index.ts")
}

beforeEach(() => {
  vi.stubEnv("NODE_ENV", "development")
  warned.mockClear()
})
afterEach(() => {
  vi.unstubAllEnvs()
})

const fetch = () => Promise.resolve(new Response("", { status: 404 }))

describe("an option that no call has", () => {
  it("is warned of once, by its name and not by its value", async () => {
    const { stream, DurableStream } = await freshClient()
    // @ts-expect-error -- what JavaScript callers can pass
    await stream({ url, fetch, offest: "secret", from: 1 }).catch(() => undefined)
    expect(warned.mock.calls).toEqual([["[durable-streams] unknown options: offest, from"]])
    // @ts-expect-error -- what JavaScript callers can pass
    new DurableStream({ url, onerror: () => undefined })
    expect(warned).toHaveBeenCalledOnce()
  })

  it("is warned of by handles, subscriptions and producers too", async () => {
    const first = await freshClient()
    // @ts-expect-error -- what JavaScript callers can pass
    new first.DurableStream({ url, contenttype: "text/plain" })
    const second = await freshClient()
    second.subscribe(
      // @ts-expect-error -- what JavaScript callers can pass
      { url, fetch, offest: "-1" },
      { onBatch: () => undefined, onError: () => undefined },
    )()
    const third = await freshClient()
    // @ts-expect-error -- what JavaScript callers can pass
    new third.IdempotentProducer(new third.DurableStream({ url }), "a", { autoclaim: true })
    await vi.waitFor(() => expect(warned).toHaveBeenCalledTimes(3))
    const said = warned.mock.calls.map(([message]) => String(message).split(": ")[1])
    expect(new Set(said)).toEqual(new Set(["contenttype", "offest", "autoclaim"]))
  })

  it.each(["test", "production"])("is of no interest if NODE_ENV is %s", async (environment) => {
    vi.stubEnv("NODE_ENV", environment)
    const { DurableStream } = await freshClient()
    // @ts-expect-error -- what JavaScript callers can pass
    new DurableStream({ url, contenttype: "text/plain" })
    expect(warned).not.toHaveBeenCalled()
  })

  it("is none of those that the types have", async () => {
    const { DurableStream, IdempotentProducer, stream } = await freshClient()
    const requests = {
      url,
      headers: {},
      params: {},
      signal: new AbortController().signal,
      fetch,
      fetchOptions: {},
      backoffOptions: {},
      requestTimeoutMs: 1000,
      warnOnRetry: false,
      schema: undefined,
    }
    const reads: Required<ReadOptions> = {
      offset: "-1",
      cursor: "",
      live: false,
      signal: requests.signal,
      json: false,
      onError: () => undefined,
      sseResilience: {},
      warnOnHttp: false,
      idleTimeoutMs: 1000,
      pauseWhenHidden: false,
      hiddenGraceMs: 0,
      readAhead: 0,
      maxPageBytes: 1,
      observe: () => undefined,
    }
    await stream({ ...requests, ...reads, url }).catch(() => undefined)
    const creates: Required<ForkOptions> = {
      ...requests,
      onError: () => undefined,
      warnOnHttp: false,
      contentType: "text/plain",
      batching: true,
      ttlSeconds: 1,
      expiresAt: undefined,
      body: "",
      closed: false,
      offset: undefined,
      subOffset: undefined,
    }
    const handle = new DurableStream(creates)
    const producers: Required<IdempotentProducerOptions> = {
      epoch: undefined,
      autoClaim: false,
      maxBatchBytes: 1,
      maxBatchItems: 1,
      lingerMs: 0,
      maxInFlight: 1,
      headers: {},
      signal: undefined,
      fetch,
      fetchOptions: {},
      schema: undefined,
      onError: undefined,
      observe: undefined,
      backoffOptions: {},
      deliveryTimeoutMs: 1,
      highWaterMarkBytes: 1,
      maxBufferedBytes: 1,
    }
    new IdempotentProducer(handle, "a", producers)
    expect(warned).not.toHaveBeenCalled()
  })
})
