import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { createEndpoint, type EndpointOptions } from "../../../src/http/endpoint.ts"
import { send, type StreamRequest } from "../../../src/http/request.ts"
import { makeResponse, scriptedFetch, type FetchOutcome } from "../../support/scripted-fetch.ts"
import { get } from "./requests.ts"

const url = "http://server.test/s?token=secret"
const { signal } = new AbortController()
const refused = Object.assign(new TypeError("fetch failed"), { cause: { code: "ECONNREFUSED" } })

beforeEach(() => {
  vi.useFakeTimers()
  vi.spyOn(Math, "random").mockReturnValue(0.5)
  vi.stubEnv("NODE_ENV", "production")
})
afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
  vi.unstubAllEnvs()
})

async function run(
  outcomes: readonly [FetchOutcome, ...FetchOutcome[]],
  options: Partial<EndpointOptions> = {},
  request: StreamRequest = get,
) {
  const { fetch, calls } = scriptedFetch(outcomes)
  const startedAt = performance.now()
  const call = send(createEndpoint({ url, fetch, ...options }), request, signal)
  const outcome = call.then(
    ({ status }) => status,
    (error: unknown) => (error as { code: string }).code,
  )
  await vi.runAllTimersAsync()
  return { outcome: await outcome, count: calls.length, ms: performance.now() - startedAt }
}

describe("a request to a server that cannot be reached", () => {
  const outage = (count: number) => Array.from({ length: count }, () => refused) as [Error]

  it("is reported once on the console after about three seconds, with reason and count", async () => {
    const warn = vi.spyOn(console, "warn").mockReturnValue()
    expect(await run([...outage(30), makeResponse(200)])).toMatchObject({ outcome: 200, count: 31 })
    expect(warn).toHaveBeenCalledOnce()
    expect(warn.mock.calls[0]?.[0]).toMatch(
      /^\[durable-streams\] still trying to reach http:\/\/server\.test\/s: connection refused, 1\d tries$/,
    )
    await run([makeResponse(503, { "retry-after": "4" }), makeResponse(503), makeResponse(200)])
    expect(warn.mock.calls[1]?.[0]).toContain("status 503, 2 tries")
  })

  it("is not reported for a short outage, if it is turned off, in tests, or without a console.warn", async () => {
    const warn = vi.spyOn(console, "warn").mockReturnValue()
    await run([...outage(5), makeResponse(200)])
    await run([...outage(20), makeResponse(200)], { warnOnRetry: false })
    vi.stubEnv("NODE_ENV", "test")
    await run([...outage(20), makeResponse(200)])
    vi.stubEnv("NODE_ENV", "production")
    expect(warn).not.toHaveBeenCalled()
    vi.stubGlobal("console", {})
    expect(await run([...outage(20), makeResponse(200)])).toMatchObject({ outcome: 200 })
    vi.unstubAllGlobals()
  })

  it("is not reported for a long-poll that its server held", async () => {
    const warn = vi.spyOn(console, "warn").mockReturnValue()
    const held: FetchOutcome = () =>
      new Promise<Response>((_resolve, reject) => setTimeout(() => reject(refused), 20_000))
    await run(
      [held, held, held, makeResponse(200)],
      {},
      { ...get, timeoutMs: Infinity, heldMs: 1000 },
    )
    expect(warn).not.toHaveBeenCalled()
  })
})

describe("a request whose caller wants to know now", () => {
  const head = { method: "HEAD", operation: "head", retry: "quick" } as const

  it("makes three attempts within a second", async () => {
    const { outcome, count, ms } = await run([refused], {}, head)
    expect([outcome, count]).toEqual(["NETWORK", 3])
    expect(ms).toBeLessThan(1000)
    expect(await run([refused, makeResponse(503), makeResponse(200)], {}, head)).toMatchObject({
      outcome: 200,
    })
    expect(await run([refused], { backoffOptions: { maxRetries: 0 } }, head)).toMatchObject({
      count: 1,
    })
  })

  it("does not wait longer than that for a server that asks for it", async () => {
    const busy = makeResponse(503, { "retry-after": "2" })
    expect(await run([busy], {}, head)).toMatchObject({ outcome: "BUSY", count: 1 })
  })
})
