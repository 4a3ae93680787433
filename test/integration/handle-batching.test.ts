import { AsyncLocalStorage } from "node:async_hooks"
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest"
import { DurableStream } from "../../src/durable-stream.ts"
import { startBreakingProxy, type BreakingProxy } from "../support/breaking-proxy.ts"
import {
  respond,
  startMisbehavingServer,
  type Misbehavior,
  type SeenRequest,
} from "../support/misbehaving-server.ts"
import { startReferenceServer, type ReferenceServer } from "../support/reference-server.ts"
import { rejection } from "../support/rejection.ts"
import { makeResponse, scriptedFetch } from "../support/scripted-fetch.ts"

let server: ReferenceServer
beforeAll(async () => {
  server = await startReferenceServer()
})
afterAll(() => server.stop())
afterEach(() => {
  vi.unstubAllGlobals()
})

const json = "application/json"
const stored = respond(204, { "stream-next-offset": "1" })

async function createStream(
  contentType: string,
): Promise<{ handle: DurableStream; proxy: BreakingProxy }> {
  const proxy = await startBreakingProxy(server.url)
  const url = server.streamUrl()
  await DurableStream.create({ url, contentType })
  return { proxy, handle: new DurableStream({ url: proxy.through(url), contentType }) }
}

async function contentOf(handle: DurableStream): Promise<string> {
  return (await fetch(`${handle.url}?offset=-1`)).text()
}

function bodies(requests: readonly SeenRequest[]): string[] {
  return requests.map(({ body }) => body.toString())
}

/** A server that responds to each request when it is told to. */
async function startGatedServer(handle: Misbehavior = stored) {
  const gates: (() => void)[] = []
  let cut = 0
  const misbehaving = await startMisbehavingServer(async (request, response) => {
    response.on("close", () => {
      if (!response.writableFinished) cut++
    })
    await new Promise<void>((resolve) => gates.push(resolve))
    await handle(request, response)
  })
  return {
    ...misbehaving,
    /** Waits until so many requests were cut off by the client. */
    async whenCut(count: number) {
      await expect.poll(() => cut).toBe(count)
    },
    /** Waits for the request of that number and lets its response go. */
    async open(number: number) {
      await expect.poll(() => gates.length).toBeGreaterThanOrEqual(number)
      gates[number - 1]?.()
    },
  }
}

describe("appends that overlap", () => {
  it("share one request while another is under way, in the order of the calls", async () => {
    const { handle, proxy } = await createStream(json)
    const values = Array.from({ length: 500 }, (_, index) => index)
    await Promise.all(values.map((value) => handle.append(value)))
    expect(JSON.parse(await contentOf(handle))).toEqual(values)
    expect(proxy.requests.filter(({ method }) => method === "POST")).toHaveLength(2)
    await proxy.stop()
  })

  it("join text with text, and bytes where there are any", async () => {
    await using gated = await startGatedServer()
    const handle = new DurableStream({ url: gated.url, contentType: "text/plain" })
    const calls = ["a", "b", new Uint8Array([0xc3]), new Uint8Array([0xa4]), "c"].map((body) =>
      handle.append(body),
    )
    await gated.open(1)
    await gated.open(2)
    await Promise.all(calls)
    expect(bodies(gated.requests)).toEqual(["a", "bäc"])
  })

  it("are sent at once and one by one with batching off", async () => {
    await using gated = await startGatedServer()
    const options = { url: gated.url, contentType: "text/plain", batching: false }
    const handle = new DurableStream(options)
    const texts = "a b c d e f g h".split(" ")
    const calls = texts.map((text) => handle.append(text))
    // None gets its response before all have arrived.
    await gated.whenRequested(8)
    for (const number of texts.keys()) await gated.open(number + 1)
    await Promise.all(calls)
    expect(bodies(gated.requests).sort()).toEqual(texts)
  })

  it("are each made in the context of their own caller with batching off", async () => {
    const context = new AsyncLocalStorage<string>()
    const seen: string[] = []
    const { fetch, calls } = scriptedFetch([
      async ({ init }) => {
        seen.push(`${String(init.body)} ${context.getStore() ?? "none"}`)
        await new Promise(setImmediate)
        return makeResponse(204)
      },
    ])
    const handle = new DurableStream({
      url: "http://server.test/s",
      contentType: "text/plain",
      batching: false,
      headers: { authorization: () => `token of ${context.getStore() ?? "none"}` },
      fetch,
    })
    const append = (user: string, body: unknown) => context.run(user, () => handle.append(body))
    await Promise.all([append("ann", "a"), append("bob", "b"), append("cy", Promise.resolve("c"))])
    expect(seen.sort()).toEqual(["a ann", "b bob", "c cy"])
    expect(calls.map(({ headers }) => headers["authorization"]).sort()).toEqual([
      "token of ann",
      "token of bob",
      "token of cy",
    ])
  })

  it("do not wait for each other in workerd, where a request that waits for another one's hangs", async () => {
    vi.stubGlobal("navigator", { userAgent: "Cloudflare-Workers" })
    const { fetch, calls } = scriptedFetch([
      "hang",
      makeResponse(204, { "stream-next-offset": "1" }),
    ])
    const options = { url: "http://server.test/s", contentType: "text/plain", fetch }
    const handle = new DurableStream(options)
    const hanging = handle.append("first request")
    await handle.append("second request")
    await handle.close()
    expect(calls.map(({ init }) => init.body)).toEqual([
      "first request",
      "second request",
      undefined,
    ])
    const batching = new DurableStream({ ...options, batching: true })
    await Promise.all(["a", "b", "c"].map((text) => batching.append(text)))
    expect(calls.map(({ init }) => init.body).slice(3)).toEqual(["a", "bc"])
    void hanging
  })

  it("never share a request across content types", async () => {
    await using gated = await startGatedServer()
    const handle = new DurableStream({ url: gated.url, contentType: "text/plain" })
    const calls = [
      handle.append("a"),
      handle.append("b", { contentType: "text/css" }),
      handle.append("c", { contentType: "text/css" }),
      handle.append("d"),
      handle.append("[1]", { contentType: json }),
      handle.append(2, { contentType: json }),
    ]
    for (const number of [1, 2, 3, 4]) await gated.open(number)
    await Promise.all(calls)
    expect(bodies(gated.requests)).toEqual(["a", "bc", "d", "[[1],2]"])
    expect(gated.requests.map(({ headers }) => headers["content-type"])).toEqual([
      "text/plain",
      "text/css",
      "text/plain",
      json,
    ])
  })

  it("are sent as the content type that was found while they waited", async () => {
    const sent: unknown[] = []
    let release = () => {}
    const released = new Promise<void>((resolve) => (release = resolve))
    const handle = new DurableStream({
      url: "http://server.test/s",
      contentType: json,
      fetch: async (_url, init) => {
        const { method, body } = init ?? {}
        if (method === "HEAD")
          return new Response(null, { headers: { "content-type": "text/plain" } })
        sent.push(body)
        if (sent.length === 1) await released
        return new Response(null, { status: 204 })
      },
    })
    const first = handle.append("1")
    const waiting = [handle.append("2"), handle.append({ value: 3 }), handle.append("4")]
    await handle.head()
    release()
    const results = await Promise.allSettled([first, ...waiting])
    expect(results.map(({ status }) => status)).toEqual([
      "fulfilled",
      "fulfilled",
      "rejected",
      "fulfilled",
    ])
    expect(sent).toEqual(["[1]", "24"])
  })

  it("are bounded in size by request", async () => {
    const { handle, proxy } = await createStream("text/plain")
    const piece = "x".repeat(100_000)
    const huge = "y".repeat(2_000_000)
    const bodies = ["first", ...Array.from({ length: 12 }, () => piece), huge, "last"]
    await Promise.all(bodies.map((body) => handle.append(body)))
    expect(await contentOf(handle)).toBe(bodies.join(""))
    // first; 12 pieces, 9 in a request; the huge one by itself; the last.
    expect(proxy.requests.filter(({ method }) => method === "POST")).toHaveLength(5)
    await proxy.stop()
  })

  it("keep the place of a body that is still a promise", async () => {
    const { handle, proxy } = await createStream(json)
    let arrive: (body: number) => void = () => undefined
    const late = new Promise((resolve) => (arrive = resolve))
    const calls = [handle.append(1), handle.append(late), handle.append(3)]
    await calls[0]
    expect(await contentOf(handle)).toBe("[1]")
    arrive(2)
    await Promise.all(calls)
    expect(await contentOf(handle)).toBe("[1,2,3]")
    await proxy.stop()
  })

  it("reject at once a body that can never be sent, whatever is under way", async () => {
    const controller = new AbortController()
    const handle = new DurableStream({
      url: "http://server.test/s",
      contentType: json,
      signal: controller.signal,
      fetch: () => new Promise(() => undefined),
    })
    const hanging = rejection(handle.append(1))
    for (const body of ["{bad", undefined]) {
      const error = await rejection(handle.append(body))
      expect(error).toMatchObject({ code: "PARSE_ERROR" })
      expect(error.message).toContain("http://server.test/s")
    }
    const half = handle.append("\uD83D", { contentType: "text/plain" })
    expect(await rejection(half)).toMatchObject({ code: "BAD_REQUEST" })
    controller.abort()
    await hanging
  })

  it("go on after a body that never came", async () => {
    const { handle, proxy } = await createStream(json)
    const failure = new Error("no body")
    const controller = new AbortController()
    const calls = [
      handle.append(1),
      rejection(handle.append(Promise.reject(failure))),
      rejection(handle.append(new Promise(() => undefined), { signal: controller.signal })),
      rejection(handle.append(Promise.resolve("{bad"))),
      handle.append(Promise.resolve({ last: true })),
    ]
    expect(await calls[1]).toBe(failure)
    controller.abort("enough")
    expect(await calls[2]).toMatchObject({ code: "ABORTED", cause: "enough" })
    expect(await calls[3]).toMatchObject({ code: "PARSE_ERROR" })
    await Promise.all(calls)
    expect(await contentOf(handle)).toBe('[1,{"last":true}]')
    await proxy.stop()
  })
})

describe("a caller's abort", () => {
  it("takes a waiting append out, and only that one", async () => {
    await using gated = await startGatedServer()
    const handle = new DurableStream({ url: gated.url, contentType: json })
    const controller = new AbortController()
    const first = handle.append(1)
    const aborted = rejection(handle.append(2, { signal: controller.signal }))
    const last = handle.append(3)
    controller.abort()
    expect(await aborted).toMatchObject({ name: "AbortError", code: "ABORTED" })
    await gated.open(1)
    await gated.open(2)
    await Promise.all([first, last])
    expect(bodies(gated.requests)).toEqual(["[1]", "[3]"])
  })

  it("leaves a request that others are in alone", async () => {
    await using gated = await startGatedServer()
    const handle = new DurableStream({ url: gated.url, contentType: json })
    const controller = new AbortController()
    const first = handle.append(1)
    const aborted = rejection(handle.append(2, { signal: controller.signal }))
    const last = handle.append(3)
    await gated.open(1)
    await gated.whenRequested(2)
    controller.abort()
    expect(await aborted).toMatchObject({ code: "ABORTED" })
    await gated.open(2)
    await Promise.all([first, last])
    expect(bodies(gated.requests)).toEqual(["[1]", "[2,3]"])
  })

  it("leaves out of a retry what nobody wants any more", async () => {
    const controller = new AbortController()
    const requests: unknown[] = []
    const handle = new DurableStream({
      url: "http://server.test/s",
      contentType: json,
      backoffOptions: { initialDelay: 1, maxDelay: 1 },
      fetch: async (_url, init) => {
        requests.push(init?.body)
        if (requests.length !== 2) return new Response(null, { status: 204 })
        controller.abort()
        return new Response(null, { status: 503 })
      },
    })
    const first = handle.append(1)
    const aborted = rejection(handle.append(2, { signal: controller.signal }))
    await Promise.all([first, handle.append(3)])
    expect(await aborted).toMatchObject({ code: "ABORTED" })
    expect(requests).toEqual(["[1]", "[2,3]", "[3]"])
  })

  it("cuts a request that nobody else is in", async () => {
    await using gated = await startGatedServer()
    const handle = new DurableStream({ url: gated.url, contentType: json })
    const controller = new AbortController()
    const { signal } = controller
    const first = rejection(handle.append(1, { signal }))
    await gated.whenRequested(1)
    controller.abort("reason")
    expect(await first).toMatchObject({ code: "ABORTED", cause: "reason" })
    await gated.whenCut(1)
    const late = handle.append(2, { signal })
    expect(await rejection(late)).toMatchObject({ code: "ABORTED", cause: "reason" })
    expect(gated.requests).toHaveLength(1)
  })

  it("of the handle ends all that is queued, whatever it waits for", async () => {
    await using gated = await startGatedServer()
    const controller = new AbortController()
    const handle = new DurableStream({
      url: gated.url,
      contentType: json,
      signal: controller.signal,
    })
    const calls = [
      handle.append(1),
      handle.append(2),
      handle.append(new Promise(() => undefined)),
      handle.append(3, { seq: "1" }),
      handle.close(),
    ].map((call) => rejection(call))
    await gated.whenRequested(1)
    controller.abort("over")
    for (const call of calls) {
      expect(await call).toMatchObject({ code: "ABORTED", cause: "over" })
    }
    await gated.whenCut(1)
  })

  it("needs one listener for a signal, however many calls wait under it", async () => {
    await using gated = await startGatedServer()
    const controller = new AbortController()
    let listeners = 0
    let most = 0
    const { signal } = controller
    const add = signal.addEventListener.bind(signal)
    const remove = signal.removeEventListener.bind(signal)
    signal.addEventListener = (...args: Parameters<typeof add>) => {
      most = Math.max(most, ++listeners)
      add(...args)
    }
    signal.removeEventListener = (...args: Parameters<typeof remove>) => {
      listeners--
      remove(...args)
    }
    const handle = new DurableStream({ url: gated.url, contentType: json })
    const calls = Array.from({ length: 50 }, (_, index) => handle.append(index, { signal }))
    await gated.open(1)
    await gated.open(2)
    await Promise.all(calls)
    expect(most).toBe(1)
    expect(listeners).toBe(0)
  })
})

describe("a joined request that is refused", () => {
  const refuse =
    (status: number): Misbehavior =>
    (request, response) => {
      const isBad = request.body.includes("bad")
      void response.writeHead(isBad ? status : 204, { "stream-next-offset": "1" }).end()
    }

  it.each([400, 413, 422])("with %i fails only the calls that are to blame", async (status) => {
    await using gated = await startMisbehavingServer(refuse(status))
    const handle = new DurableStream({ url: gated.url, contentType: json })
    const values = ["first", "a", "b", "bad1", "c", "d", "bad2", "e"].map((value) => ({ value }))
    const results = await Promise.allSettled(values.map((value) => handle.append(value)))
    const failed = values.filter((_value, index) => results[index]?.status === "rejected")
    expect(failed).toEqual([{ value: "bad1" }, { value: "bad2" }])
    const sent: unknown[] = gated.requests
      .filter(({ body }) => !body.includes("bad"))
      .flatMap(({ body }): unknown => JSON.parse(body.toString()))
    expect(sent).toEqual(values.filter(({ value }) => !value.startsWith("bad")))
  })

  it("fails nobody where the one to blame has given up meanwhile", async () => {
    const bodies: unknown[] = []
    const controller = new AbortController()
    const handle = new DurableStream({
      url: "http://server.test/s",
      contentType: json,
      fetch: async (_url, init) => {
        bodies.push(init?.body)
        if (bodies.length !== 2) return new Response(null, { status: 204 })
        controller.abort()
        return new Response(null, { status: 400 })
      },
    })
    const calls = [
      handle.append(1),
      handle.append(2),
      rejection(handle.append("3", { signal: controller.signal })),
    ]
    await Promise.all(calls)
    expect(await calls[2]).toMatchObject({ code: "ABORTED" })
    expect(bodies).toEqual(["[1]", "[2,3]", "[2]"])
  })

  it("for its size is sent in smaller ones from then on", async () => {
    const sizes: number[] = []
    await using gated = await startMisbehavingServer((request, response) => {
      sizes.push(request.body.length)
      const status = request.body.length > 1000 ? 413 : 204
      void response.writeHead(status, { "stream-next-offset": "1" }).end()
    })
    const handle = new DurableStream({ url: gated.url, contentType: "text/plain" })
    const send = () => Promise.all(Array.from({ length: 41 }, () => handle.append("x".repeat(100))))
    await send()
    const refusedAtFirst = sizes.filter((size) => size > 1000).length
    sizes.length = 0
    await send()
    expect(refusedAtFirst).toBeGreaterThan(0)
    expect(sizes.filter((size) => size > 1000)).toEqual([])
    expect(sizes.reduce((sum, size) => sum + size)).toBe(4100)
  })

  it("for its size makes smaller ones of what waits already", async () => {
    const sizes: number[] = []
    const handle = new DurableStream({
      url: "http://server.test/s",
      contentType: "text/plain",
      fetch: (_url, init) => {
        const { length } = init?.body as string
        sizes.push(length)
        return Promise.resolve(new Response(null, { status: length > 1000 ? 413 : 204 }))
      },
    })
    const some = (count: number, type?: string) =>
      Array.from({ length: count }, () =>
        handle.append("x".repeat(100), type === undefined ? undefined : { contentType: type }),
      )
    // Another content type ends what can share the request.
    await Promise.all([...some(13), ...some(1, "text/html"), ...some(20)])
    expect(sizes.filter((size) => size > 1000)).toEqual([1200])
    expect(sizes.filter((size) => size <= 1000).reduce((sum, size) => sum + size)).toBe(3400)
  })

  it("shows each call that is to blame where it was made", async () => {
    const handle = new DurableStream({
      url: "http://server.test/s",
      contentType: json,
      fetch: async (_url, init) =>
        new Response(null, { status: String(init?.body).includes("bad") ? 400 : 204 }),
    })
    const calls = [
      handle.append(1),
      handle.append(2),
      rejection(
        (function firstCulprit() {
          return handle.append('"bad 1"')
        })(),
      ),
      handle.append(3),
      rejection(
        (function secondCulprit() {
          return handle.append('"bad 2"')
        })(),
      ),
    ]
    const [, , first, , second] = (await Promise.all(calls)) as [void, void, Error, void, Error]
    expect(first.stack).toContain("firstCulprit")
    expect(second.stack).toContain("secondCulprit")
  })

  it.each([401, 403, 404, 410])("with %i fails all of them, once", async (status) => {
    await using gated = await startMisbehavingServer(stored, respond(status))
    const handle = new DurableStream({ url: gated.url, contentType: json })
    const calls = [1, 2, 3, 4].map((value) => handle.append(value))
    const results = await Promise.allSettled(calls)
    expect(results.map((result) => result.status)).toEqual([
      "fulfilled",
      "rejected",
      "rejected",
      "rejected",
    ])
    expect(gated.requests).toHaveLength(2)
  })
})
