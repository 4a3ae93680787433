import { describe, expect, it } from "vitest"
import { DurableStream } from "../../src/durable-stream.ts"
import type { DurableStreamOptions } from "../../src/durable-stream-options.ts"
import { FetchError } from "../../src/errors/fetch-error.ts"
import { ModelServer } from "../../src/testing/server.ts"
import { rejection } from "../support/rejection.ts"
import { makeResponse, scriptedFetch } from "../support/scripted-fetch.ts"

const url = "http://server.test/s"
const backoffOptions = { initialDelay: 0.01, maxDelay: 0.01 }
const realClock = {
  now: () => Date.now(),
  after: (delayMs: number, callback: () => void) => {
    const timer = setTimeout(callback, delayMs)
    return () => clearTimeout(timer)
  },
}

type Fault = "lose-request" | "lose-response" | 503 | 504 | undefined

/** A model server behind a fetch, with faults for the requests that come next. */
async function startModel({ expectedOffset = true, contentType = "application/json" } = {}) {
  const server = new ModelServer(realClock, { expectedOffset })
  const faults: Fault[] = []
  const requests: { method: string; headers: Record<string, string> }[] = []
  const fetch: typeof globalThis.fetch = async (input, init = {}) => {
    const headers = init.headers as Record<string, string>
    const method = init.method ?? "GET"
    const fault = method === "POST" ? faults.shift() : undefined
    requests.push({ method, headers })
    if (fault === "lose-request") throw new TypeError("fetch failed")
    if (typeof fault === "number") return new Response(null, { status: fault })
    const lower = Object.entries(headers).map(
      ([name, value]) => [name.toLowerCase(), value] as const,
    )
    const { body = "" } = init
    const response = await server.handle({
      method,
      url: new URL(input as string),
      headers: new Map(lower),
      body: typeof body === "string" ? Buffer.from(body) : (body as Uint8Array),
    })
    if (fault === "lose-response") throw new TypeError("fetch failed")
    const bytes =
      response.body.kind === "bytes" && response.status !== 204 ? response.body.bytes : null
    return new Response(bytes && Buffer.from(bytes), response)
  }
  const open = (options: Partial<DurableStreamOptions> = {}) =>
    new DurableStream({ url, fetch, contentType, backoffOptions, ...options })
  await open().create({ contentType })
  requests.length = 0
  const contents = async () => {
    const session = await open().stream({ live: false })
    return session.json()
  }
  const tail = async () => (await open().head()).offset ?? ""
  return { server, faults, requests, open, contents, tail }
}

function valueOf(message: unknown): string {
  return (message as { value: string }).value
}

describe("appendWithResult", () => {
  it("returns the tail after the append, and whether the stream is closed", async () => {
    const { open, tail, contents } = await startModel()
    const handle = open()
    const first = await handle.appendWithResult({ a: 1 })
    expect(first).toEqual({ kind: "ok", deduped: false, nextOffset: await tail() })
    const last = await handle.appendWithResult({ a: 2 }, { close: true })
    expect(last).toMatchObject({ kind: "ok", deduped: false, closed: true })
    expect(await contents()).toEqual([{ a: 1 }, { a: 2 }])
    const closed = { kind: "closed", nextOffset: await tail() }
    expect(await handle.appendWithResult(3)).toEqual(closed)
    expect(await handle.appendWithResult(3, { close: true })).toEqual(closed)
    expect(await handle.appendWithResult(undefined, { close: true })).toMatchObject({ kind: "ok" })
  })

  it("stores the body only at the expected offset", async () => {
    const { open, tail, contents } = await startModel()
    const handle = open()
    const expectedOffset = await tail()
    expect(await handle.appendWithResult(1, { expectedOffset })).toMatchObject({ kind: "ok" })
    expect(await handle.appendWithResult(2, { expectedOffset })).toEqual({
      kind: "seq-conflict",
      conflict: "expected-offset",
      nextOffset: await tail(),
    })
    expect(await contents()).toEqual([1])
  })

  it("shows whether the server knows conditional appends: with a tail that has passed", async () => {
    for (const expectedOffset of [true, false]) {
      const { open, tail } = await startModel({ expectedOffset })
      const probe = open()
      const passed = await tail()
      await probe.append({})
      const { kind } = await probe.appendWithResult({}, { expectedOffset: passed })
      expect(kind).toBe(expectedOffset ? "seq-conflict" : "ok")
    }
  })

  it("says which of a seq and an expected offset conflicts", async () => {
    const { open, tail } = await startModel()
    const handle = open()
    const before = await tail()
    await handle.appendWithResult(1, { seq: "b" })
    expect(await handle.appendWithResult(2, { seq: "a" })).toEqual({
      kind: "seq-conflict",
      conflict: "seq",
    })
    const now = await tail()
    for (const [options, conflict] of [
      [{ seq: "a", expectedOffset: now }, "seq"],
      [{ seq: "c", expectedOffset: before }, "expected-offset"],
    ] as const) {
      expect(await handle.appendWithResult(2, options)).toMatchObject({ conflict, nextOffset: now })
    }
  })

  it("returns what a producer's numbers conflict with", async () => {
    const { open } = await startModel()
    const handle = open()
    const numbers = { producerId: "p", producerEpoch: 4, producerSeq: 0 }
    expect(await handle.appendWithResult(1, numbers)).toMatchObject({ kind: "ok", deduped: false })
    expect(await handle.appendWithResult(1, numbers)).toMatchObject({ kind: "ok", deduped: true })
    const stale = { ...numbers, producerEpoch: 3 }
    expect(await handle.appendWithResult(1, stale)).toEqual({
      kind: "stale-epoch",
      currentEpoch: 4,
    })
    const gap = { ...numbers, producerSeq: 7 }
    expect(await handle.appendWithResult(1, gap)).toEqual({
      kind: "producer-gap",
      expectedSeq: 1,
      receivedSeq: 7,
    })
  })

  it.each(["lose-request", "lose-response", 503, 504] as const)(
    "is stored once after %s, by numbers of its own",
    async (fault) => {
      for (const what of ["expectedOffset", "close"] as const) {
        const { open, faults, tail, contents, requests } = await startModel()
        faults.push(fault, fault)
        const options = what === "close" ? { close: true } : { expectedOffset: await tail() }
        const result = await open().appendWithResult("1", options)
        expect(result).toMatchObject({ kind: "ok", deduped: fault === "lose-response" })
        expect(await contents()).toEqual([1])
        const ids = requests.flatMap(({ headers }) => headers["Producer-Id"] ?? [])
        expect(ids).toHaveLength(3)
        expect(new Set(ids).size).toBe(1)
      }
    },
  )

  it("resends nothing without numbers, and rejects as indeterminate", async () => {
    const { open, faults, contents } = await startModel()
    faults.push("lose-response")
    const error = await rejection(open().appendWithResult(1, { seq: "a" }))
    expect(error).toMatchObject({ code: "NETWORK", indeterminate: true })
    expect(await contents()).toEqual([1])
  })

  it("never returns a conflict after an indeterminate attempt", async () => {
    for (const rejection409 of [
      { "stream-next-offset": "9" },
      { "stream-next-offset": "9", "stream-closed": "true" },
      {},
    ]) {
      const lost = new TypeError("fetch failed")
      const { fetch } = scriptedFetch([lost, makeResponse(409, rejection409)])
      const options = { url, fetch, contentType: "application/json", backoffOptions }
      const call = new DurableStream(options).appendWithResult(1, { expectedOffset: "5" })
      expect(await rejection(call)).toMatchObject({ code: "NETWORK", indeterminate: true })
    }
    const { fetch } = scriptedFetch([
      makeResponse(503),
      makeResponse(409, { "stream-next-offset": "9" }),
    ])
    const options = { url, fetch, contentType: "application/json", backoffOptions }
    const call = new DurableStream(options).appendWithResult(1, { expectedOffset: "5" })
    expect(await call).toMatchObject({ kind: "seq-conflict", conflict: "expected-offset" })
  })

  it("distinguishes a 409 without headers from a wrong content type, with one HEAD", async () => {
    const cases: [options: object, head: Response, outcome: object][] = [
      [
        { seq: "a" },
        makeResponse(200, { "content-type": "application/json" }),
        { conflict: "seq" },
      ],
      [
        { expectedOffset: "5" },
        makeResponse(200, { "content-type": "application/JSON; charset=utf-8" }),
        { conflict: "expected-offset" },
      ],
      [
        { seq: "a", expectedOffset: "5" },
        makeResponse(200, { "content-type": "application/json" }),
        { conflict: "unknown" },
      ],
      [{ seq: "a" }, makeResponse(200, { "content-type": "text/plain" }), { status: 409 }],
      [{ expectedOffset: "5" }, makeResponse(405), { status: 409 }],
    ]
    for (const [options, head, outcome] of cases) {
      const { fetch, calls } = scriptedFetch([makeResponse(409), head])
      const handle = new DurableStream({ url, fetch, contentType: "application/json" })
      const result: unknown = await handle
        .appendWithResult(1, options)
        .catch((error: unknown) => error)
      expect(result).toMatchObject(outcome)
      expect(calls.map(({ init }) => init.method)).toEqual(["POST", "HEAD"])
    }
  })

  it("always has a request of its own, in the order of the calls", async () => {
    const { open, requests, contents } = await startModel()
    const handle = open()
    const calls = [1, 2, 3, 4].map((value) =>
      value === 3 ? handle.appendWithResult(value) : handle.append(value),
    )
    await Promise.all([...calls, handle.append(5)])
    expect(await contents()).toEqual([1, 2, 3, 4, 5])
    expect(requests.filter(({ method }) => method === "POST")).toHaveLength(4)
  })

  it("rejects every other failure, and an expected offset that cannot be one", async () => {
    const { open, requests } = await startModel()
    expect(await rejection(open().appendWithResult("{bad"))).toMatchObject({ code: "PARSE_ERROR" })
    for (const [name, options] of [
      ["expectedOffset", { expectedOffset: "-1" }],
      ["expectedOffset", { expectedOffset: "now" }],
      ["expectedOffset", { expectedOffset: "" }],
      ["expectedOffset", { expectedOffset: 5 }],
      ["close", { close: "yes" }],
    ] as const) {
      const error = await rejection(open().appendWithResult(1, options as object))
      expect(error).toMatchObject({ code: "BAD_REQUEST" })
      expect(error.message).toContain(`The option ${name} must be`)
    }
    expect(requests).toEqual([])
    const missing = open({ url: "http://server.test/missing" })
    expect(await rejection(missing.appendWithResult(1))).toMatchObject({ code: "NOT_FOUND" })
  })

  it("loses and duplicates nothing in a compare-and-set loop of two writers", async () => {
    for (const expectedOffset of [true, false]) {
      const { open, faults, contents } = await startModel({ expectedOffset })
      const pattern: Fault[] = ["lose-response", undefined, 503, "lose-request", undefined, 504]
      const write = async (writer: string) => {
        const handle = open()
        for (let count = 0; count < 10; count++) {
          for (;;) {
            faults.push(pattern[count % pattern.length])
            const { offset = "" } = await handle.head()
            const value = `${writer}${count}`
            const append = handle.appendWithResult({ value }, { expectedOffset: offset })
            const result = await append.catch((error: unknown) => error as FetchError)
            if (result instanceof FetchError) {
              // An attempt was lost, and then the other writer was faster: only the stream tells.
              expect(result.indeterminate).toBe(true)
              if ((await contents()).some((message) => valueOf(message) === value)) break
            } else if (result.kind === "ok") break
            else expect(result).toMatchObject({ conflict: "expected-offset" })
          }
        }
      }
      await Promise.all([write("a"), write("b")])
      const values = (await contents()).map(valueOf)
      for (const writer of ["a", "b"]) {
        const own = values.filter((value) => value.startsWith(writer))
        expect(own).toEqual(Array.from({ length: 10 }, (_, count) => `${writer}${count}`))
      }
    }
  })
})
