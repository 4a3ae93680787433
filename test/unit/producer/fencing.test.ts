import { describe, expect, it } from "vitest"
import { FetchError, SequenceGapError, StaleEpochError } from "../../../src/index.ts"
import { runInVirtualTime } from "../../support/virtual-time.ts"
import { appendAll, PostDesk, settled, undelivered } from "./post-desk.ts"

const claiming = { epoch: 0, autoClaim: true, maxBatchBytes: 1 }

describe("fencing", () => {
  it("without autoClaim fails the producer with StaleEpochError", async () => {
    const desk = new PostDesk()
    desk.reply = (post) => post.fence(3)
    const producer = desk.producer()
    appendAll(producer, "ab")
    const error = await producer.flush().catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(StaleEpochError)
    expect(error).toMatchObject({ currentEpoch: 3, code: "STALE_EPOCH", status: 403 })
    expect(String(error)).toContain("http://desk.test/stream:")
    expect([desk.posts.length, undelivered(producer), producer.indeterminateCount]).toEqual([
      1,
      ["a", "b"],
      0,
    ])
  })

  it("of the first batch, which is sent alone, makes the producer bump its epoch", async () => {
    const desk = new PostDesk()
    const producer = desk.producer(claiming)
    appendAll(producer, "abc")
    await settled()
    expect(desk.numbers).toEqual(["0.0"])
    desk.posts[0]?.fence(6)
    ;(await desk.post(1)).accept()
    await settled()
    expect(desk.numbers).toEqual(["0.0", "7.0", "7.1", "7.2"])
    for (const post of desk.posts) post.accept()
    await producer.flush()
    expect(desk.posts.slice(1).map(({ body }) => body)).toEqual(["a", "b", "c"])
  })

  it("makes the producer bump its epoch once, also if a retry falls due while it waits to do so", async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const desk = new PostDesk()
      await runInVirtualTime({ seed }, async () => {
        const producer = desk.producer(claiming)
        appendAll(producer, "a")
        ;(await desk.post(0)).fence(6)
        ;(await desk.post(1)).accept()
        await settled()
        appendAll(producer, "bc")
        ;(await desk.post(2)).respond(500)
        // The second bump in a row comes after a back-off of its own.
        ;(await desk.post(3)).fence(8)
        desk.reply = (post) => setTimeout(() => post.accept(), 20)
        await producer.flush()
      })
      expect(desk.numbers, `seed ${seed}`).toEqual(["0.0", "7.0", "7.1", "7.2", "9.0", "9.1"])
    }
  })

  it("in the middle of a pipeline makes the producer bump its epoch once no request is pending", async () => {
    const desk = new PostDesk()
    const producer = desk.producer(claiming)
    appendAll(producer, "0")
    ;(await desk.post(0)).accept()
    appendAll(producer, "abcd")
    await settled()
    const [, a, b, c, d] = desk.posts
    c?.fence(4)
    d?.fence(4)
    await settled()
    expect(desk.posts).toHaveLength(5)
    a?.accept()
    b?.fence(4)
    await settled()
    expect(desk.numbers.slice(5)).toEqual(["5.0"])
    desk.reply = (post) => post.accept()
    desk.posts[5]?.accept()
    await producer.flush()
    expect(desk.posts.slice(5).map(({ number, body }) => number + body)).toEqual([
      "5.0b",
      "5.1c",
      "5.2d",
    ])
  })

  it("fails the producer if a batch is indeterminate", async () => {
    const desk = new PostDesk()
    const report = await runInVirtualTime({}, async () => {
      const producer = desk.producer(claiming)
      appendAll(producer, "ab")
      ;(await desk.post(0)).lose()
      ;(await desk.post(1)).fence(4)
      const error = await producer.flush().catch((thrown: unknown) => thrown)
      return { error, rest: undelivered(producer), doubt: producer.indeterminateCount }
    })
    expect(report.value).toMatchObject({ error: { currentEpoch: 4 }, rest: ["a", "b"], doubt: 1 })
    expect(report.value.error).toBeInstanceOf(StaleEpochError)
    expect(String(report.value.error)).toContain("http://desk.test/stream:")
    expect(desk.posts).toHaveLength(2)
  })

  it("makes the producer bump its epoch if a later batch acknowledges the one without a response", async () => {
    const desk = new PostDesk()
    await runInVirtualTime({}, async () => {
      const producer = desk.producer(claiming)
      appendAll(producer, "0")
      ;(await desk.post(0)).accept()
      appendAll(producer, "abc")
      ;(await desk.post(3)).fence(4)
      desk.posts[1]?.lose()
      desk.posts[2]?.accept()
      const claim = await desk.post(4)
      expect(claim.number + claim.body).toBe("5.0c")
      claim.accept()
      await producer.flush()
    })
  })

  it("makes the producer bump its epoch after 500 and 503, which leave nothing indeterminate", async () => {
    const desk = new PostDesk()
    await runInVirtualTime({}, async () => {
      const producer = desk.producer(claiming)
      appendAll(producer, "a")
      ;(await desk.post(0)).respond(503)
      ;(await desk.post(1)).respond(500)
      ;(await desk.post(2)).fence(1)
      ;(await desk.post(3)).accept()
      await producer.flush()
    })
    expect(desk.numbers).toEqual(["0.0", "0.0", "0.0", "2.0"])
  })

  it("is not a 403 without Producer-Epoch", async () => {
    const desk = new PostDesk()
    desk.reply = (post) => post.respond(403)
    const producer = desk.producer(claiming)
    appendAll(producer, "a")
    const error = await producer.flush().catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(FetchError)
    expect(error).toMatchObject({ code: "FORBIDDEN", status: 403 })
    expect(desk.posts).toHaveLength(1)
  })

  it("again and again fails the producer with StaleEpochError, after ever longer waits", async () => {
    const desk = new PostDesk()
    let epoch = 0
    desk.reply = (post) => post.fence(++epoch * 2)
    const report = await runInVirtualTime({}, async () => {
      const producer = desk.producer(claiming)
      appendAll(producer, "a")
      return producer.flush().catch((thrown: unknown) => thrown)
    })
    expect(report.value).toBeInstanceOf(StaleEpochError)
    expect(String(report.value)).toContain("http://desk.test/stream:")
    expect(desk.posts).toHaveLength(11)
    expect(report.elapsedMs).toBeGreaterThan(300)
  })
})

describe("a server that has forgotten the producer", () => {
  it("gets the rest in a new epoch with autoClaim", async () => {
    const desk = new PostDesk()
    const producer = desk.producer(claiming)
    appendAll(producer, "a")
    ;(await desk.post(0)).accept()
    appendAll(producer, "bc")
    ;(await desk.post(2)).gap(0)
    desk.posts[1]?.gap(0)
    desk.reply = (post) => post.accept()
    ;(await desk.post(3)).accept()
    await producer.flush()
    expect(desk.posts.slice(3).map(({ number, body }) => number + body)).toEqual(["1.0b", "1.1c"])
  })

  it("fails the producer without autoClaim, and if it remembers something else", async () => {
    for (const [options, expectedSeq] of [
      [{ maxBatchBytes: 1 }, 0],
      [claiming, 5],
    ] as const) {
      const desk = new PostDesk()
      const producer = desk.producer(options)
      appendAll(producer, "a")
      ;(await desk.post(0)).accept()
      appendAll(producer, "b")
      desk.reply = (post) => post.gap(expectedSeq)
      ;(await desk.post(1)).gap(expectedSeq)
      const error = await producer.flush().catch((thrown: unknown) => thrown)
      expect(error).toBeInstanceOf(SequenceGapError)
      expect(error).toMatchObject({ expectedSeq, receivedSeq: 1 })
      expect(undelivered(producer)).toEqual(["b"])
    }
  })
})
