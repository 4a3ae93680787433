import { describe, expect, it } from "vitest"
import { runInVirtualTime } from "../../support/virtual-time.ts"
import { appendAll, PostDesk, settled, undelivered } from "./post-desk.ts"

const oneEach = { maxBatchBytes: 1 }

describe("pipelining", () => {
  it("has up to maxInFlight requests out, in order, from the start", async () => {
    const desk = new PostDesk()
    const producer = desk.producer({ ...oneEach, maxInFlight: 3 })
    appendAll(producer, "abcde")
    await settled()
    expect(desk.numbers).toEqual(["0.0", "0.1", "0.2"])
    desk.posts[1]?.accept()
    await settled()
    expect(desk.numbers).toEqual(["0.0", "0.1", "0.2", "0.3"])
    desk.reply = (post) => post.accept()
    for (const post of desk.posts) post.accept()
    await producer.flush()
    expect(desk.posts.map(({ body }) => body).join("")).toBe("abcde")
  })

  it("sends what overtook another batch again, in order, once that one is acknowledged", async () => {
    const desk = new PostDesk()
    const producer = desk.producer({ ...oneEach, maxInFlight: 3 })
    appendAll(producer, "abc")
    await settled()
    desk.posts[2]?.gap(0)
    desk.posts[1]?.gap(0)
    await settled()
    expect(desk.posts).toHaveLength(3)
    desk.posts[0]?.accept()
    await settled()
    // Both: the window stays open.
    ;(await desk.post(3)).accept()
    ;(await desk.post(4)).accept()
    await producer.flush()
    expect(desk.numbers).toEqual(["0.0", "0.1", "0.2", "0.1", "0.2"])
    expect([producer.state, desk.posts.length]).toEqual(["open", 5])
  })

  it("takes a 409 that says nothing for too early, where another batch is before it", async () => {
    const desk = new PostDesk()
    const producer = desk.producer({ ...oneEach, maxInFlight: 2 })
    appendAll(producer, "ab")
    await settled()
    // Across origins, from a server that does not expose Producer-Expected-Seq.
    desk.posts[1]?.respond(409)
    await settled()
    expect(producer.state).toBe("open")
    desk.posts[0]?.accept()
    ;(await desk.post(2)).accept()
    await producer.flush()
    expect(desk.numbers).toEqual(["0.0", "0.1", "0.1"])
  })

  it("does not take a first batch of an epoch that comes late for a bad one", async () => {
    const desk = new PostDesk()
    const producer = desk.producer({ ...oneEach, epoch: 4 })
    appendAll(producer, "ab")
    await settled()
    desk.posts[1]?.respond(400)
    desk.posts[0]?.accept()
    ;(await desk.post(2)).accept()
    await producer.flush()
    expect(desk.numbers).toEqual(["4.0", "4.1", "4.1"])
  })

  it("tries only the first batch again and again; what follows waits for its turn", async () => {
    const desk = new PostDesk()
    desk.reply = (post) => post.respond(503)
    await runInVirtualTime({ seed: 3 }, async (clock) => {
      const producer = desk.producer({ ...oneEach, maxInFlight: 4 })
      appendAll(producer, "abcdefgh")
      await clock.sleep(30_000)
      expect(desk.numbers.filter((number) => number === "0.0").length).toBeGreaterThan(10)
      expect(desk.numbers.filter((number) => number !== "0.0")).toEqual(["0.1", "0.2", "0.3"])
      desk.reply = (post) => post.accept()
      await producer.flush()
    })
    const stored = desk.posts.slice(-8).map(({ body }) => body)
    expect(stored.join("")).toBe("abcdefgh")
  })

  it("keeps to a Retry-After with every batch, whichever was told", async () => {
    const desk = new PostDesk()
    const report = await runInVirtualTime({}, async (clock) => {
      const producer = desk.producer({ ...oneEach, maxInFlight: 2 })
      appendAll(producer, "abcd")
      await settled()
      desk.posts[1]?.respond(429, { "Retry-After": "7" })
      await settled()
      desk.reply = (post) => post.accept()
      desk.posts[0]?.accept()
      await clock.sleep(6900)
      const early = desk.posts.length
      await producer.flush()
      return { early, elapsedMs: clock.elapsedMs }
    })
    expect(report.value.early).toBe(2)
    expect(report.value.elapsedMs).toBeGreaterThanOrEqual(7000)
    expect(desk.posts.map(({ body }) => body).join("")).toBe("abbcd")
  })

  it("sends the same bytes under the same number, whatever is lost", async () => {
    const desk = new PostDesk()
    const lost = ["lose", 500, 502, 503, 504, 429, 408] as const
    let turn = 0
    desk.reply = (post) => {
      const fault = lost[turn++]
      if (fault === undefined) post.duplicate()
      else if (fault === "lose") post.lose()
      else post.respond(fault)
    }
    const report = await runInVirtualTime({}, async () => {
      const producer = desk.producer({ maxInFlight: 1 })
      producer.append("abc")
      const sent = producer.send("d")
      await producer.flush()
      return sent
    })
    expect(report.value).toEqual({ offset: "", duplicate: true })
    expect(new Set(desk.posts.map(({ number, body }) => `${number} ${body}`))).toEqual(
      new Set(["0.0 abcd"]),
    )
    expect(desk.posts).toHaveLength(lost.length + 1)
  })

  it("delivers everything once the network is back after an hour, with deliveryTimeoutMs Infinity", async () => {
    const desk = new PostDesk()
    desk.reply = (post) => post.lose()
    const log: string[] = []
    await runInVirtualTime({}, async (clock) => {
      const producer = desk.producer({ maxBatchBytes: 2, deliveryTimeoutMs: Infinity })
      appendAll(producer, "abcdef")
      await clock.sleep(3_600_000)
      appendAll(producer, "ghij")
      desk.reply = (post) => {
        log.push(post.body)
        post.accept()
      }
      await producer.flush()
    })
    expect(log.join("")).toBe("abcdefghij")
  })

  it("gives up after deliveryTimeoutMs, counted from the batch's first attempt", async () => {
    const desk = new PostDesk()
    desk.reply = (post) => post.respond(503)
    const report = await runInVirtualTime({}, async (clock) => {
      const producer = desk.producer({ deliveryTimeoutMs: 3000 })
      await clock.sleep(1000)
      appendAll(producer, "ab")
      const error = await producer.flush().catch((thrown: unknown) => thrown)
      return { error, rest: undelivered(producer), doubt: producer.indeterminateCount }
    })
    expect(report.value.error).toMatchObject({ code: "TIMEOUT", indeterminate: false })
    expect(String(report.value.error)).toMatch(/3000 ms.*503/)
    expect(report.value).toMatchObject({ rest: ["a", "b"], doubt: 0 })
    expect(Math.abs(report.elapsedMs - 4001)).toBeLessThan(3)
    expect(report.leftoverTimers).toEqual([])
  })

  it("does not wait for a response beyond deliveryTimeoutMs, and knows that it is in doubt", async () => {
    const desk = new PostDesk()
    const report = await runInVirtualTime({}, async () => {
      const producer = desk.producer({ deliveryTimeoutMs: 3000 })
      appendAll(producer, "ab")
      const error = await producer.flush().catch((thrown: unknown) => thrown)
      return { error, doubt: producer.indeterminateCount }
    })
    expect(report.value).toMatchObject({
      error: { code: "TIMEOUT", indeterminate: true },
      doubt: 2,
    })
    expect(desk.posts[0]?.isAborted).toBe(true)
  })

  it("takes a batch without a response for stored where a later one is acknowledged", async () => {
    const desk = new PostDesk()
    const report = await runInVirtualTime({}, async () => {
      const producer = desk.producer({ ...oneEach, deliveryTimeoutMs: 3000 })
      const first = producer.send("a")
      const second = producer.send("b")
      ;(await desk.post(1)).accept()
      await producer.flush()
      return [await first, await second, producer.state]
    })
    expect(report.value).toEqual([
      { offset: "", duplicate: true },
      { offset: "after-0.1", duplicate: false },
      "open",
    ])
  })
})
