import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { verifyWebhook, webhookHandler } from "../../../src/subscriptions/index.ts"

const root = "https://streams.example.com/v1/stream"
const subscription = "orders"
let origin = 0

interface SigningKey {
  kid: string
  pair: CryptoKeyPair
}

async function newKey(kid: string): Promise<SigningKey> {
  // Ed25519 keys come in pairs.
  const pair = await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"])
  return { kid, pair }
}

async function signedRequest(
  { kid, pair }: SigningKey,
  { ageSeconds = 0, id = subscription, sign = (body: string) => body } = {},
): Promise<Request> {
  const time = Math.floor(Date.now() / 1000) - ageSeconds
  const body = JSON.stringify({
    subscription_id: id,
    wake_id: "w",
    generation: 3,
    streams: [],
    callback_url: "https://elsewhere.example",
    callback_token: "secret",
  })
  const data = new TextEncoder().encode(`${time}.${sign(body)}`)
  const signature = await crypto.subtle.sign("Ed25519", pair.privateKey, data)
  const base64url = Buffer.from(signature).toString("base64url")
  return new Request("https://receiver.example/hook", {
    method: "POST",
    headers: { "webhook-signature": `t=${time},kid=${kid},ed25519=${base64url}` },
    body,
  })
}

function unsigned(body: ReadableStream<Uint8Array>): Request {
  const time = Math.floor(Date.now() / 1000)
  const headers = { "webhook-signature": `t=${time},kid=k1,ed25519=${"A".repeat(86)}` }
  const init = { method: "POST", headers, body, duplex: "half" }
  return new Request("https://receiver.example/hook", init)
}

/** A server of keys, each at a URL of its own: the keys are cached for the whole process. */
function keyServer(...keys: SigningKey[]) {
  const state = { keys, respond: undefined as (() => Promise<Response>) | undefined }
  const requests: RequestInit[] = []
  const fetch: typeof globalThis.fetch = async (_url, init) => {
    requests.push(init ?? {})
    if (state.respond !== undefined) return state.respond()
    const jwks = state.keys.map(async ({ kid, pair }) => ({
      ...(await crypto.subtle.exportKey("jwk", pair.publicKey)),
      kid,
    }))
    return Response.json({ keys: [{ kty: "RSA", kid: "other" }, ...(await Promise.all(jwks))] })
  }
  const jwksUrl = `https://keys-${++origin}.example/jwks.json`
  return { state, requests, options: { root, subscription, jwksUrl, fetch } }
}

let nowMs = 0
beforeEach(() => {
  nowMs = 1_000_000
  vi.spyOn(performance, "now").mockImplementation(() => nowMs)
})
afterEach(() => {
  vi.restoreAllMocks()
  vi.unstubAllGlobals()
})

describe("verifyWebhook", () => {
  it("verifies a wake, and fetches the keys once for many", async () => {
    const key = await newKey("k1")
    const { requests, options } = keyServer(key)
    for (let i = 0; i < 3; i++) {
      await expect(verifyWebhook(await signedRequest(key), options)).resolves.toEqual({
        kind: "verified",
        wake: {
          subscriptionId: subscription,
          wakeId: "w",
          generation: 3,
          streams: [],
          callbackToken: "secret",
        },
      })
    }
    expect(requests).toHaveLength(1)
  })

  it("rejects other bytes, other subscriptions, and a time that is not within 300 s", async () => {
    const key = await newKey("k1")
    const { options } = keyServer(key)
    const verify = async (request: Request) => (await verifyWebhook(request, options)).kind
    expect(await verify(await signedRequest(key, { sign: (body) => body + " " }))).toBe("rejected")
    expect(await verify(await signedRequest(key, { id: "others" }))).toBe("rejected")
    expect(await verify(await signedRequest(key, { ageSeconds: 302 }))).toBe("rejected")
    expect(await verify(await signedRequest(key, { ageSeconds: -302 }))).toBe("rejected")
    expect(await verify(await signedRequest(key, { ageSeconds: 290 }))).toBe("verified")
  })

  it.each([
    ["no header", undefined],
    ["an empty header", ""],
    ["no key id", "t=1,ed25519=AAAA"],
    ["a repeated field", "t=1,t=2,kid=k1,ed25519=AAAA"],
    ["a time that is not a number", "t=1e3,kid=k1,ed25519=AAAA"],
    ["a short signature", "t=1,kid=k1,ed25519=AAAA"],
  ])("rejects %s without a request for keys", async (_what, header) => {
    const { requests, options } = keyServer()
    const headers = header === undefined ? {} : { "webhook-signature": header }
    const request = new Request("https://r.example", { method: "POST", headers, body: "{}" })
    expect((await verifyWebhook(request, options)).kind).toBe("rejected")
    expect(requests).toHaveLength(0)
  })

  it("rejects the signature of an unknown key, and fetches keys for such no more than once in 30 s", async () => {
    const [key, stranger] = [await newKey("k1"), await newKey("k2")]
    const { requests, options } = keyServer(key)
    for (let i = 0; i < 5; i++) {
      expect((await verifyWebhook(await signedRequest(stranger), options)).kind).toBe("rejected")
    }
    expect(requests).toHaveLength(1)
    nowMs += 31_000
    for (let i = 0; i < 5; i++) await verifyWebhook(await signedRequest(stranger), options)
    expect(requests).toHaveLength(2)
  })

  it("accepts a new key after a rotation, and not the old one any more", async () => {
    const [old, next] = [await newKey("k1"), await newKey("k2")]
    const { state, options } = keyServer(old)
    await verifyWebhook(await signedRequest(old), options)
    state.keys = [next]
    nowMs += 31_000
    expect((await verifyWebhook(await signedRequest(next), options)).kind).toBe("verified")
    expect((await verifyWebhook(await signedRequest(old), options)).kind).toBe("rejected")
  })

  it("uses known keys through an outage of an hour, and no longer", async () => {
    const key = await newKey("k1")
    const { state, options } = keyServer(key)
    await verifyWebhook(await signedRequest(key), options)
    state.respond = () => Promise.reject(new TypeError("fetch failed"))
    nowMs += 1_000_000
    expect((await verifyWebhook(await signedRequest(key), options)).kind).toBe("verified")
    nowMs += 3_000_000
    expect((await verifyWebhook(await signedRequest(key), options)).kind).toBe("unavailable")
  })

  it.each([
    ["a redirect", () => Promise.resolve(new Response(null, { status: 302 }))],
    ["an error", () => Promise.resolve(new Response(null, { status: 500 }))],
    ["no set of keys", () => Promise.resolve(Response.json({}))],
    ["no network", () => Promise.reject(new TypeError("fetch failed"))],
  ])(
    "reports the keys as unavailable after %s, and tries again a second later",
    async (_what, respond) => {
      const key = await newKey("k1")
      const { state, requests, options } = keyServer(key)
      state.respond = respond
      expect((await verifyWebhook(await signedRequest(key), options)).kind).toBe("unavailable")
      expect((await verifyWebhook(await signedRequest(key), options)).kind).toBe("unavailable")
      expect(requests).toHaveLength(1)
      expect(requests[0]?.redirect).toBe("manual")
      nowMs += 1_001
      state.respond = undefined
      expect((await verifyWebhook(await signedRequest(key), options)).kind).toBe("verified")
    },
  )

  it("rejects a body that is too long, and reads no more of it than it can be long", async () => {
    const { options, requests } = keyServer()
    let sent = 0
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        sent++
        controller.enqueue(new Uint8Array(1024 * 1024))
      },
    })
    expect((await verifyWebhook(unsigned(body), options)).kind).toBe("rejected")
    expect(sent).toBeLessThan(30)
    expect(requests).toHaveLength(0)
  })

  it("rejects a body that does not end within 30 s, and lets go of it", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] })
    let isCancelled = false
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(new Uint8Array(1)),
      cancel: () => void (isCancelled = true),
    })
    const verification = verifyWebhook(unsigned(body), keyServer().options)
    await vi.advanceTimersByTimeAsync(30_000)
    expect((await verification).kind).toBe("rejected")
    expect(isCancelled).toBe(true)
    vi.useRealTimers()
  })

  it("reports keys that are too long as unavailable, and reads no more of them", async () => {
    const key = await newKey("k1")
    const { state, options } = keyServer(key)
    let sent = 0
    state.respond = () => {
      const pull = (controller: ReadableStreamDefaultController<Uint8Array>) => {
        sent++
        controller.enqueue(new Uint8Array(64 * 1024).fill(32))
      }
      return Promise.resolve(new Response(new ReadableStream({ pull })))
    }
    expect((await verifyWebhook(await signedRequest(key), options)).kind).toBe("unavailable")
    expect(sent).toBeLessThan(30)
  })

  it("reports a platform without Ed25519 clearly, and the handler responds 503", async () => {
    const key = await newKey("k1")
    const request = await signedRequest(key)
    const { options } = keyServer(key)
    vi.spyOn(crypto.subtle, "importKey").mockRejectedValue(
      new DOMException("Unrecognized algorithm name", "NotSupportedError"),
    )
    const errors: unknown[] = []
    const handler = webhookHandler({
      ...options,
      onBatch() {},
      onError: (error) => errors.push(error),
    })
    expect((await handler(request)).status).toBe(503)
    expect(errors).toMatchObject([
      { message: expect.stringContaining("no WebCrypto with Ed25519") },
    ])
  })

  it("rejects invalid options by name", () => {
    const options = { root, subscription, onBatch() {} }
    expect(() => webhookHandler({ ...options, subscription: "" })).toThrow("subscription")
    expect(() => webhookHandler({ ...options, jwksUrl: "/jwks" })).toThrow("jwksUrl")
    expect(() => webhookHandler({ ...options, maxDurationMs: -1 })).toThrow("maxDurationMs")
    for (const leaseTtlMs of [0, 999, 600_001, Infinity]) {
      expect(() => webhookHandler({ ...options, leaseTtlMs })).toThrow("leaseTtlMs")
    }
    expect(() => webhookHandler({ ...options, waitUntil: 1 as never })).toThrow("waitUntil")
    expect(() => webhookHandler({ ...options, onError: 1 as never })).toThrow("onError")
  })
})

describe("webhookHandler", () => {
  /** A server whose subscription has no stream, and that counts what it is asked. */
  function wakeServer(key: SigningKey) {
    const { options } = keyServer(key)
    const paths: string[] = []
    const fetch: typeof globalThis.fetch = (url, init) => {
      if (String(url) === options.jwksUrl) return options.fetch(url, init)
      paths.push(String(url).slice(root.length))
      return String(url).endsWith("/callback")
        ? Promise.resolve(Response.json({ ok: true, next_wake: false }))
        : new Promise((_, reject) => {
            init?.signal?.addEventListener("abort", () => reject(init.signal?.reason as Error))
          })
    }
    return { paths, options: { ...options, fetch, onBatch() {} } }
  }

  it("responds after the work if waitUntil throws, as Hono's does outside of workers", async () => {
    const key = await newKey("k1")
    const { paths, options } = wakeServer(key)
    const errors: unknown[] = []
    const thrown = new Error("This context has no ExecutionContext")
    const handler = webhookHandler({
      ...options,
      leaseTtlMs: 30_000,
      waitUntil: () => {
        throw thrown
      },
      onError: (error) => errors.push(error),
    })
    expect((await handler(await signedRequest(key))).status).toBe(204)
    expect(errors).toEqual([thrown])
    expect(paths).toEqual(Array(2).fill("/__ds/subscriptions/orders/callback"))
  })

  it("responds 500 if the lease is not known within 10 s, so that the server tries again", async () => {
    const key = await newKey("k1")
    const { paths, options } = wakeServer(key)
    const errors: unknown[] = []
    const handler = webhookHandler({ ...options, onError: (error) => errors.push(error) })
    const request = await signedRequest(key)
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] })
    const response = handler(request)
    await vi.waitFor(() => expect(paths).toEqual(["/__ds/subscriptions/orders"]))
    await vi.advanceTimersByTimeAsync(10_000)
    expect((await response).status).toBe(500)
    expect(errors).toMatchObject([{ code: "TIMEOUT" }])
    vi.useRealTimers()
  })
})
