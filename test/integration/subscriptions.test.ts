import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { Claim, Subscriptions } from "../../src/subscriptions/index.ts"
import { startSubscriptionServer } from "../support/subscription-server.ts"

type Server = Awaited<ReturnType<typeof startSubscriptionServer>>

let server: Server
let count = 0
beforeAll(async () => {
  server = await startSubscriptionServer(["a", "b"])
})
afterAll(() => server[Symbol.asyncDispose]())

const pullWake = { type: "pull-wake", pattern: "ev/*", wakeStream: "wake" } as const
const newId = () => `subscription ${++count}`

/** A `fetch` that counts requests by their last path segment and lets a test change responses. */
function scripted(change: (url: string, response: () => Promise<Response>) => Promise<Response>) {
  const urls: string[] = []
  const fetch: typeof globalThis.fetch = (input, init) => {
    urls.push(String(input))
    return change(String(input), () => globalThis.fetch(input, init))
  }
  return { fetch, urls }
}

describe("create", () => {
  it("distinguishes a created subscription from an existing one", async () => {
    const subscriptions = new Subscriptions({ root: server.root })
    const id = newId()
    const created = await subscriptions.create(id, {
      ...pullWake,
      leaseTtlMs: 5_000,
      description: "test",
    })
    expect(created).toMatchObject({
      kind: "created",
      subscription: {
        id,
        type: "pull-wake",
        pattern: "ev/*",
        wakeStream: "wake",
        leaseTtlMs: 5_000,
        status: "active",
      },
    })
    expect(created.subscription.streams.map(({ path }) => path).sort()).toEqual(["ev/a", "ev/b"])
    const again = await subscriptions.create(id, {
      ...pullWake,
      leaseTtlMs: 5_000,
      description: "test",
    })
    expect(again.kind).toBe("existing")
  })

  it("rejects with SUBSCRIPTION_EXISTS for another configuration", async () => {
    const subscriptions = new Subscriptions({ root: server.root })
    const id = newId()
    await subscriptions.create(id, pullWake)
    await expect(
      subscriptions.create(id, { ...pullWake, pattern: "other/**" }),
    ).rejects.toMatchObject({
      name: "SubscriptionError",
      code: "SUBSCRIPTION_EXISTS",
      serverCode: "SUBSCRIPTION_ALREADY_EXISTS",
      status: 409,
    })
  })

  it("rejects with SUBSCRIPTIONS_NOT_SUPPORTED if the server took the request for the creation of a stream", async () => {
    // The reference server's routes are under /v1/stream only.
    const subscriptions = new Subscriptions({
      root: server.root.replace("/v1/stream", "/elsewhere"),
    })
    await expect(subscriptions.create(newId(), pullWake)).rejects.toMatchObject({
      code: "SUBSCRIPTIONS_NOT_SUPPORTED",
      message: expect.stringContaining("A stream may have been created at"),
    })
  })

  it.each([
    ["type", { ...pullWake, type: "push" }],
    ["pattern", { type: "pull-wake", wakeStream: "wake" }],
    ["pattern", { ...pullWake, pattern: "/ev/*" }],
    ["streams", { ...pullWake, streams: [] }],
    ["streams", { ...pullWake, streams: ["/ev/a"] }],
    ["wakeStream", { ...pullWake, wakeStream: undefined }],
    ["webhook.url", { type: "webhook", pattern: "ev/*" }],
    ["leaseTtlMs", { ...pullWake, leaseTtlMs: 999 }],
    ["leaseTtlMs", { ...pullWake, leaseTtlMs: Number.NaN }],
  ])("rejects an invalid %s by name, without a request", async (option, config) => {
    const { fetch, urls } = scripted((_url, response) => response())
    const subscriptions = new Subscriptions({ root: server.root, fetch })
    await expect(subscriptions.create(newId(), config as never)).rejects.toMatchObject({
      code: "BAD_REQUEST",
      message: expect.stringContaining(option),
    })
    expect(urls).toEqual([])
  })

  it("is retried after a lost response", async () => {
    let isLost = false
    const { fetch } = scripted(async (_url, response) => {
      const stored = await response()
      if (isLost) return stored
      isLost = true
      throw new TypeError("fetch failed")
    })
    const subscriptions = new Subscriptions({
      root: server.root,
      fetch,
      backoffOptions: { initialDelay: 1 },
    })
    await expect(subscriptions.create(newId(), pullWake)).resolves.toMatchObject({
      kind: "existing",
    })
  })
})

describe("the streams of a subscription", () => {
  it("are added and removed, and both can be repeated", async () => {
    const subscriptions = new Subscriptions({ root: server.root })
    const id = newId()
    await subscriptions.create(id, { type: "pull-wake", streams: ["ev/a"], wakeStream: "wake" })
    for (let i = 0; i < 2; i++) await subscriptions.addStreams(id, ["ev/b"])
    expect((await subscriptions.get(id)).streams.map(({ path }) => path).sort()).toEqual([
      "ev/a",
      "ev/b",
    ])
    for (let i = 0; i < 2; i++) await subscriptions.removeStream(id, "ev/b")
    expect((await subscriptions.get(id)).streams.map(({ path }) => path)).toEqual(["ev/a"])
  })

  it("delete resolves also if there is no subscription; get rejects with SUBSCRIPTION_NOT_FOUND", async () => {
    const subscriptions = new Subscriptions({ root: server.root })
    const id = newId()
    await subscriptions.create(id, pullWake)
    await subscriptions.delete(id)
    await subscriptions.delete(id)
    await expect(subscriptions.get(id)).rejects.toMatchObject({
      code: "SUBSCRIPTION_NOT_FOUND",
      status: 404,
    })
  })
})

describe("claim", () => {
  async function prepared(options: { leaseTtlMs?: number } = {}, fetch = globalThis.fetch) {
    const path = `claims/${++count}`
    const subscriptions = new Subscriptions({
      root: server.root,
      fetch,
      backoffOptions: { initialDelay: 1 },
    })
    const { DurableStream } = await import("../../src/index.ts")
    await DurableStream.create({ url: server.streamUrl(path), contentType: "application/json" })
    const id = newId()
    await subscriptions.create(id, {
      type: "pull-wake",
      streams: [path],
      wakeStream: "wake",
      ...options,
    })
    return { subscriptions, id, path }
  }

  it("returns undefined if there is no work", async () => {
    const { subscriptions, id } = await prepared()
    await expect(subscriptions.claim(id, { worker: "w" })).resolves.toBeUndefined()
  })

  it("returns the claim, then its holder, then no work once it is done", async () => {
    const { subscriptions, id, path } = await prepared()
    await server.append(path, { n: 1 })
    const claim = await subscriptions.claim(id, { worker: "w" })
    if (!(claim instanceof Claim)) throw new Error("no claim")
    expect(claim.streams).toMatchObject([{ path, linkType: "explicit", hasPending: true }])
    await expect(subscriptions.claim(id, { worker: "other" })).resolves.toMatchObject({
      kind: "held",
      currentHolder: expect.stringMatching(/^w-[0-9a-f]{12}$/),
      isOwn: false,
    })
    await expect(subscriptions.claim(id, { worker: "w" })).resolves.toMatchObject({
      kind: "held",
      isOwn: true,
    })
    const { tailOffset: offset } = claim.streams[0]!
    await expect(claim.ack([{ path, offset }], { done: true })).resolves.toEqual({
      nextWake: false,
      rejected: [],
    })
    expect(claim.signal.aborted).toBe(true)
    await expect(subscriptions.claim(id, { worker: "w" })).resolves.toBeUndefined()
    expect((await subscriptions.get(id)).streams[0]?.ackedOffset).toBe(offset)
  })

  it("surfaces a missing subscription", async () => {
    const subscriptions = new Subscriptions({ root: server.root })
    await expect(subscriptions.claim("nobody", { worker: "w" })).rejects.toMatchObject({
      code: "SUBSCRIPTION_NOT_FOUND",
    })
  })

  it.each([204, 404])(
    "takes a %i without the subscription's code for no work, after one GET",
    async (status) => {
      const { subscriptions, id, path } = await prepared({}, (input, init) =>
        String(input).endsWith("/claim")
          ? Promise.resolve(new Response(null, { status }))
          : globalThis.fetch(input, init),
      )
      await server.append(path, { n: 1 })
      await expect(subscriptions.claim(id, { worker: "w" })).resolves.toBeUndefined()
    },
  )

  it("stores the acknowledgements of other paths if one is invalid, and reports that one", async () => {
    const { subscriptions, id, path } = await prepared()
    await server.append(path, { n: 1 })
    const claim = await subscriptions.claim(id, { worker: "w" })
    if (!(claim instanceof Claim)) throw new Error("no claim")
    const { tailOffset: offset } = claim.streams[0]!
    const result = await claim.ack([
      { path: "not/linked", offset },
      { path, offset },
    ])
    expect(result.rejected).toMatchObject([{ path: "not/linked", offset }])
    expect((await subscriptions.get(id)).streams[0]?.ackedOffset).toBe(offset)
    await claim.release()
  })

  it("sends one acknowledgement at a time and joins what is called meanwhile", async () => {
    let open = 0
    let most = 0
    const bodies: string[] = []
    const { subscriptions, id, path } = await prepared({}, async (input, init) => {
      if (!String(input).endsWith("/ack")) return globalThis.fetch(input, init)
      bodies.push(String(init?.body))
      most = Math.max(most, ++open)
      try {
        return await globalThis.fetch(input, init)
      } finally {
        open--
      }
    })
    await server.append(path, { n: 1 })
    const claim = await subscriptions.claim(id, { worker: "w" })
    if (!(claim instanceof Claim)) throw new Error("no claim")
    const { tailOffset: offset } = claim.streams[0]!
    await Promise.all([
      claim.heartbeat(),
      ...Array.from({ length: 10 }, () => claim.ack([{ path, offset }])),
    ])
    expect(most).toBe(1)
    expect(bodies).toHaveLength(2)
    await claim.release()
  })

  it("ends without an error if the response to done was lost", async () => {
    let isLost = false
    const { subscriptions, id, path } = await prepared({}, async (input, init) => {
      const response = await globalThis.fetch(input, init)
      if (!String(input).endsWith("/ack") || isLost) return response
      isLost = true
      throw new TypeError("fetch failed")
    })
    await server.append(path, { n: 1 })
    const claim = await subscriptions.claim(id, { worker: "w" })
    if (!(claim instanceof Claim)) throw new Error("no claim")
    const { tailOffset: offset } = claim.streams[0]!
    await expect(claim.ack([{ path, offset }], { done: true })).resolves.toMatchObject({
      rejected: [],
    })
  })

  it("is lost once its lease expired without a heartbeat, and acknowledges nothing more", async () => {
    let isCut = false
    const { subscriptions, id, path } = await prepared({ leaseTtlMs: 1_000 }, (input, init) =>
      isCut && String(input).endsWith("/ack")
        ? Promise.reject(new TypeError("fetch failed"))
        : globalThis.fetch(input, init),
    )
    await server.append(path, { n: 1 })
    const claim = await subscriptions.claim(id, { worker: "w" })
    if (!(claim instanceof Claim)) throw new Error("no claim")
    isCut = true
    await new Promise((resolve) => claim.signal.addEventListener("abort", resolve))
    expect(claim.isHeld).toBe(false)
    const { tailOffset: offset } = claim.streams[0]!
    await expect(claim.ack([{ path, offset }])).rejects.toMatchObject({ code: "FENCED" })
  })

  it("stays held as long as heartbeats arrive", async () => {
    let heartbeats = 0
    const { subscriptions, id, path } = await prepared({ leaseTtlMs: 1_000 }, (input, init) => {
      if (String(input).endsWith("/ack")) heartbeats++
      return globalThis.fetch(input, init)
    })
    await server.append(path, { n: 1 })
    const claim = await subscriptions.claim(id, { worker: "w" })
    if (!(claim instanceof Claim)) throw new Error("no claim")
    // More than one lease's length of them.
    await expect.poll(() => heartbeats).toBeGreaterThan(4)
    expect(claim.isHeld).toBe(true)
    const other = new Subscriptions({ root: server.root })
    await expect(other.claim(id, { worker: "other" })).resolves.toMatchObject({ kind: "held" })
    await claim.release()
  })

  it("sends its token in place of the caller's Authorization, and only to the claim's routes", async () => {
    const seen: [string, string | undefined][] = []
    const { path } = await prepared()
    const id = newId()
    const subscriptions = new Subscriptions({
      root: server.root,
      headers: { authorization: "Bearer mine" },
      fetch: (input, init) => {
        const headers = new Headers(init?.headers)
        seen.push([String(input).split("/").at(-1)!, headers.get("authorization") ?? undefined])
        return globalThis.fetch(input, init)
      },
    })
    await subscriptions.create(id, { type: "pull-wake", streams: [path], wakeStream: "wake" })
    await server.append(path, { n: 2 })
    const claim = await subscriptions.claim(id, { worker: "w" })
    if (!(claim instanceof Claim)) throw new Error("no claim")
    await claim.heartbeat()
    await claim.release()
    const tokens = Object.fromEntries(seen)
    expect(tokens["claim"]).toBe("Bearer mine")
    expect(tokens["ack"]).toMatch(/^Bearer (?!mine)/)
    expect(tokens["release"]).toMatch(/^Bearer (?!mine)/)
  })
})
