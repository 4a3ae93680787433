import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import {
  createFetchWithBackoff,
  DurableStream,
  StaleEpochError,
  type IdempotentProducer,
} from "../../../src/index.ts"
import { runInVirtualTime } from "../../support/virtual-time.ts"
import { appendAll, PostDesk, settled, undelivered, type Post } from "./post-desk.ts"
import { ProducerServer } from "./producer-server.ts"

const oneEach = { maxBatchBytes: 1 }
const RANDOM_RANGE = 2 ** 20

const determinateFailures: [string, (post: Post) => void][] = [
  ["429", (post) => post.respond(429)],
  ["500", (post) => post.respond(500)],
  ["503", (post) => post.respond(503)],
  ["a refused connection", (post) => post.refuse()],
]

/** Responds to the first POST with a fault, the others as the server does. */
function failFirst(desk: PostDesk, server: ProducerServer, fault: (post: Post) => void): void {
  let isFirst = true
  desk.reply = (post) => {
    if (isFirst && post.method === "POST") fault(post)
    else server.respond(post)
    isFirst &&= post.method !== "POST"
  }
}

async function flushed(producer: IdempotentProducer): Promise<unknown> {
  return producer.flush().catch((error: unknown) => error)
}

describe("a producer with autoClaim after an earlier instance with the same id", () => {
  it.each([...determinateFailures, ["a lost request", (post: Post) => post.lose()] as const])(
    "stores its messages when the first attempt gets %s",
    async (_name, fault) => {
      const desk = new PostDesk()
      const server = new ProducerServer()
      server.store(0, ["x", "y", "z"])
      failFirst(desk, server, fault)
      await runInVirtualTime({}, async () => {
        const producer = desk.producer({ autoClaim: true, ...oneEach })
        appendAll(producer, "abcde")
        await producer.flush()
      })
      expect(server.log.join("")).toBe("xyzabcde")
    },
  )

  it("stores its messages when it has more batches than the earlier instance stored", async () => {
    const desk = new PostDesk()
    const server = new ProducerServer()
    server.store(0, ["x", "y", "z"])
    desk.reply = (post) => (post.method === "HEAD" ? post.respond(200) : server.respond(post))
    await runInVirtualTime({}, async () => {
      const producer = desk.producer({ autoClaim: true, ...oneEach })
      appendAll(producer, "abcde")
      await producer.flush()
    })
    expect(server.log.join("")).toBe("xyzabcde")
  })

  it("stores its messages on a server that sends Stream-Next-Offset with duplicates", async () => {
    const desk = new PostDesk()
    const server = new ProducerServer()
    server.offsetOnDuplicate = true
    server.store(0, ["x"])
    desk.reply = server.respond
    const producer = desk.producer({ autoClaim: true, ...oneEach })
    appendAll(producer, "abc")
    await producer.flush()
    expect(server.log.join("")).toBe("xabc")
  })

  it("stores its messages when a layer below sends every POST twice", async () => {
    const desk = new PostDesk()
    const server = new ProducerServer()
    server.store(0, ["x", "y"])
    const silent = { fence: vi.fn(), respond: vi.fn(), gap: vi.fn(), accept: vi.fn() }
    desk.reply = (post) => {
      server.respond(Object.assign(Object.create(silent) as Post, post))
      server.respond(post)
    }
    const producer = desk.producer({ autoClaim: true, ...oneEach })
    appendAll(producer, "ab")
    await producer.flush()
    expect(server.log.join("")).toBe("xyab")
  })

  it("takes an epoch of its own: Unix seconds in the upper bits, 20 random bits below", async () => {
    const desk = new PostDesk()
    desk.reply = (post) => post.accept()
    const epochs: number[] = []
    await runInVirtualTime({ startMs: Date.UTC(2027, 4, 1) }, async (clock) => {
      for (let instance = 0; instance < 3; instance++) {
        const producer = desk.producer({ autoClaim: true })
        await producer.send("a")
        const seconds = Math.floor(clock.now() / 1000)
        expect(Math.floor(producer.epoch / RANDOM_RANGE)).toBe(seconds)
        epochs.push(producer.epoch)
      }
    })
    expect(new Set(epochs).size).toBe(3)
    expect(epochs.every(Number.isSafeInteger)).toBe(true)
  })

  it.each([
    ["before this release", Date.UTC(2026, 9, 31)],
    ["after 2100", Date.UTC(2101, 0, 1)],
  ])("bumps the epoch from 0 by a random step if the clock is %s", async (_name, startMs) => {
    const desk = new PostDesk()
    const server = new ProducerServer()
    desk.reply = server.respond
    for (const message of ["a", "b", "c"]) {
      await runInVirtualTime({ startMs, seed: message.charCodeAt(0) }, async () => {
        const producer = desk.producer({ autoClaim: true })
        await producer.send(message)
        await producer.detach()
      })
    }
    expect(server.log).toEqual(["a", "b", "c"])
    expect(desk.numbers[0]).toMatch(/^[1-9]\d*\.0$/)
    expect(server.epoch).toBeLessThan(4 * RANDOM_RANGE)
  })
})

describe("two producers with autoClaim that are fenced by a third", () => {
  it("take different epochs, each a random step above the current one", async () => {
    const epochs: number[] = []
    const CURRENT = 2 ** 52
    for (const seed of [1, 2]) {
      const desk = new PostDesk()
      desk.reply = (post) => (desk.posts.length === 1 ? post.fence(CURRENT) : post.accept())
      await runInVirtualTime({ seed }, async () => {
        const producer = desk.producer({ autoClaim: true })
        await producer.send("a")
        epochs.push(producer.epoch)
      })
    }
    expect(epochs[0]).not.toBe(epochs[1])
    for (const epoch of epochs) {
      expect(epoch).toBeGreaterThan(CURRENT)
      expect(epoch).toBeLessThanOrEqual(CURRENT + RANDOM_RANGE)
    }
  })
})

describe("a duplicate of another producer's batch", () => {
  beforeEach(() => vi.stubGlobal("navigator", { userAgent: "Deno/2.9.6" }))
  afterEach(() => vi.unstubAllGlobals())

  it.each([[{}], [{ epoch: 0, autoClaim: true }]])(
    "fails the producer, indeterminate, when it is the response to the first attempt (%j)",
    async (options) => {
      const desk = new PostDesk()
      const producer = desk.producer(options)
      appendAll(producer, "a")
      ;(await desk.post(0)).duplicate()
      expect(await flushed(producer)).toBeInstanceOf(StaleEpochError)
      expect([undelivered(producer), producer.indeterminateCount]).toEqual([["a"], 1])
      expect(desk.posts.map(({ method }) => method)).toEqual(["POST"])
    },
  )

  it("is recognised whether or not it carries Stream-Next-Offset", async () => {
    const desk = new PostDesk()
    const producer = desk.producer()
    appendAll(producer, "a")
    ;(await desk.post(0)).respond(204, { "Producer-Seq": "0", "Stream-Next-Offset": "7" })
    expect(await flushed(producer)).toBeInstanceOf(StaleEpochError)
  })

  it.each(determinateFailures)("is recognised after %s", async (_name, fault) => {
    const desk = new PostDesk()
    const report = await runInVirtualTime({}, async () => {
      const producer = desk.producer()
      appendAll(producer, "a")
      fault(await desk.post(0))
      ;(await desk.post(1)).duplicate()
      return { error: await flushed(producer), rest: undelivered(producer) }
    })
    expect(report.value.error).toBeInstanceOf(StaleEpochError)
    expect(report.value.rest).toEqual(["a"])
  })

  it("is recognised when Producer-Seq is above what was sent, not above what is queued", async () => {
    const desk = new PostDesk()
    const report = await runInVirtualTime({}, async () => {
      const producer = desk.producer({ ...oneEach, maxInFlight: 1 })
      appendAll(producer, "abcdef")
      ;(await desk.post(0)).lose()
      ;(await desk.post(1)).duplicate(2)
      return { error: await flushed(producer), rest: undelivered(producer).join("") }
    })
    expect(report.value.error).toBeInstanceOf(StaleEpochError)
    expect(report.value.rest).toBe("abcdef")
  })

  it("is recognised behind a later batch that was accepted", async () => {
    const desk = new PostDesk()
    const producer = desk.producer(oneEach)
    appendAll(producer, "abc")
    await settled()
    // An earlier instance with the same epoch stored two batches.
    desk.posts[2]?.accept()
    await settled()
    desk.posts[0]?.duplicate(1)
    desk.posts[1]?.duplicate(1)
    expect(await flushed(producer)).toBeInstanceOf(StaleEpochError)
    expect(undelivered(producer)).toEqual(["a", "b"])
  })

  it("is not seen in the producer's own: after an attempt that may be stored", async () => {
    const desk = new PostDesk()
    const report = await runInVirtualTime({}, async () => {
      const producer = desk.producer()
      const sent = producer.send("a")
      ;(await desk.post(0)).lose()
      ;(await desk.post(1)).duplicate()
      return sent
    })
    expect(report.value).toEqual({ offset: "", duplicate: true })
  })

  it("is not seen in a batch that follows one that was accepted", async () => {
    const desk = new PostDesk()
    const producer = desk.producer()
    const first = producer.send("a")
    ;(await desk.post(0)).accept()
    await first
    const second = producer.send("b")
    ;(await desk.post(1)).duplicate()
    expect(await second).toEqual({ offset: "", duplicate: true })
  })

  it("is not seen in a 204 with neither Producer-Seq nor Producer-Epoch", async () => {
    const desk = new PostDesk()
    const producer = desk.producer()
    const sent = producer.send("a")
    ;(await desk.post(0)).respond(204, { "Stream-Next-Offset": "7" })
    expect(await sent).toEqual({ offset: "7", duplicate: false })
  })

  it("is not possible for the new id of writable()", async () => {
    const desk = new PostDesk()
    desk.reply = (post) => post.duplicate()
    const url = "http://desk.test/stream"
    const handle = new DurableStream({ url, fetch: desk.fetch, contentType: "text/plain" })
    const writer = handle.writable().getWriter()
    await writer.write("a")
    await writer.close()
  })
})

describe("createFetchWithBackoff as the fetch of a producer with autoClaim", () => {
  it("stores once what it sends twice", async () => {
    const desk = new PostDesk()
    const fetch = createFetchWithBackoff(desk.fetch, { initialDelay: 1 })
    const producer = desk.producer({ fetch, autoClaim: true })
    const sent = producer.send("a")
    ;(await desk.post(0)).lose()
    ;(await desk.post(1)).duplicate()
    expect(await sent).toEqual({ offset: "", duplicate: true })
    expect(desk.posts.map(({ method }) => method)).toEqual(["POST", "POST"])
  })
})
