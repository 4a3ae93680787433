import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { z } from "zod"
import { DurableStream, type StreamResponse } from "../../src/index.ts"
import { currentOrigin, type Origin } from "../../src/platform/origin.ts"
import {
  sharedStream,
  type SharedStreamEvent,
  type SharedStreamOptions,
} from "../../src/tabs/index.ts"
import { EmulatedNetwork } from "../support/emulated-network.ts"
import { SimulatedLocks } from "../support/origin/locks.ts"
import { startReferenceServer, type ReferenceServer } from "../support/reference-server.ts"

let server: ReferenceServer
let locks: SimulatedLocks
const open: StreamResponse[] = []

beforeEach(async () => {
  server = await startReferenceServer()
  locks = new SimulatedLocks()
  // Node 20 has BroadcastChannel, and no locks.
  vi.stubGlobal("navigator", { locks: locks.client("this program") })
})

afterEach(async () => {
  for (const response of open.splice(0)) response.cancel()
  vi.unstubAllGlobals()
  vi.restoreAllMocks()
  await server.stop()
})

interface Reader {
  readonly response: StreamResponse<number>
  readonly items: number[]
  readonly events: SharedStreamEvent[]
  readonly requests: () => string[]
}

async function openReader(options: SharedStreamOptions): Promise<Reader> {
  const events: SharedStreamEvent[] = []
  const items: number[] = []
  const response = await sharedStream<number>({
    shareKey: "user",
    warnOnHttp: false,
    ...options,
    observe: (event) => void events.push(event),
  })
  open.push(response)
  const requests = () =>
    events.flatMap((event) => (event.kind === "request" ? [event.transport as string] : []))
  return { response, items, events, requests }
}

async function read(options: SharedStreamOptions): Promise<Reader> {
  const reader = await openReader(options)
  reader.response.subscribeJson((batch) => void reader.items.push(...batch.items))
  return reader
}

const createNumbers = (first = 0) =>
  DurableStream.create({
    url: server.streamUrl(),
    contentType: "application/json",
    body: JSON.stringify([first]),
  })

const times = (count: number, url: string) => Array.from({ length: count }, () => ({ url }))

/** Readers that all follow. */
async function readTogether(...options: SharedStreamOptions[]): Promise<Reader[]> {
  const readers: Reader[] = []
  for (const each of options) readers.push(await read(each))
  await expect.poll(() => readers.every(isFollowing)).toBe(true)
  return readers
}

const isFollowing = ({ events }: Reader) => events.some(({ kind }) => kind === "holder")

describe("sharedStream()", () => {
  it("reads one stream over one live connection for all readers of a program", async () => {
    const handle = await createNumbers()
    const readers = await readTogether(...times(3, handle.url))
    for (let n = 1; n <= 20; n++) await handle.append(n)
    const all = Array.from({ length: 21 }, (_, n) => n)
    await expect.poll(() => readers.map(({ items }) => items)).toEqual(readers.map(() => all))
    const live = readers.flatMap(({ requests }) => requests()).filter((it) => it !== "catch-up")
    expect(live).toEqual(["sse"])
    expect(readers[2]?.requests()).toEqual(["catch-up"])
    expect(locks.grants).toBe(1)
  })

  it("goes on with another reader's connection if the holder is cancelled", async () => {
    const handle = await createNumbers()
    const readers = await readTogether(...times(2, handle.url))
    readers[0]?.response.cancel()
    await handle.append(1)
    await expect.poll(() => readers[1]?.items).toEqual([0, 1])
    expect(readers[1]?.events).toContainEqual(
      expect.objectContaining({ kind: "holder", isSelf: true, reason: "successor" }),
    )
  })

  it("ends for all at the end of the stream, and leaves no lock and no channel", async () => {
    const handle = await createNumbers()
    const readers = await readTogether(...times(2, handle.url))
    await handle.close({ body: "1" })
    await Promise.all(readers.map(({ response }) => response.closed))
    expect(readers.map(({ items }) => items)).toEqual([
      [0, 1],
      [0, 1],
    ])
    await expect.poll(() => locks.holders).toEqual([])
    expect(readers.map(({ response }) => response.state)).toEqual([
      { kind: "ended", reason: "eof" },
      { kind: "ended", reason: "eof" },
    ])
  })

  it("makes one request at most to learn of the end", async () => {
    const handle = await createNumbers()
    const readers = await readTogether(...times(6, handle.url))
    const before = readers.map(({ requests }) => requests().length)
    await handle.close({ body: "1" })
    await Promise.all(readers.map(({ response }) => response.closed))
    // The lock of a holder that has ended can be quicker than its last page.
    const more = readers.map(({ requests }, index) => requests().length - before[index]!)
    expect(Math.max(...more)).toBeLessThanOrEqual(1)
  })

  it("shows one connection state: live once it has caught up, whoever holds the connection", async () => {
    const handle = await createNumbers()
    const reader = await read({ url: handle.url })
    await expect.poll(() => isFollowing(reader)).toBe(true)
    await handle.append(1)
    await expect.poll(() => reader.items).toEqual([0, 1])
    const states = reader.events.flatMap((event) => (event.kind === "state" ? [event.state] : []))
    expect(states).toEqual([
      { kind: "connecting" },
      { kind: "catching-up" },
      { kind: "live", transport: "sse" },
    ])
  })

  it("is offline as soon as the browser says so, whoever holds the connection, until something arrives", async () => {
    const network = new EmulatedNetwork()
    Object.assign(network.navigator, { locks: locks.client("this program") })
    const handle = await createNumbers()
    const readers = await readTogether(...times(2, handle.url))
    const states = () => readers.map(({ response }) => response.state.kind)
    await expect.poll(states).toEqual(["live", "live"])
    network.goOffline()
    expect(states()).toEqual(["offline", "offline"])
    // The server is on this machine: its connection lives on.
    await handle.append(1)
    await expect.poll(states).toEqual(["live", "live"])
    network.goOffline()
    expect(states()).toEqual(["offline", "offline"])
    network.goOnline()
    expect(states()).toEqual(["live", "live"])
    for (const { response } of readers) response.cancel()
    expect(network.listenerCount).toBe(0)
    for (const { events } of readers) {
      const kinds = events.flatMap((event) => (event.kind === "state" ? [event.state.kind] : []))
      const changes = ["offline", "live", "offline", "live"]
      expect(kinds).toEqual(["connecting", "catching-up", "live", ...changes, "ended"])
    }
  })

  it("announces a page that is too large for the channel: followers read it for themselves", async () => {
    const handle = await DurableStream.create({
      url: server.streamUrl(),
      contentType: "application/octet-stream",
    })
    const sizes = [0, 0]
    const readers = [await openReader({ url: handle.url }), await openReader({ url: handle.url })]
    readers.forEach(({ response }, index) =>
      response.subscribeBytes(({ data }) => void (sizes[index] = sizes[index]! + data.length)),
    )
    await expect.poll(() => readers.every(isFollowing)).toBe(true)
    await handle.append(new Uint8Array(100_000))
    await handle.append("more")
    await expect.poll(() => sizes, { timeout: 5_000 }).toEqual([100_004, 100_004])
  })

  it("ignores what is not of this version, and warns about it once", async () => {
    const warn = vi.spyOn(console, "warn").mockImplementation(() => undefined)
    const channels: BroadcastChannel[] = []
    const Original = globalThis.BroadcastChannel
    vi.stubGlobal(
      "BroadcastChannel",
      class extends Original {
        constructor(name: string) {
          super(name)
          channels.push(this)
        }
      },
    )
    const handle = await createNumbers()
    const reader = await read({ url: handle.url })
    await expect.poll(() => isFollowing(reader)).toBe(true)
    const shared = channels.map(({ name }) => name).find((name) => name.includes("/1/"))
    const other = new Original(String(shared))
    const { offset } = reader.response
    const end = { offset: "elsewhere", upToDate: true, streamClosed: false }
    const feed = { holder: "h", feed: "f", reason: "first" }
    const page = { kind: "page", ...feed, start: offset, end, content: ["[99]"] }
    for (const message of [{ ...page, version: 2 }, page, "text", null]) other.postMessage(message)
    for (const message of [
      { version: 1, kind: "page", start: offset },
      { version: 1, kind: "?" },
    ]) {
      other.postMessage(message)
    }
    await expect.poll(() => warn.mock.calls.length).toBe(1)
    await handle.append(1)
    await expect.poll(() => reader.items).toEqual([0, 1])
    other.close()
    expect(warn).toHaveBeenCalledTimes(1)
    expect(warn.mock.calls[0]?.[0]).toContain("another version of this package")
  })

  it("tells no name that holds the URL, a token or the key", async () => {
    const names: string[] = []
    const request = vi.spyOn(navigator.locks, "request")
    const handle = await createNumbers()
    const headers = { authorization: "Bearer token-1" }
    const reader = await read({ url: handle.url, headers, params: { tenant: "secret" } })
    await expect.poll(() => isFollowing(reader)).toBe(true)
    names.push(...request.mock.calls.map(([name]) => name))
    expect(names).toHaveLength(1)
    expect(names[0]).toMatch(/^durable-streams\/1\/[0-9a-f]{64}$/)
  })

  it.each<[string, Partial<SharedStreamOptions>]>([
    ["another key", { shareKey: "another user" }],
    ["another token", { headers: { authorization: "Bearer b" } }],
    ["other params", { params: { tenant: "b" } }],
    ["another way to be live", { live: "long-poll" }],
    ["other credentials", { fetchOptions: { credentials: "include" } }],
  ])("does not share with a reader of %s", async (_, other) => {
    const handle = await createNumbers()
    const { url } = handle
    await readTogether({ url }, { url, ...other })
    expect(locks.holders).toHaveLength(2)
  })

  it("shares between headers of the same names and values, in whatever order and case", async () => {
    const { url } = await createNumbers()
    const one = { "X-Tenant": "a", authorization: "Bearer b" }
    const other = { Authorization: "Bearer b", "x-tenant": "a" }
    await readTogether({ url, headers: one }, { url, headers: other })
    expect(locks.holders).toHaveLength(1)
  })

  it("continues where its error handler says, and takes no pages of the stream that was there before", async () => {
    const handle = await createNumbers(1)
    let recreate: () => void = () => undefined
    const recreated = new Promise<void>((resolve) => (recreate = resolve))
    const onError = vi.fn(async () => {
      await recreated
      return { offset: "-1" }
    })
    const shared = { url: handle.url, live: "long-poll", onError } as const
    const batches: [unknown[], boolean | undefined][] = []
    const readers = [await openReader(shared), await openReader(shared)]
    for (const { response } of readers) {
      response.subscribeJson((batch) => void batches.push([batch.items, batch.restarted]))
    }
    await expect.poll(() => readers.every(isFollowing)).toBe(true)
    await handle.delete()
    // Each reader learns by a request of its own.
    await expect.poll(() => onError.mock.calls.length, { timeout: 10_000 }).toBe(2)
    await handle.create({ contentType: "application/json", body: "[7]" })
    recreate()
    await expect.poll(() => batches.filter(([, restarted]) => restarted).length).toBe(2)
    await handle.append(8)
    await expect.poll(() => batches.flatMap(([items]) => items)).toEqual([1, 1, 7, 7, 8, 8])
  })

  it("validates each message for each reader, with the reader's own schema", async () => {
    const handle = await createNumbers()
    const { url } = handle
    const readers = await readTogether(
      { url, schema: z.number().transform((n) => n * 10) },
      { url, schema: z.number() },
    )
    await handle.append(1)
    await expect
      .poll(() => readers.map(({ items }) => items))
      .toEqual([
        [0, 10],
        [0, 1],
      ])
  })

  it("fails by its own request only: the holder's error is not the others'", async () => {
    const handle = await createNumbers()
    let isRejected = false
    const fetch: typeof globalThis.fetch = (input, init) =>
      isRejected
        ? Promise.resolve(new Response("", { status: 401 }))
        : globalThis.fetch(input, init)
    const shared = { url: handle.url, live: "long-poll" } as const
    const holder = await read({ ...shared, fetch })
    await expect.poll(() => isFollowing(holder)).toBe(true)
    const other = await read(shared)
    await expect.poll(() => isFollowing(other)).toBe(true)
    isRejected = true
    await handle.append(1)
    await expect(holder.response.closed).rejects.toMatchObject({ code: "UNAUTHORIZED" })
    await handle.append(2)
    await expect.poll(() => other.items).toEqual([0, 1, 2])
  })
})

it("reads at `now` once, also if the body of that response breaks off", async () => {
  const handle = await createNumbers()
  let broken = 0
  const fetch: typeof globalThis.fetch = async (input, init) => {
    const response = await globalThis.fetch(input, init)
    if (!String(input).includes("offset=now") || broken++ > 0) return response
    const body = new ReadableStream({ start: (body) => body.error(new TypeError("terminated")) })
    return new Response(body, response)
  }
  const backoffOptions = { initialDelay: 1, maxDelay: 1 }
  const reader = await read({ url: handle.url, offset: "now", fetch, backoffOptions })
  await expect.poll(() => isFollowing(reader)).toBe(true)
  await handle.append(1)
  await expect.poll(() => reader.items).toEqual([1])
  const offsets = reader.events.flatMap((event) => (event.kind === "request" ? event.offset : []))
  expect(offsets.filter((offset) => offset === "now")).toHaveLength(1)
})

describe("a follower", () => {
  const OCTETS = "application/octet-stream"

  it.each([
    [401, "UNAUTHORIZED"],
    [404, "NOT_FOUND"],
  ])("whose own request gets %i ends alone: the others go on", async (status, code) => {
    const handle = await DurableStream.create({ url: server.streamUrl(), contentType: OCTETS })
    let isRejected = false
    const fetch: typeof globalThis.fetch = (input, init) =>
      isRejected ? Promise.resolve(new Response("", { status })) : globalThis.fetch(input, init)
    const { url } = handle
    const readers = [
      await openReader({ url }),
      await openReader({ url, fetch }),
      await openReader({ url }),
    ]
    const sizes = [0, 0, 0]
    readers.forEach(({ response }, index) =>
      response.subscribeBytes(({ data }) => void (sizes[index] = sizes[index]! + data.length)),
    )
    await expect.poll(() => readers.every(isFollowing)).toBe(true)
    isRejected = true
    // Each follower reads it for itself.
    await handle.append(new Uint8Array(100_000))
    await expect(readers[1]!.response.closed).rejects.toMatchObject({ code })
    await handle.append("more")
    await expect.poll(() => sizes, { timeout: 10_000 }).toEqual([100_004, 0, 100_004])
    expect(locks.grants).toBe(1)
  })

  it("of a limited page size is sent no more at once than that", async () => {
    const handle = await DurableStream.create({ url: server.streamUrl(), contentType: OCTETS })
    const shared = { url: handle.url, maxPageBytes: 1_000 }
    const [quick, slow] = [await openReader(shared), await openReader(shared)]
    let quickSize = 0
    quick.response.subscribeBytes(({ data }) => void (quickSize += data.length))
    await expect.poll(() => isFollowing(quick)).toBe(true)
    let goOn: () => void = () => undefined
    const isFree = new Promise<void>((resolve) => (goOn = resolve))
    const sizes: number[] = []
    slow.response.subscribeBytes(({ data }) => {
      sizes.push(data.length)
      return data.length === 0 ? undefined : isFree
    })
    await expect.poll(() => isFollowing(slow)).toBe(true)
    for (let n = 1; n <= 10; n++) {
      await handle.append(new Uint8Array(300))
      await expect.poll(() => quickSize).toBe(300 * n)
    }
    goOn()
    const total = () => sizes.reduce((sum, size) => sum + size, 0)
    await expect.poll(total, { timeout: 10_000 }).toBe(3_000)
    expect(Math.max(...sizes)).toBeGreaterThan(300)
    expect(slow.requests().filter((it) => it !== "catch-up")).toEqual([])
  })

  it("that is cancelled, or cancels while it catches up, leaves the others alone", async () => {
    const handle = await createNumbers()
    const readers = await readTogether(...times(3, handle.url))
    readers[1]!.response.cancel()
    const late = await openReader({ url: handle.url })
    late.response.subscribeJson(() => late.response.cancel())
    await late.response.closed
    await handle.append(1)
    await expect
      .poll(() => [readers[0]!.items, readers[2]!.items])
      .toEqual([
        [0, 1],
        [0, 1],
      ])
    expect(locks.grants).toBe(1)
    expect(readers[2]!.requests()).toEqual(["catch-up"])
  })
})

describe("sharedStream() on its own", () => {
  const aloneReason = (reader: Reader) =>
    reader.events.flatMap((event) => (event.kind === "alone" ? [event.reason] : []))

  it.each<[string, Partial<SharedStreamOptions>]>([
    ["the default credentials", {}],
    ["a function for headers", { fetchOptions: { credentials: "omit" }, headers: () => ({}) }],
    [
      "a header function",
      { fetchOptions: { credentials: "omit" }, headers: { authorization: () => "Bearer a" } },
    ],
    ["a param function", { fetchOptions: { credentials: "omit" }, params: { token: () => "a" } }],
    ["a fetch", { fetchOptions: { credentials: "omit" }, fetch: globalThis.fetch }],
  ])("reads for itself without a shareKey, and says why: %s", async (_, options) => {
    const warn = vi.spyOn(console, "warn").mockImplementation(() => undefined)
    const { url } = await createNumbers()
    const reader = await read({ url, shareKey: undefined, ...options })
    await expect.poll(() => reader.items).toEqual([0])
    expect(aloneReason(reader)).toEqual(["no-share-key"])
    expect(locks.grants).toBe(0)
    expect(warn.mock.calls.flat().join()).toContain("set shareKey")
  })

  it("shares without a shareKey if it sends nothing that says who reads", async () => {
    const { url } = await createNumbers()
    const fetchOptions = { credentials: "omit" } as const
    const reader = await read({ url, shareKey: undefined, fetchOptions })
    await expect.poll(() => isFollowing(reader)).toBe(true)
  })

  it("reads for itself on a platform without locks, without channels, and if it is not live", async () => {
    const { url } = await createNumbers()
    expect(aloneReason(await read({ url, live: false }))).toEqual(["not-live"])
    vi.stubGlobal("BroadcastChannel", undefined)
    expect(aloneReason(await read({ url }))).toEqual(["no-channel"])
    const deny = vi.fn(() => {
      throw new DOMException("The operation is insecure.", "SecurityError")
    })
    vi.stubGlobal("BroadcastChannel", deny)
    const denied = await read({ url })
    expect(aloneReason(denied)).toEqual(["no-channel"])
    await expect.poll(() => denied.items).toEqual([0])
    vi.stubGlobal("navigator", undefined)
    const reader = await read({ url })
    expect(aloneReason(reader)).toEqual(["no-locks"])
    await expect.poll(() => reader.items).toEqual([0])
  })

  it("reads for itself if the platform refuses locks", async () => {
    const refusal = () => Promise.reject(new DOMException("no storage here", "SecurityError"))
    vi.stubGlobal("navigator", { locks: { ...locks.client("a"), request: refusal } })
    const handle = await createNumbers()
    const reader = await read({ url: handle.url })
    await expect.poll(() => reader.requests(), { timeout: 5_000 }).toContain("sse")
    await handle.append(1)
    await expect.poll(() => reader.items).toEqual([0, 1])
    expect(aloneReason(reader)).toEqual(["locks-denied"])
  })

  it.each([[""], [7], [null], [{}]])("rejects the shareKey %j by name and value", async (key) => {
    const shareKey = key as string
    const options = { url: "https://streams.example.com/s", shareKey }
    await expect(sharedStream(options)).rejects.toMatchObject({
      code: "BAD_REQUEST",
      message: expect.stringMatching(/^The option shareKey must be .*, not ./),
    })
  })

  it("rejects what stream() rejects", async () => {
    const url = "https://streams.example.com/s"
    await expect(sharedStream({ url, live: "ws" as never })).rejects.toThrow(/option live/)
    await expect(sharedStream({ url, observe: 1 as never })).rejects.toThrow(/option observe/)
    await expect(sharedStream({ url, shareKey: "u", offset: "" })).rejects.toThrow(/option offset/)
  })

  it("collects up to the tail, and joins nothing", async () => {
    const handle = await createNumbers()
    const { response } = await openReader({ url: handle.url })
    expect(await response.json()).toEqual([0])
    expect(response.upToDate).toBe(true)
    expect(locks.grants).toBe(0)
  })

  it("rejects with what its first request fails with, and with an abort", async () => {
    const url = server.streamUrl()
    await expect(sharedStream({ url, shareKey: "u" })).rejects.toMatchObject({ code: "NOT_FOUND" })
    const signal = AbortSignal.abort()
    await expect(sharedStream({ url, shareKey: "u", signal })).rejects.toThrow(
      expect.objectContaining({ name: "AbortError" }),
    )
    const handle = await createNumbers()
    const controller = new AbortController()
    const reader = await openReader({ url: handle.url, signal: controller.signal })
    const batches = reader.response.jsonBatches()
    await batches.next()
    const next = batches.next()
    await expect.poll(() => isFollowing(reader)).toBe(true)
    controller.abort()
    await expect(next).rejects.toMatchObject({ name: "AbortError" })
    await expect.poll(() => locks.holders).toEqual([])
  })
})

it("finds the origin of a platform that has everything", () => {
  const origin = currentOrigin() as Origin
  expect(typeof origin.digest).toBe("function")
})
