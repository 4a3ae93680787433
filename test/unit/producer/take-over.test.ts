import { describe, expect, it } from "vitest"
import { FetchBackoffAbortError, IdempotentProducer, StaleEpochError } from "../../../src/index.ts"
import { appendAll, PostDesk, settled, undelivered } from "./post-desk.ts"

describe("takeOver", () => {
  it("sends what is certainly not stored, in a fresh epoch above the one that fenced", async () => {
    const desk = new PostDesk()
    const failed = desk.producer({ maxBatchBytes: 1 })
    appendAll(failed, "abc")
    const CURRENT = 2 ** 52
    ;(await desk.post(0)).fence(CURRENT)
    ;(await desk.post(1)).fence(CURRENT)
    ;(await desk.post(2)).fence(CURRENT)
    await expect(failed.flush()).rejects.toBeInstanceOf(StaleEpochError)
    desk.reply = (post) => post.accept()
    const successor = IdempotentProducer.takeOver(failed)
    await successor.flush()
    expect(successor.epoch).toBeGreaterThan(CURRENT)
    expect(successor.epoch).toBeLessThanOrEqual(CURRENT + 2 ** 20)
    expect(desk.posts.slice(3).map(({ body }) => body)).toEqual(["a", "b", "c"])
    expect(successor.indeterminate()).toEqual([])
  })

  it("names what may be stored and does not send it", async () => {
    const desk = new PostDesk()
    const controller = new AbortController()
    const failed = desk.producer({ maxBatchBytes: 1, maxInFlight: 1, signal: controller.signal })
    appendAll(failed, "abc")
    await settled()
    controller.abort()
    expect([undelivered(failed), failed.indeterminateCount]).toEqual([["a", "b", "c"], 1])
    desk.reply = (post) => post.accept()
    const successor = IdempotentProducer.takeOver(failed)
    await successor.flush()
    expect(desk.posts.slice(1).map(({ body }) => body)).toEqual(["b", "c"])
    expect(successor.indeterminate().map((bytes) => new TextDecoder().decode(bytes))).toEqual(["a"])
  })

  it("is possible for a failed producer only", () => {
    const producer = new PostDesk().producer()
    expect(() => IdempotentProducer.takeOver(producer)).toThrow(
      expect.objectContaining({ code: "BAD_REQUEST" }),
    )
  })
})

describe("a signal of flush() or detach()", () => {
  it("ends the wait of flush(); the producer goes on", async () => {
    const desk = new PostDesk()
    const producer = desk.producer()
    producer.append("a")
    const controller = new AbortController()
    const flushed = producer.flush({ signal: controller.signal })
    const post = await desk.post(0)
    controller.abort()
    await expect(flushed).rejects.toBeInstanceOf(FetchBackoffAbortError)
    post.accept()
    await producer.flush()
    expect(producer.state).toBe("open")
  })

  it("fails the producer that detach() has not finished", async () => {
    const desk = new PostDesk()
    const producer = desk.producer()
    producer.append("a")
    const controller = new AbortController()
    const detached = producer.detach({ signal: controller.signal })
    await desk.post(0)
    controller.abort()
    await expect(detached).rejects.toBeInstanceOf(FetchBackoffAbortError)
    expect([producer.state, undelivered(producer), producer.indeterminateCount]).toEqual([
      "failed",
      ["a"],
      1,
    ])
  })
})
