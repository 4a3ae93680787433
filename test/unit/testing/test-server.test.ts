import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from "vitest"
import {
  DurableStream,
  FetchError,
  IdempotentProducer,
  StaleEpochError,
  stream,
} from "../../../src/index.ts"
import { Subscriptions, webhookHandler } from "../../../src/subscriptions/index.ts"
import {
  createTestServer,
  type DropOptions,
  type FailOptions,
  type FaultOptions,
  type TestServer,
  type TestServerOptions,
} from "../../../src/testing/index.ts"
import { rejection } from "../../support/rejection.ts"

const backoffOptions = { initialDelay: 0, maxDelay: 0 }
const noRetry = { maxRetries: 0 }

let server: TestServer
let url: string
let chat: DurableStream

beforeEach(async () => {
  server = createTestServer()
  url = `${server.url}/chat`
  chat = await DurableStream.create({
    url,
    contentType: "application/json",
    fetch: server.fetch,
    backoffOptions,
  })
})

afterEach(() => server.close())

async function readAll(): Promise<unknown[]> {
  return (await chat.stream({ live: false })).json()
}

describe("a test server", () => {
  it.each(["sse", "long-poll"] as const)("serves the client: a live read by %s", async (live) => {
    const response = await chat.stream<{ n: number }>({ live })
    const batches = response.jsonBatches()
    const seen: unknown[] = []
    await chat.append({ n: 1 })
    for await (const { items } of batches) {
      seen.push(...items)
      if (seen.length === 1) await chat.close({ body: { n: 2 } })
    }
    expect(seen).toEqual([{ n: 1 }, { n: 2 }])
  })

  it("shows its streams by URL, as they are", async () => {
    await chat.append({ text: "é" })
    const log = `${server.url}/log`
    await DurableStream.create({
      url: log,
      contentType: "text/plain",
      body: "é",
      fetch: server.fetch,
    })
    await chat.close()
    expect([...server.streams.keys()]).toEqual([url, log])
    expect(server.streams.get(url)).toMatchObject({
      url,
      contentType: "application/json",
      isClosed: true,
      messages: [{ text: "é" }],
      text: '[{"text":"é"}]',
    })
    const { offset } = await chat.head().then((head) => (head.exists ? head : { offset: "" }))
    expect(server.streams.get(url)?.offset).toBe(offset)
    expect(server.streams.get(log)).toMatchObject({
      isClosed: false,
      messages: [],
      text: "é",
      bytes: new Uint8Array([0xc3, 0xa9]),
    })
    await chat.delete()
    expect([...server.streams.keys()]).toEqual([log])
  })

  it("takes what fetch takes: a Request, a URL, a path, text and a stream as bodies", async () => {
    const post = { method: "POST", headers: { "content-type": "application/json" } }
    await server.fetch(new Request(url, { ...post, body: "1" }))
    await server.fetch(new URL(url), { ...post, body: "2" })
    await server.fetch("/chat", {
      ...post,
      body: new Blob(["3"]).stream(),
      duplex: "half",
    } as RequestInit)
    const typeless = await server.fetch(url, { method: "POST", body: "4" })
    expect(typeless.status).toBe(409)
    expect(server.streams.get(url)?.messages).toEqual([1, 2, 3])
  })

  it("has its root where it is put, and nothing elsewhere", async () => {
    await using other = createTestServer({ url: "https://api.example.com/v1/stream/" })
    expect(other.url).toBe("https://api.example.com/v1/stream")
    const response = await other.fetch(url)
    expect(response.status).toBe(421)
    expect(await response.text()).toContain("https://api.example.com")
    const error = await rejection(stream({ url, fetch: other.fetch }))
    expect(error).toMatchObject({ status: 421 })
  })

  it("takes pages as small as the test wants", async () => {
    await using paged = createTestServer({ maxPageLength: 2 })
    const list = await DurableStream.create({
      url: `${paged.url}/list`,
      contentType: "application/json",
      body: [1, 2, 3, 4, 5],
      fetch: paged.fetch,
    })
    const sizes: number[] = []
    const response = await list.stream({ live: false })
    for await (const { items } of response.jsonBatches()) sizes.push(items.length)
    expect(sizes).toEqual([2, 2, 1])
  })

  it("holds a stream of 17 MiB, and resumes within it", async () => {
    const large = `${server.url}/large`
    const body = new Uint8Array(17 * 2 ** 20)
    await DurableStream.create({ url: large, body, fetch: server.fetch })
    server.dropResponse({ url: large, method: "GET", afterBytes: 1_000 })
    const response = await stream({ url: large, live: false, fetch: server.fetch, backoffOptions })
    expect((await response.body()).length).toBe(body.length)
    expect(server.streams.get(large)?.bytes.length).toBe(body.length)
  })

  it("knows expected offsets, unless it is older", async () => {
    const expectedOffset = server.streams.get(url)!.offset
    await chat.append(1)
    const result = await chat.appendWithResult(2, { expectedOffset })
    expect(result).toMatchObject({ kind: "seq-conflict", conflict: "expected-offset" })
    await using older = createTestServer({ expectedOffset: false })
    const same = await DurableStream.create({
      url: `${older.url}/chat`,
      contentType: "application/json",
      body: [1],
      fetch: older.fetch,
    })
    expect(await same.appendWithResult(2, { expectedOffset })).toMatchObject({ kind: "ok" })
  })

  it("warns of options that it does not have, by their names, and of none that it has", async () => {
    const warned = vi.spyOn(console, "warn").mockImplementation(() => undefined)
    onTestFinished(() => warned.mockRestore())
    const options: Required<TestServerOptions> = {
      url: "http://streams.test",
      longPollTimeoutMs: 1_000,
      maxPageLength: 1,
      expectedOffset: true,
      onWebhook: () => new Response(),
    }
    await using known = createTestServer(options)
    const fault: Required<FaultOptions> = { url: `${known.url}/chat`, method: "GET", times: 1 }
    const failure: Required<FailOptions> = { ...fault, status: 500, headers: {}, body: "" }
    known.failNext(failure)
    const drop: Required<DropOptions> = { ...fault, afterBytes: 1 }
    known.dropResponse(drop)
    known.delay(0, fault)
    expect(warned).not.toHaveBeenCalled()

    for (let count = 0; count < 2; count++) {
      // @ts-expect-error -- what JavaScript callers can pass
      createTestServer({ unknown: "secret", longpollTimeoutMs: 1 }).close()
    }
    // @ts-expect-error -- what JavaScript callers can pass
    known.failNext({ code: 500 })
    // @ts-expect-error -- what JavaScript callers can pass
    known.dropResponse({ status: 500 })
    // @ts-expect-error -- what JavaScript callers can pass
    known.delay(0, { verb: "GET" })
    expect(warned.mock.calls.map(String)).toEqual([
      "[durable-streams] unknown options of createTestServer: unknown, longpollTimeoutMs",
      "[durable-streams] unknown options of failNext: code",
      "[durable-streams] unknown options of dropResponse: status",
      "[durable-streams] unknown options of delay: verb",
    ])
  })

  it.each<[option: string, make: () => unknown]>([
    ["url", () => createTestServer({ url: "/streams" })],
    ["url", () => createTestServer({ url: "https://example.com/?a=b" })],
    ["longPollTimeoutMs", () => createTestServer({ longPollTimeoutMs: -1 })],
    ["maxPageLength", () => createTestServer({ maxPageLength: 0 })],
    ["expectedOffset", () => createTestServer({ expectedOffset: 1 as never })],
    ["onWebhook", () => createTestServer({ onWebhook: {} as never })],
    ["options", () => createTestServer(null as never)],
    ["status", () => server.failNext({ status: 99 })],
    ["headers", () => server.failNext({ headers: "x" as never })],
    ["body", () => server.failNext({ body: 7 as never })],
    ["method", () => server.failNext({ method: "PATCH" as never })],
    ["times", () => server.failNext({ times: 0 })],
    ["url", () => server.failNext({ url: "https://elsewhere.example/chat" })],
    ["afterBytes", () => server.dropResponse({ afterBytes: -1 })],
    ["delayMs", () => server.delay(-1)],
    ["downMs", () => server.restart({ downMs: Number.NaN })],
    ["url", () => server.forget("https://elsewhere.example/chat")],
  ])("rejects the option %s by name", (option, make) => {
    expect(make).toThrow(
      expect.objectContaining({
        code: "BAD_REQUEST",
        message: expect.stringMatching(new RegExp(`(option|of) ${option} `)),
      }),
    )
  })
})

describe("failNext", () => {
  it("fails the next request before it takes effect", async () => {
    server.failNext()
    await chat.append(1) // 503 says that nothing was stored, and is retried
    expect(await readAll()).toEqual([1])
    server.failNext({ status: 502 })
    expect(await rejection(chat.append(2))).toMatchObject({ status: 502, indeterminate: true })
    expect(await readAll()).toEqual([1])
  })

  it("refuses the connection with status 0", async () => {
    server.failNext({ status: 0, times: 2 })
    const once = new DurableStream({ url, fetch: server.fetch, backoffOptions: noRetry })
    const error = await rejection(once.append(1))
    expect(error).toMatchObject({ code: "NETWORK", indeterminate: false })
    await chat.append(2)
    expect(await readAll()).toEqual([2])
  })

  it("hits only the requests that it names, as often as it says", async () => {
    const other = await DurableStream.create({
      url: `${server.url}/other`,
      contentType: "application/json",
      fetch: server.fetch,
      backoffOptions: noRetry,
    })
    server.failNext({ url: other.url, method: "POST", times: Infinity, status: 404, body: "gone" })
    await chat.append(1)
    expect((await other.head()).exists).toBe(true)
    for (let count = 0; count < 3; count++) {
      expect(await rejection(other.append(1))).toMatchObject({ status: 404, text: "gone" })
    }
  })

  it("carries headers, such as Retry-After", async () => {
    server.failNext({ status: 429, headers: { "retry-after": "7" } })
    const error = await rejection(stream({ url, fetch: server.fetch, backoffOptions: noRetry }))
    expect(error).toMatchObject({ code: "RATE_LIMITED", headers: { "retry-after": "7" } })
  })
})

describe("dropResponse", () => {
  it("stores a plain append, of which its caller knows nothing", async () => {
    server.dropResponse()
    expect(await rejection(chat.append(1))).toMatchObject({ status: 0, indeterminate: true })
    expect(await readAll()).toEqual([1])
  })

  it("makes a producer send again what is stored once", async () => {
    server.dropResponse({ method: "POST", times: 2 })
    let requests = 0
    const counted: typeof fetch = (input, init) => {
      if (init?.method === "POST") requests++
      return server.fetch(input, init)
    }
    const handle = new DurableStream({ url, fetch: counted, backoffOptions })
    await using producer = new IdempotentProducer(handle, "writer", { autoClaim: true })
    expect(await producer.send({ n: 1 })).toMatchObject({ duplicate: true })
    expect(requests).toBe(3)
    expect(await readAll()).toEqual([{ n: 1 }])
  })

  it("cuts a body, and the read goes on where it stopped", async () => {
    await chat.append(["a", "b"])
    server.dropResponse({ method: "GET", afterBytes: 3 })
    expect(await readAll()).toEqual([["a", "b"]])
    server.dropResponse({ method: "GET", afterBytes: 0 })
    expect(await readAll()).toEqual([["a", "b"]])
    server.dropResponse({ method: "GET", afterBytes: 3 })
    const response = await server.fetch(url)
    await expect(response.text()).rejects.toBeInstanceOf(TypeError)
  })
})

describe("restart", () => {
  it("breaks every connection and keeps the streams; a reader goes on", async () => {
    const response = await chat.stream({ live: "sse" })
    const seen: unknown[] = []
    response.subscribeJson(({ items }) => void seen.push(...items))
    await chat.append(1)
    await expect.poll(() => seen).toEqual([1])
    server.restart()
    await chat.append(2)
    await expect.poll(() => seen).toEqual([1, 2])
    response.cancel()
  })

  it("refuses connections for as long as it is down", async () => {
    vi.useFakeTimers()
    try {
      server.restart({ downMs: 5000 })
      const failure = await rejection(server.fetch(url))
      expect(failure).toMatchObject({ cause: { code: "ECONNREFUSED" } })
      await vi.advanceTimersByTimeAsync(5000)
      expect((await server.fetch(url)).status).toBe(200)
    } finally {
      vi.useRealTimers()
    }
  })
})

describe("forget and expire", () => {
  it("forget what the server knew of producers", async () => {
    const zombie = new IdempotentProducer(chat, "writer", { epoch: 1 })
    await zombie.send(1)
    await new IdempotentProducer(chat, "writer", { epoch: 2 }).send(2)
    expect(await rejection(zombie.send(3))).toBeInstanceOf(StaleEpochError)
    server.forget(url)
    await new IdempotentProducer(chat, "writer", { epoch: 1 }).send(3)
    server.forget()
    await new IdempotentProducer(chat, "writer", { epoch: 0 }).send(4)
    expect(await readAll()).toEqual([1, 2, 3, 4])
  })

  it("end the life of a stream, also for who reads it live", async () => {
    const response = await chat.stream({ live: "long-poll" })
    const batches = response.jsonBatches()
    const reading = rejection(
      batches[Symbol.asyncIterator]()
        .next()
        .then(() => batches[Symbol.asyncIterator]().next()),
    )
    server.expire(url)
    expect(await reading).toMatchObject({ code: "NOT_FOUND" })
    expect((await chat.head()).exists).toBe(false)
    expect(() => server.expire(url)).toThrow(expect.objectContaining({ code: "NOT_FOUND" }))
  })
})

describe("time", () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  it("is that of the fake timers: a time to live ends, a long-poll waits, a retry backs off", async () => {
    const short = `${server.url}/short`
    const handle = await DurableStream.create({ url: short, ttlSeconds: 60, fetch: server.fetch })
    await vi.advanceTimersByTimeAsync(59_000)
    expect((await handle.stream({ live: false })).offset).toBeDefined()
    await vi.advanceTimersByTimeAsync(59_000)
    expect(server.streams.has(short)).toBe(true)
    await vi.advanceTimersByTimeAsync(1_000)
    expect(server.streams.has(short)).toBe(false)
  })

  it("delays the response that it is told to, and no other", async () => {
    server.delay(5000, { method: "POST" })
    let isDone = false
    const appended = chat.append(1).then(() => (isDone = true))
    await vi.advanceTimersByTimeAsync(4999)
    expect(server.streams.get(url)?.messages).toEqual([1])
    expect(isDone).toBe(false)
    await vi.advanceTimersByTimeAsync(1)
    await appended
    await chat.append(2)
  })

  it("leaves no timer once its clients have left", async () => {
    server.delay(Infinity, { method: "HEAD" })
    const controller = new AbortController()
    const { signal } = controller
    const long = stream({ url, live: "long-poll", signal, fetch: server.fetch })
    const live = await stream({ url, live: "sse", signal, fetch: server.fetch })
    live.subscribeJson(() => undefined)
    ;(await long).subscribeJson(() => undefined)
    const head = rejection(chat.head({ signal }))
    server.delay(60_000)
    const late = rejection(chat.append(1, { signal }))
    await vi.advanceTimersByTimeAsync(100)
    expect(vi.getTimerCount()).toBeGreaterThan(2)
    controller.abort()
    await Promise.all([head, late])
    await vi.advanceTimersByTimeAsync(0)
    expect(vi.getTimerCount()).toBe(0)
  })
})

describe("subscriptions", () => {
  it("wake a webhook with a signed request until it is received, and take its acks", async () => {
    const received: string[] = []
    let failures = 1
    const handler: { current?: (request: Request) => Promise<Response> } = {}
    await using hooked = createTestServer({
      url: "http://streams.test/v1/stream",
      onWebhook: (request) => {
        received.push(request.url)
        if (failures-- > 0) return new Response(null, { status: 500 })
        return handler.current!(request)
      },
    })
    const options = { root: hooked.url, fetch: hooked.fetch }
    const seen: unknown[] = []
    handler.current = webhookHandler<number>({
      ...options,
      subscription: "orders",
      onBatch: (batch) => void seen.push(...batch.items),
      onError: (error) => expect.unreachable(String(error)),
    })
    const subscriptions = new Subscriptions(options)
    await subscriptions.create("orders", {
      type: "webhook",
      webhook: { url: "https://receiver.example/hook" },
      pattern: "orders/*",
    })
    const orders = await DurableStream.create({
      url: `${hooked.url}/orders/a`,
      contentType: "application/json",
      fetch: hooked.fetch,
    })
    await orders.append(1)
    await expect.poll(() => seen).toEqual([1])
    expect(received).toEqual(Array(2).fill("https://receiver.example/hook"))
    const tail = hooked.streams.get(orders.url)?.offset
    await expect
      .poll(async () => (await subscriptions.get("orders")).streams)
      .toEqual([{ path: "orders/a", linkType: "glob", ackedOffset: tail }])
    await orders.append(2)
    await expect.poll(() => seen).toEqual([1, 2])
  })

  it("take a webhook's response that the wake is done", async () => {
    let wakes = 0
    await using hooked = createTestServer({
      onWebhook: async (request) => {
        wakes++
        expect(await request.json()).toMatchObject({ subscription_id: "s", generation: wakes })
        return Response.json({ done: true })
      },
    })
    const subscriptions = new Subscriptions({ root: hooked.url, fetch: hooked.fetch })
    const webhook = { url: "https://receiver.example/hook" }
    await subscriptions.create("s", { type: "webhook", webhook, pattern: "**" })
    const list = await DurableStream.create({
      url: `${hooked.url}/list`,
      contentType: "application/json",
      fetch: hooked.fetch,
    })
    for (const count of [1, 2]) {
      await list.append(count)
      await expect.poll(() => wakes).toBe(count)
      await expect
        .poll(async () => (await subscriptions.get("s")).streams[0]?.ackedOffset)
        .toBe(hooked.streams.get(list.url)?.offset)
    }
  })
})

describe("an abort", () => {
  it("rejects with its reason, before and after the headers", async () => {
    const reason = new Error("enough")
    expect(await rejection(server.fetch(url, { signal: AbortSignal.abort(reason) }))).toBe(reason)
    const controller = new AbortController()
    const offset = encodeURIComponent(server.streams.get(url)!.offset)
    const init = { signal: controller.signal }
    const waiting = rejection(server.fetch(`${url}?live=long-poll&offset=${offset}`, init))
    const live = await server.fetch(`${url}?live=sse&offset=-1`, init)
    const reading = rejection(live.text())
    controller.abort(reason)
    expect(await waiting).toBe(reason)
    expect(await reading).toBe(reason)
  })

  it("of a closed server is a refused connection", async () => {
    server.close()
    const error = await rejection(stream({ url, fetch: server.fetch, backoffOptions: noRetry }))
    expect(error).toBeInstanceOf(FetchError)
    expect(error).toMatchObject({ code: "NETWORK" })
  })
})
