import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest"
import { DurableStream } from "../../src/durable-stream.ts"
import { FetchBackoffAbortError } from "../../src/errors/fetch-backoff-abort-error.ts"
import { startReferenceServer, type ReferenceServer } from "../support/reference-server.ts"
import { rejection } from "../support/rejection.ts"

let server: ReferenceServer
beforeAll(async () => {
  server = await startReferenceServer()
})
afterAll(() => server.stop())

const unhandled: unknown[] = []
const onUnhandled = (error: unknown) => unhandled.push(error)
beforeEach(() => {
  unhandled.length = 0
  process.on("unhandledRejection", onUnhandled)
})
afterEach(async () => {
  // Node tells of them after a turn of the event loop.
  await new Promise(setImmediate)
  process.off("unhandledRejection", onUnhandled)
  expect(unhandled).toEqual([])
})

const json = "application/json"
const failure = new Error("no body")

function createStream(): Promise<DurableStream> {
  return DurableStream.create({ url: server.streamUrl(), contentType: json })
}

async function contentOf(url: string): Promise<string> {
  return (await fetch(`${url}?offset=-1`)).text()
}

/** What is awaited like a promise and is none. */
function thenable(then: (resolve: (value: unknown) => void) => void): unknown {
  return { then }
}

describe("append", () => {
  it("fails with a thenable that throws, and takes the queue no further down", async () => {
    const handle = await createStream()
    const throwing = thenable(() => {
      throw failure
    })
    const [first, , third] = await Promise.allSettled([
      handle.append(throwing),
      handle.append("1"),
      handle.append(throwing),
      handle.append("2"),
    ])
    expect([first, third]).toMatchObject([{ reason: failure }, { reason: failure }])
    expect(await contentOf(handle.url)).toBe("[1,2]")
  })

  it("fails with a body that cannot be looked at, and takes the queue no further down", async () => {
    const handle = await createStream()
    const { proxy, revoke } = Proxy.revocable({}, {})
    const later = Promise.resolve(thenable((resolve) => resolve("1")))
    const opaque = new Proxy(
      {},
      {
        get(_, key) {
          if (key === "then") return undefined
          throw failure
        },
      },
    )
    revoke()
    const calls = [proxy, Promise.resolve(opaque), later].map((body) => handle.append(body))
    const settled = await Promise.allSettled(calls)
    expect(settled.map(({ status }) => status)).toEqual(["rejected", "rejected", "fulfilled"])
    expect(await contentOf(handle.url)).toBe("[1]")
  })

  it("stores what a thenable gives in the end", async () => {
    const handle = await createStream()
    await handle.append(thenable((resolve) => resolve(Promise.resolve({ a: 1 }))))
    await handle.append(
      thenable((resolve) => {
        resolve(2)
        resolve(3)
      }),
    )
    expect(await contentOf(handle.url)).toBe('[{"a":1},2]')
  })

  it("leaves no failure of the body behind where its options are refused", async () => {
    const handle = await createStream()
    const badSeq = { seq: "" }
    expect(await rejection(handle.append(Promise.reject(failure), badSeq))).toMatchObject({
      code: "BAD_REQUEST",
    })
    const close = handle.close({ body: Promise.reject(failure), contentType: "" })
    expect(await rejection(close)).toMatchObject({ code: "BAD_REQUEST" })
  })
})

describe("create", () => {
  it("stores what a promise gives", async () => {
    const url = server.streamUrl()
    await DurableStream.create({ url, contentType: json, body: Promise.resolve([1, { a: 2 }]) })
    expect(await contentOf(url)).toBe('[1,{"a":2}]')
    const source = await createStream()
    const fork = await source.fork({ url: server.streamUrl(), body: Promise.resolve("3") })
    expect(await contentOf(fork.url)).toBe("[3]")
  })

  it("creates nothing where the promise rejects, or is left with the signal", async () => {
    const url = server.streamUrl()
    const rejected = { url, contentType: json, body: Promise.reject(failure) }
    expect(await rejection(DurableStream.create(rejected))).toBe(failure)
    const controller = new AbortController()
    const { signal } = controller
    const never = { contentType: json, body: new Promise(() => undefined) }
    const calls = [
      DurableStream.create({ url, ...never, signal }),
      new DurableStream({ url }).create({ ...never, signal }),
    ]
    controller.abort("enough")
    for (const call of calls) {
      const error = await rejection(call)
      expect(error).toBeInstanceOf(FetchBackoffAbortError)
      expect(error.cause).toBe("enough")
    }
    expect(await new DurableStream({ url }).head()).toEqual({ exists: false })
  })

  it("leaves no failure of the body behind where it fails before", async () => {
    const url = server.streamUrl()
    const body = () => Promise.reject(failure)
    const badTtl = { url, body: body(), ttlSeconds: -1 }
    expect(await rejection(DurableStream.create(badTtl))).toMatchObject({ code: "BAD_REQUEST" })
    const missing = new DurableStream({ url })
    const fork = missing.fork({ url: server.streamUrl(), body: body() })
    expect(await rejection(fork)).toMatchObject({ code: "NOT_FOUND" })
  })
})
