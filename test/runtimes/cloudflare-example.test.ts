import { existsSync } from "node:fs"
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest"
import { DurableStream, stream } from "../../src/index.ts"
import { startReferenceServer, type ReferenceServer } from "../support/reference-server.ts"
import { runtimesIn, startWorkerd } from "./runtime.ts"

const { binary = "" } =
  runtimesIn(inject("binariesFolder")).find(({ name }) => name === "workerd") ?? {}

describe.skipIf(!existsSync(binary))("the example of Cloudflare Workers, in workerd", () => {
  let server: ReferenceServer
  let worker: Awaited<ReturnType<typeof startWorkerd>>
  beforeAll(async () => {
    server = await startReferenceServer({ longPollTimeout: 500 })
    worker = await startWorkerd(binary, inject("smokeFolder"), "cloudflare-worker", {
      STREAMS_URL: server.url,
      STREAMS_TOKEN: "secret",
    })
  })
  afterAll(async () => {
    await worker?.stop()
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

  it("stores what requests append, each with a handle of its own, also at the same time", async () => {
    const { url } = await createStream()
    const numbers = Array.from({ length: 20 }, (_, n) => n)
    const statuses = await Promise.all(numbers.map((n) => post(url, n)))
    expect(new Set(statuses)).toEqual(new Set([201]))
    expect((await stored(url)).sort((a, b) => a - b)).toEqual(numbers)
  })

  it("responds before a producer's messages are stored, and stores them once and in order", async () => {
    const { url } = await createStream()
    const numbers = Array.from({ length: 200 }, (_, n) => n)
    expect(await post(url, numbers)).toBe(202)
    await expect.poll(() => stored(url)).toEqual(numbers)
  })

  it.each(["sse", "long-poll"] as const)("passes a live read on: %s", async (live) => {
    const { handle, url } = await createStream()
    await handle.append(1)
    const transports = new Set<string>()
    const response = await stream<number>({
      url,
      live,
      observe: (event) => event.kind === "response" && transports.add(event.transport),
    })
    const seen: number[] = []
    for await (const { items, upToDate } of response.jsonBatches()) {
      seen.push(...items)
      if (upToDate && seen.length === 1) await post(url, 2)
      if (seen.length === 2) await handle.close()
    }
    expect([seen, [...transports]]).toEqual([
      [1, 2],
      ["catch-up", live],
    ])
  })
})
