import { afterEach, expect, it, vi } from "vitest"
import { cors, DurableStream, IdempotentProducer, stream } from "../../src/index.ts"
import { rejection } from "../support/rejection.ts"
import { startReferenceServer } from "../support/reference-server.ts"

afterEach(() => vi.restoreAllMocks())

/** What pages may send and see without the server's consent. */
const SAFE_TO_SEND = ["accept"]
/** `content-encoding` is read of a response of the page's own origin only. */
const SAFE_TO_READ = ["cache-control", "content-encoding", "content-length", "content-type"]

/** Everything that a program can do with a stream, and what servers can respond with. */
async function useEverything(origin: string, fetch: typeof globalThis.fetch): Promise<void> {
  const shared = { fetch, headers: { Authorization: "Bearer t" }, warnOnHttp: false }
  const text = { ...shared, url: `${origin}/text`, contentType: "text/plain" }
  const log = await DurableStream.create({ ...text, ttlSeconds: 60, body: "ab" })
  await log.head()
  const expiresAt = new Date(Date.now() + 60_000).toISOString()
  await DurableStream.create({ ...text, url: `${origin}/expiring`, expiresAt })
  const start = (await log.head()).offset
  await log.append("cd", { seq: "1" })
  await log.appendWithResult("ef", { expectedOffset: (await log.head()).offset })
  await log.fork({ url: "/fork", offset: start, subOffset: 1 })
  const zombie = new IdempotentProducer(log, "p", { epoch: 0 })
  await zombie.send("x")
  const producer = new IdempotentProducer(log, "p", { epoch: 1 })
  await producer.send("y")
  zombie.append("z")
  await rejection(zombie.flush())
  const numbers = { producerId: "p", producerEpoch: 1 }
  await log.appendWithResult("y", { ...numbers, producerSeq: 0 })
  await log.appendWithResult("z", { ...numbers, producerSeq: 9 })
  for (const live of ["sse", "long-poll"] as const) {
    const octets = { ...shared, url: `${origin}/${live}`, contentType: "application/octet-stream" }
    const handle = await DurableStream.create({ ...octets, body: "a" })
    const response = await stream({ ...octets, live })
    response.subscribeBytes(async ({ upToDate }) => {
      if (upToDate && !response.streamClosed) await handle.close()
    })
    await response.closed
  }
  await log.close({ body: "end" })
  await log.delete()
  const backoffOptions = { initialDelay: 0, maxDelay: 0 }
  const busy = vi.fn(() => new Response(null, { status: 503, headers: { "retry-after": "0" } }))
  const retried: typeof fetch = (input, init) =>
    busy.mock.calls.length < 1 ? Promise.resolve(busy()) : fetch(input, init)
  await rejection(stream({ ...text, fetch: retried, backoffOptions }))
}

it("cors lists exactly the headers that the client sends and reads, and its methods", async () => {
  await using server = await startReferenceServer({ longPollTimeout: 500 })
  const sent = new Set<string>()
  const methods = new Set<string>()
  const fetch: typeof globalThis.fetch = (input, init = {}) => {
    methods.add(init.method ?? "GET")
    for (const name of Object.keys(init.headers ?? {})) sent.add(name.toLowerCase())
    return globalThis.fetch(input, init)
  }
  const read = new Set<string>()
  const noting = <T>(original: (this: Headers, name: string) => T) =>
    function (this: Headers, name: string): T {
      read.add(name.toLowerCase())
      return original.call(this, name)
    }
  const { get, has } = Headers.prototype
  vi.spyOn(Headers.prototype, "get").mockImplementation(noting(get))
  vi.spyOn(Headers.prototype, "has").mockImplementation(noting(has))
  await useEverything(server.url, fetch)
  const names = (list: Iterable<string>, safe: readonly string[]) =>
    [...new Set([...list].map((name) => name.toLowerCase()))]
      .filter((name) => !safe.includes(name))
      .sort()
  expect(names(sent, SAFE_TO_SEND)).toEqual(names(cors.allowedHeaders, SAFE_TO_SEND))
  // `Location` is for programs that look at a response themselves.
  expect(names([...read, "location"], SAFE_TO_READ)).toEqual(
    names(cors.exposedHeaders, SAFE_TO_READ),
  )
  expect([...methods].sort()).toEqual([...cors.allowedMethods].sort())
})
