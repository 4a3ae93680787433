import { createServer, request as httpRequest } from "node:http"
import { connect, type AddressInfo } from "node:net"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { DurableStream } from "../../src/index.ts"
import {
  Subscriptions,
  verifyWebhook,
  webhookHandler,
  type WebhookHandlerOptions,
  type WorkerEvent,
} from "../../src/subscriptions/index.ts"
import { startSubscriptionServer } from "../support/subscription-server.ts"
import { serve } from "../../examples/webhook-receiver/node-server.ts"
import { startWebhookReceiver } from "../support/webhook-receiver.ts"

interface Message {
  n: number
}

let server: Awaited<ReturnType<typeof startSubscriptionServer>>
let count = 0
beforeAll(async () => {
  server = await startSubscriptionServer()
})
afterAll(() => server[Symbol.asyncDispose]())

/** A webhook subscription of streams of its own, and a receiver for it. */
async function prepare(
  names: readonly string[],
  options: Partial<WebhookHandlerOptions<Message>> & { serverLeaseTtlMs?: number },
) {
  const folder = `hook-${++count}`
  const { serverLeaseTtlMs: leaseTtlMs = 5_000, ...given } = options
  const paths = names.map((name) => `${folder}/${name}`)
  const json = { contentType: "application/json" }
  for (const path of paths) await DurableStream.create({ url: server.streamUrl(path), ...json })
  const subscriptions = new Subscriptions({ root: server.root })
  const id = `hooks ${count}`
  const events: WorkerEvent[] = []
  const errors: unknown[] = []
  const handler = webhookHandler<Message>({
    root: server.root,
    subscription: id,
    backoffOptions: { initialDelay: 5, maxDelay: 20 },
    observe: (event) => events.push(event),
    onError: (error) => errors.push(error),
    onBatch: () => undefined,
    ...given,
  })
  const receiver = await startWebhookReceiver(handler)
  await subscriptions.create(id, {
    type: "webhook",
    pattern: `${folder}/*`,
    webhook: { url: receiver.url },
    leaseTtlMs,
  })
  const areAcked = async () => {
    const { streams } = await subscriptions.get(id)
    const heads = await Promise.all(
      paths.map((path) => DurableStream.head({ url: server.streamUrl(path) })),
    )
    return paths.every(
      (path, index) =>
        streams.find((stream) => stream.path === path)?.ackedOffset ===
        (heads[index] as { offset?: string }).offset,
    )
  }
  return { id, paths, subscriptions, handler, receiver, events, errors, areAcked }
}

type Prepared = Awaited<ReturnType<typeof prepare>>

function resend({ receiver, handler }: Prepared, change: Partial<RequestInit> = {}) {
  const { headers, body } = receiver.requests[0]!
  return handler(new Request(receiver.url, { method: "POST", headers, body, ...change }))
}

describe("a webhook", () => {
  it("is verified, handled, acknowledged and ended by the callback; the response never says done", async () => {
    const seen: string[] = []
    const prepared = await prepare(["a", "b"], {
      onBatch: ({ items }, { path }) => void seen.push(...items.map(({ n }) => `${path} ${n}`)),
    })
    await using receiver = prepared.receiver
    for (const path of prepared.paths) await server.append(path, { n: 1 })
    await expect.poll(() => new Set(seen).size).toBe(2)
    await expect.poll(prepared.areAcked).toBe(true)
    await expect.poll(() => receiver.requests[0]?.response?.status).toBe(204)
    expect(prepared.errors).toEqual([])
    expect(prepared.events.some(({ kind }) => kind === "released")).toBe(true)
  })

  it("begins with an empty callback, and sends the wake's token there alone, in place of the caller's Authorization", async () => {
    const seen: { path: string; authorization: string | null; body: unknown }[] = []
    const prepared = await prepare(["a"], {
      leaseTtlMs: 5_000,
      headers: { authorization: "Bearer mine" },
      fetch: (input, init) => {
        const { pathname } = new URL(String(input))
        const authorization = new Headers(init?.headers).get("authorization")
        seen.push({ path: pathname, authorization, body: init?.body })
        return fetch(input, init)
      },
    })
    await using receiver = prepared.receiver
    await server.append(prepared.paths[0]!, { n: 1 })
    await expect.poll(prepared.areAcked).toBe(true)
    await expect.poll(() => receiver.requests[0]?.response?.status).toBe(204)
    const { callback_token } = JSON.parse(new TextDecoder().decode(receiver.requests[0]!.body)) as {
      callback_token: string
    }
    // The keys are asked for once for all tests of this file.
    const ofKeys = seen.filter(({ path }) => path.endsWith("/jwks.json"))
    for (const { authorization } of ofKeys) expect(authorization).toBeNull()
    const [first, read, ...callbacks] = seen.slice(ofKeys.length)
    expect(first?.path.endsWith("/callback")).toBe(true)
    expect(JSON.parse(String(first?.body))).toMatchObject({ acks: [] })
    expect(String(first?.body)).not.toContain("done")
    expect([read?.path.endsWith("/a"), read?.authorization]).toEqual([true, "Bearer mine"])
    for (const { path, authorization } of [first!, ...callbacks]) {
      expect([path.endsWith("/callback"), authorization]).toEqual([
        true,
        `Bearer ${callback_token}`,
      ])
    }
    expect(JSON.parse(String(callbacks.at(-1)?.body))).toMatchObject({ done: true })
    expect(JSON.stringify([prepared.events, prepared.errors])).not.toContain(callback_token)
  })

  it("responds 401 without a reason to a body that was changed, and to one of another subscription", async () => {
    const prepared = await prepare(["a"], {})
    await using receiver = prepared.receiver
    await server.append(prepared.paths[0]!, { n: 1 })
    await expect.poll(prepared.areAcked).toBe(true)
    const body = receiver.requests[0]!.body.slice()
    body[body.length - 3]! ^= 1
    const tampered = await resend(prepared, { body })
    expect([tampered.status, await tampered.text()]).toEqual([401, ""])
    expect((await resend(prepared, { headers: {} })).status).toBe(401)
    const { headers, body: original } = receiver.requests[0]!
    const request = new Request(receiver.url, { method: "POST", headers, body: original })
    await expect(
      verifyWebhook(request, { root: server.root, subscription: "another" }),
    ).resolves.toEqual({ kind: "rejected" })
  })

  it("responds 204 to a replay and does not handle it", async () => {
    let handled = 0
    const prepared = await prepare(["a"], { onBatch: () => (handled += 1) })
    await using receiver = prepared.receiver
    await server.append(prepared.paths[0]!, { n: 1 })
    await expect.poll(prepared.areAcked).toBe(true)
    await expect.poll(() => receiver.requests[0]?.response?.status).toBe(204)
    const replay = await resend(prepared)
    expect(replay.status).toBe(204)
    expect(handled).toBe(1)
  })

  it("does not start a wake again that is running in this process", async () => {
    let handled = 0
    let finish = () => {}
    const prepared = await prepare(["a"], {
      onBatch: () => {
        handled++
        return new Promise<void>((resolve) => (finish = resolve))
      },
    })
    await using receiver = prepared.receiver
    await server.append(prepared.paths[0]!, { n: 1 })
    await expect.poll(() => handled).toBe(1)
    expect(receiver.requests.length).toBeGreaterThan(0)
    const again = resend(prepared)
    await new Promise((resolve) => setTimeout(resolve, 50))
    finish()
    expect((await again).status).toBe(204)
    expect(handled).toBe(1)
  })

  it("responds before the work with waitUntil", async () => {
    let finish = () => {}
    const works: Promise<void>[] = []
    const prepared = await prepare(["a"], {
      waitUntil: (work) => void works.push(work),
      onBatch: () => new Promise<void>((resolve) => (finish = resolve)),
    })
    await using receiver = prepared.receiver
    await server.append(prepared.paths[0]!, { n: 1 })
    await expect.poll(() => prepared.events.some(({ kind }) => kind === "claimed")).toBe(true)
    expect(receiver.requests[0]?.response?.status).toBe(204)
    await expect.poll(() => (finish(), prepared.areAcked())).toBe(true)
    await Promise.all(works)
  })

  it("stops at a batch after maxDurationMs, acknowledges it, and is woken again for the rest", async () => {
    const seen: string[] = []
    const prepared = await prepare(["a", "b", "c"], {
      maxDurationMs: 1,
      onBatch: async (_batch, { path }) => {
        seen.push(path)
        await new Promise((resolve) => setTimeout(resolve, 5))
      },
    })
    await using receiver = prepared.receiver
    for (const path of prepared.paths) await server.append(path, { n: 1 })
    await expect.poll(prepared.areAcked).toBe(true)
    expect(seen.sort()).toEqual(prepared.paths)
    expect(receiver.requests.length).toBeGreaterThanOrEqual(3)
  })

  it("acknowledges nothing more once its lease has expired, and the next wake handles the batch again", async () => {
    let isCut = false
    const callbacks: string[] = []
    const starts: string[] = []
    const prepared = await prepare(["a"], {
      serverLeaseTtlMs: 1_000,
      fetch: (input, init) => {
        const url = String(input)
        if (url.endsWith("/callback")) {
          callbacks.push(String(init?.body))
          if (isCut) return Promise.reject(new TypeError("fetch failed"))
        }
        return fetch(input, init)
      },
      onBatch: (_batch, { startOffset, signal }) => {
        starts.push(startOffset)
        if (starts.length > 1) return undefined
        isCut = true
        return new Promise<void>((resolve) => {
          signal.addEventListener("abort", () => {
            isCut = false
            resolve()
          })
        })
      },
    })
    await using receiver = prepared.receiver
    await server.append(prepared.paths[0]!, { n: 1 })
    await expect.poll(prepared.areAcked).toBe(true)
    expect(receiver.requests.length).toBeGreaterThan(0)
    expect(new Set(starts).size).toBe(1)
    expect(starts.length).toBe(2)
    const withAcks = callbacks.filter((body) => !body.includes('"acks":[]'))
    const generations = withAcks.map(
      (text) => (JSON.parse(text) as { generation: number }).generation,
    )
    expect(new Set(generations).size).toBe(1)
  })

  it("calls back through its own root, not through the callback_url of the request", async () => {
    const target = new URL(server.root)
    const paths: string[] = []
    const proxy = createServer((incoming, outgoing) => {
      paths.push(incoming.url ?? "")
      const { method, headers, url } = incoming
      const forwarded = httpRequest(
        { port: target.port, path: url, method, headers },
        (response) => {
          outgoing.writeHead(response.statusCode ?? 500, response.headers)
          response.pipe(outgoing)
        },
      )
      incoming.pipe(forwarded)
    })
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve))
    const root = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}${target.pathname}`
    const hosts = new Set<string>()
    const prepared = await prepare(["a"], {
      root,
      fetch: (input, init) => {
        hosts.add(new URL(String(input)).host)
        return fetch(input, init)
      },
    })
    await using receiver = prepared.receiver
    await server.append(prepared.paths[0]!, { n: 1 })
    await expect.poll(prepared.areAcked).toBe(true)
    expect(receiver.requests.length).toBeGreaterThan(0)
    expect([...hosts]).toEqual([new URL(root).host])
    expect(paths.some((path) => path.endsWith("/callback"))).toBe(true)
    proxy.closeAllConnections()
    proxy.close()
  })
})

describe("the adapter for Node's http of the example", () => {
  const signature = `webhook-signature: t=${Math.floor(Date.now() / 1000)},kid=k,ed25519=${"A".repeat(86)}`

  it.each([
    ["a GET, as of a browser", "GET / HTTP/1.1", "401"],
    ["a method that fetch forbids", "TRACE / HTTP/1.1", "400"],
    ["the URL of a proxy's request", "POST http://x:y/ HTTP/1.1", "401"],
    [
      "a client that leaves in the middle of its body",
      "POST / HTTP/1.1\r\ncontent-length: 9",
      undefined,
    ],
  ])("survives %s", async (_what, head, status) => {
    const handler = webhookHandler({ root: server.root, subscription: "s", onBatch() {} })
    const receiver = await serve(handler)
    try {
      const port = Number(new URL(receiver.url).port)
      const response = await new Promise<string>((resolve) => {
        const socket = connect(port, "127.0.0.1")
        socket.write(
          `${head}\r\nhost: x\r\n${signature}\r\n\r\n${status === undefined ? "abc" : ""}`,
          () => {
            if (status === undefined) socket.destroy()
          },
        )
        socket.once("data", (data) => resolve(String(data)))
        socket.once("close", () => resolve(""))
      })
      if (status !== undefined) expect(response.slice(9, 12)).toBe(status)
      expect((await fetch(receiver.url, { method: "POST", body: "{}" })).status).toBe(401)
    } finally {
      await receiver.stop()
    }
  })
})
