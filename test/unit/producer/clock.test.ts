import { describe, expect, it } from "vitest"
import { runInVirtualTime } from "../../support/virtual-time.ts"
import { appendAll, PostDesk, undelivered } from "./post-desk.ts"

const HOUR_MS = 3_600_000

describe("a wall clock that is set", () => {
  it("back by an hour during a back-off does not delay the next attempt", async () => {
    const desk = new PostDesk()
    const report = await runInVirtualTime({}, async (clock) => {
      const producer = desk.producer({ maxBatchBytes: 1 })
      appendAll(producer, "ab")
      ;(await desk.post(0)).respond(503, { "Retry-After": "2" })
      desk.posts[1]?.gap(0)
      await clock.sleep(100)
      clock.setWallClock(-HOUR_MS)
      desk.reply = (post) => post.accept()
      await producer.flush()
    })
    expect(report.elapsedMs).toBeLessThan(10_000)
  })

  it("back by an hour does not extend deliveryTimeoutMs", async () => {
    const desk = new PostDesk()
    desk.reply = (post) => post.respond(503)
    const report = await runInVirtualTime({}, async (clock) => {
      const producer = desk.producer({ deliveryTimeoutMs: 5000 })
      appendAll(producer, "a")
      await clock.sleep(1000)
      clock.setWallClock(-HOUR_MS)
      return producer.flush().catch((error: unknown) => error)
    })
    expect(report.value).toMatchObject({ code: "TIMEOUT" })
    expect(report.elapsedMs).toBeLessThan(6000)
  })

  it("forward by ten minutes does not end the delivery", async () => {
    const desk = new PostDesk()
    const report = await runInVirtualTime({}, async (clock) => {
      const producer = desk.producer()
      appendAll(producer, "a")
      ;(await desk.post(0)).respond(503)
      clock.setWallClock(600_000)
      ;(await desk.post(1)).respond(503)
      desk.reply = (post) => post.accept()
      ;(await desk.post(2)).accept()
      await producer.flush()
    })
    expect(report.elapsedMs).toBeLessThan(5000)
  })
})

describe("a machine that was suspended for longer than deliveryTimeoutMs", () => {
  it("makes one more attempt before the producer fails", async () => {
    const desk = new PostDesk()
    const report = await runInVirtualTime({}, async (clock) => {
      const producer = desk.producer({ deliveryTimeoutMs: 30_000 })
      appendAll(producer, "a")
      await desk.post(0)
      await clock.sleep(1000)
      // The timers have run down meanwhile, and the connection is gone without a word.
      clock.suspend(HOUR_MS, "overdue")
      ;(await desk.post(1)).duplicate()
      await producer.flush()
      return producer.state
    })
    expect(report.value).toBe("open")
    expect(desk.numbers).toEqual(["0.0", "0.0"])
  })

  it("fails the producer when that attempt fails as well", async () => {
    const desk = new PostDesk()
    const report = await runInVirtualTime({}, async (clock) => {
      const producer = desk.producer({ deliveryTimeoutMs: 30_000 })
      appendAll(producer, "a")
      await desk.post(0)
      await clock.sleep(1000)
      clock.suspend(HOUR_MS, "overdue")
      desk.reply = (post) => post.lose()
      ;(await desk.post(1)).lose()
      const error = await producer.flush().catch((thrown: unknown) => thrown)
      return { error, rest: undelivered(producer), count: producer.indeterminateCount }
    })
    expect(report.value).toMatchObject({
      error: { code: "TIMEOUT", indeterminate: true },
      rest: ["a"],
      count: 1,
    })
    expect(report.leftoverTimers).toEqual([])
  })
})
