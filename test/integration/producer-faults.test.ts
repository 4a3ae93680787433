import { afterAll, beforeAll, describe, expect, it } from "vitest"
import {
  DurableStream,
  IdempotentProducer,
  StaleEpochError,
  StreamClosedError,
  stream,
  type IdempotentProducerOptions,
} from "../../src/index.ts"
import {
  startBreakingProxy,
  type BreakingProxy,
  type ProxyAction,
} from "../support/breaking-proxy.ts"
import { startReferenceServer, type ReferenceServer } from "../support/reference-server.ts"
import { SeededRandom } from "../support/seeded-random.ts"

let server: ReferenceServer
beforeAll(async () => {
  server = await startReferenceServer()
})
afterAll(() => server.stop())

interface Setting {
  proxy: BreakingProxy
  /** The stream without the proxy in front. */
  url: string
  producer(id?: string, options?: IdempotentProducerOptions): IdempotentProducer
  log(): Promise<unknown[]>
}

async function setUp(proxy: BreakingProxy, requestTimeoutMs = 60_000): Promise<Setting> {
  const url = server.streamUrl("producer")
  await DurableStream.create({ url, contentType: "application/json" })
  const handle = new DurableStream({
    url: proxy.through(url),
    contentType: "application/json",
    requestTimeoutMs,
    backoffOptions: { initialDelay: 1, maxDelay: 5 },
  })
  return {
    proxy,
    url,
    producer: (id = "p", options = {}) => new IdempotentProducer(handle, id, options),
    log: async () => (await stream({ url, live: false })).json(),
  }
}

function numbers(count: number, from = 0): number[] {
  return Array.from({ length: count }, (_, index) => from + index)
}

const BREAKAGES: readonly ProxyAction[] = [
  { kind: "lose-request", how: "reset" },
  { kind: "lose-request", how: "end" },
  { kind: "lose-response", how: "reset" },
  { kind: "lose-response", how: "end" },
  { kind: "cut-in-headers", how: "reset" },
  { kind: "cut-in-headers", how: "end" },
  { kind: "cut", afterBytes: 0, how: "reset" },
  { kind: "cut", afterBytes: 0, how: "end" },
  { kind: "respond", status: 500 },
  { kind: "respond", status: 502 },
  { kind: "respond", status: 503, headers: { "retry-after": "0" } },
  { kind: "respond", status: 504 },
  { kind: "respond", status: 429, headers: { "retry-after": "0" } },
]

function nameOf(action: ProxyAction): string {
  return Object.values(action)
    .filter((value) => typeof value !== "object")
    .join(" ")
}

describe("a producer whose connections break", () => {
  it.each(BREAKAGES.map((action) => [nameOf(action), action] as const))(
    "stores everything once and in order: %s, at each request in turn",
    async (_name, action) => {
      await using proxy = await startBreakingProxy(server.url)
      for (let broken = 0; broken < 6; broken++) {
        const { producer, log } = await setUp(proxy)
        const pass: ProxyAction = { kind: "pass" }
        proxy.next(...numbers(broken).map(() => pass), action, action)
        const writer = producer("p", { maxBatchBytes: 16, maxInFlight: 3 })
        for (const id of numbers(30)) writer.append(id)
        await writer.close(30)
        expect(await log()).toEqual(numbers(31))
      }
    },
  )

  it.each([307, 308])("follows a redirect that keeps the method: %i", async (status) => {
    await using proxy = await startBreakingProxy(server.url)
    const { producer, log, url } = await setUp(proxy)
    proxy.decide = () => ({ kind: "respond", status, headers: { location: url } })
    const writer = producer("p", { maxBatchBytes: 16 })
    for (const id of numbers(20)) writer.append(id)
    await writer.close(20)
    expect(await log()).toEqual(numbers(21))
  })

  it.each([301, 302, 303])("fails where a redirect makes a read of it: %i", async (status) => {
    await using proxy = await startBreakingProxy(server.url)
    const { producer, log, url } = await setUp(proxy)
    proxy.decide = () => ({ kind: "respond", status, headers: { location: url } })
    const writer = producer("p", { maxInFlight: 1 })
    writer.append(1)
    await expect(writer.flush()).rejects.toMatchObject({ code: "PROTOCOL" })
    expect([writer.undelivered().length, writer.indeterminateCount, await log()]).toEqual([
      1,
      0,
      [],
    ])
  })

  it("gives up on a request that hangs, and sends it again", async () => {
    await using proxy = await startBreakingProxy(server.url)
    const { producer, log } = await setUp(proxy, 150)
    proxy.next({ kind: "pass" }, { kind: "hang" })
    const writer = producer("p", { maxBatchBytes: 16 })
    for (const id of numbers(20)) writer.append(id)
    await writer.detach()
    expect(await log()).toEqual(numbers(20))
  })

  it.each(numbers(8, 1))(
    "stores everything once and in order on a bad line, seed %i",
    async (seed) => {
      await using proxy = await startBreakingProxy(server.url)
      const random = new SeededRandom(seed)
      proxy.decide = () => {
        const action = random.chance(0.4) ? random.pick(BREAKAGES) : ({ kind: "pass" } as const)
        // Requests overtake each other.
        return { ...action, delayMs: random.int(0, 8) }
      }
      const { producer, log } = await setUp(proxy)
      const options = { maxBatchBytes: random.int(10, 200), maxInFlight: random.int(1, 8) }
      const writer = producer("p", { ...options, lingerMs: 1 })
      const sent: Promise<unknown>[] = []
      for (const id of numbers(300)) {
        if (random.chance(0.05)) await writer.flush()
        if (random.chance(0.5)) sent.push(writer.send(id))
        else writer.append(id)
      }
      await Promise.all(sent)
      await writer.close('"end"')
      expect(await log()).toEqual([...numbers(300), "end"])
    },
  )
})

describe("a producer and its rivals", () => {
  it("claims in the middle of a pipeline, and stores what is left in order", async () => {
    await using proxy = await startBreakingProxy(server.url)
    const { producer, log } = await setUp(proxy)
    const old = producer("shared", { autoClaim: true, maxBatchBytes: 16 })
    for (const id of numbers(20)) old.append({ old: id })
    await old.flush()
    const rival = producer("shared", { epoch: old.epoch + 5 })
    await rival.send('"rival"')
    for (const id of numbers(20, 20)) old.append({ old: id })
    await old.detach()
    expect(old.epoch).toBeGreaterThan(rival.epoch)
    const all = await log()
    expect(all.filter((message) => message !== "rival")).toEqual(
      numbers(40).map((id) => ({ old: id })),
    )
    await expect(rival.send('"more"')).rejects.toBeInstanceOf(StaleEpochError)
  })

  it("two that claim one id end with one of them, and lose nothing in silence", async () => {
    await using proxy = await startBreakingProxy(server.url)
    const { producer, log } = await setUp(proxy)
    const twins = ["a", "b"].map((name) => {
      const twin = producer("shared", { autoClaim: true, maxBatchBytes: 1, lingerMs: 0 })
      for (const id of numbers(200)) twin.append(`"${name}${id}"`)
      return { name, twin, ended: twin.flush().catch((error: unknown) => error) }
    })
    const endings = await Promise.all(twins.map(({ ended }) => ended))
    for (const ending of endings) {
      if (ending !== undefined) expect(ending).toBeInstanceOf(StaleEpochError)
    }
    const all = await log()
    for (const { name, twin } of twins) {
      const stored = all.filter((message) => String(message).startsWith(name))
      const rest = twin.undelivered().map((bytes) => JSON.parse(new TextDecoder().decode(bytes)))
      expect([...stored, ...rest]).toEqual(numbers(200).map((id) => `${name}${id}`))
    }
  })

  it("takes over from one that is gone without knowing its epoch", async () => {
    await using proxy = await startBreakingProxy(server.url)
    const { producer, log } = await setUp(proxy)
    for (const life of numbers(5)) {
      const writer = producer("job", { autoClaim: true })
      writer.append({ life })
      await writer.detach()
    }
    expect(await log()).toEqual(numbers(5).map((life) => ({ life })))
  })

  it("fails on a stream that somebody has closed, and gives the rest back", async () => {
    await using proxy = await startBreakingProxy(server.url)
    const { producer, url, log } = await setUp(proxy)
    const writer = producer()
    await writer.send('"before"')
    const { finalOffset } = await new DurableStream({ url }).close()
    writer.append('"after"')
    await expect(writer.flush()).rejects.toMatchObject({ code: "STREAM_CLOSED", finalOffset })
    await expect(writer.close('"last"')).rejects.toBeInstanceOf(StreamClosedError)
    expect(new TextDecoder().decode(writer.undelivered()[0])).toBe('"after"')
    expect(await log()).toEqual(["before"])
    expect(await producer("another").close()).toEqual({ finalOffset })
  })
})

describe("a producer of a handle", () => {
  it("sends the handle's headers, params and its own with every request, called for each", async () => {
    await using proxy = await startBreakingProxy(server.url)
    const url = server.streamUrl("producer")
    await DurableStream.create({ url, contentType: "text/plain" })
    const seen: { url: string; headers: Record<string, string> }[] = []
    let tokens = 0
    const handle = new DurableStream({
      url: proxy.through(url),
      headers: { authorization: () => `Bearer ${++tokens}`, "x-both": "handle" },
      params: { tenant: "t" },
      fetch: (input, init) => {
        seen.push({ url: String(input), headers: init?.headers as Record<string, string> })
        return fetch(input, init)
      },
    })
    proxy.next({ kind: "pass" }, { kind: "respond", status: 503 })
    const producer = new IdempotentProducer(handle, "p", { headers: { "x-both": "producer" } })
    producer.append("a")
    await producer.close()
    expect(seen).toHaveLength(4)
    expect(seen.map(({ headers }) => headers.authorization)).toEqual(
      numbers(4, 1).map((count) => `Bearer ${count}`),
    )
    expect(seen.every(({ headers }) => headers["x-both"] === "producer")).toBe(true)
    expect(seen.every((request) => request.url.endsWith("?tenant=t"))).toBe(true)
  })

  it("finds out the content type by itself", async () => {
    await using proxy = await startBreakingProxy(server.url)
    const { url, log } = await setUp(proxy)
    const producer = new IdempotentProducer(new DurableStream({ url }), "p")
    producer.append({ id: 1 })
    producer.append("[2]")
    await producer[Symbol.asyncDispose]()
    expect(await log()).toEqual([{ id: 1 }, [2]])
  })
})
