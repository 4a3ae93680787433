import { existsSync } from "node:fs"
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest"
import { DurableStream, stream } from "../../src/index.ts"
import {
  startBreakingProxy,
  type BreakingProxy,
  type ProxyAction,
} from "../support/breaking-proxy.ts"
import { startReferenceServer, type ReferenceServer } from "../support/reference-server.ts"
import { runtimesIn, startWorkerd } from "./runtime.ts"

const { binary = "" } =
  runtimesIn(inject("binariesFolder")).find(({ name }) => name === "workerd") ?? {}

describe.skipIf(!existsSync(binary))("the example of Cloudflare Workers, in workerd", () => {
  let server: ReferenceServer
  /** Between the worker and the server. */
  let proxy: BreakingProxy
  let worker: Awaited<ReturnType<typeof startWorkerd>>
  beforeAll(async () => {
    server = await startReferenceServer({ longPollTimeout: 500 })
    proxy = await startBreakingProxy(server.url)
    worker = await startWorkerd(binary, inject("smokeFolder"), "cloudflare-worker", {
      STREAMS_URL: proxy.url,
      STREAMS_TOKEN: "secret",
    })
  })
  afterAll(async () => {
    await worker?.stop()
    await proxy?.stop()
    await server?.stop()
  })

  /** A stream, and its url at the worker. */
  async function createStream() {
    const handle = await DurableStream.create({
      url: server.streamUrl(),
      contentType: "application/json",
    })
    return { handle, url: handle.url.replace(server.url, `http://127.0.0.1:${worker.port}`) }
  }
  const post = async (url: string, body: unknown) =>
    (await fetch(url, { method: "POST", body: JSON.stringify(body) })).status
  const stored = async (url: string) => (await stream<number>({ url, live: false })).json()

  it("stores what requests append, also at the same time", async () => {
    const { url } = await createStream()
    const numbers = Array.from({ length: 20 }, (_, n) => n)
    const statuses = await Promise.all(numbers.map((n) => post(url, n)))
    expect(new Set(statuses)).toEqual(new Set([201]))
    expect((await stored(url)).sort((a, b) => a - b)).toEqual(numbers)
  })

  it("responds before a producer's messages are stored, and stores them once and in order", async () => {
    const { url } = await createStream()
    const numbers = Array.from({ length: 200 }, (_, n) => n)
    let isDown = true
    // What is not numbered would be lost or stored twice.
    const actions: ProxyAction[] = [
      { kind: "lose-response", how: "reset" },
      { kind: "respond", status: 502 },
    ]
    proxy.decide = ({ method }) => {
      if (method !== "POST") return { kind: "pass" }
      if (isDown) return { kind: "respond", status: 503 }
      return actions.shift() ?? { kind: "pass" }
    }
    expect(await post(url, numbers)).toBe(202)
    expect(await stored(url)).toEqual([])
    isDown = false
    await expect.poll(() => actions).toEqual([])
    await expect.poll(() => stored(url)).toEqual(numbers)
  })

  it.each(["sse", "long-poll"] as const)("passes a live read on: %s", async (live) => {
    const { handle, url } = await createStream()
    await handle.append(1)
    const transports: string[] = []
    const response = await stream<number>({
      url,
      live,
      observe(event) {
        if (event.kind !== "response" || transports.includes(event.transport)) return
        transports.push(event.transport)
        // A worker that does not pass on what it has would not have responded.
        if (event.transport === live) void post(url, 2)
      },
    })
    const seen: number[] = []
    for await (const { items } of response.jsonBatches()) {
      seen.push(...items)
      if (seen.length === 2) await handle.close()
    }
    expect(seen).toEqual([1, 2])
    expect(transports).toEqual(["catch-up", live])
  })

  it("sends its token to the server, which no client sees", async () => {
    const { url } = await createStream()
    const before = proxy.requests.length
    await post(url, 1)
    const response = await fetch(url)
    expect([...response.headers].join()).not.toContain("secret")
    const sent = proxy.requests.slice(before).map(({ headers }) => headers.authorization)
    expect(sent).toEqual(["Bearer secret", "Bearer secret"])
  })
})
