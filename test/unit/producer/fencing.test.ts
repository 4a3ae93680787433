import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { FetchError, SequenceGapError, StaleEpochError } from "../../../src/index.ts"
import { runInVirtualTime } from "../../support/virtual-time.ts"
import { appendAll, PostDesk, settled, undelivered } from "./post-desk.ts"

const claiming = { autoClaim: true, maxBatchBytes: 1 }

describe("fencing", () => {
  it("without autoClaim ends the producer with StaleEpochError", async () => {
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

  it("is claimed before the first batch, which is sent alone until it is stored", async () => {
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

  it("in the middle of a pipeline is claimed once every request that is out has its answer", async () => {
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

  it("ends the producer all the same where a batch is in doubt", async () => {
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

  it("is claimed where a later batch proves the one without an answer to be stored", async () => {
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

  it("is no word on 429, 500 and 503: nothing was stored then", async () => {
    const desk = new PostDesk()
    await runInVirtualTime({}, async () => {
      const producer = desk.producer(claiming)
      appendAll(producer, "a")
      ;(await desk.post(0)).answer(503)
      ;(await desk.post(1)).answer(500)
      ;(await desk.post(2)).fence(1)
      ;(await desk.post(3)).accept()
      await producer.flush()
    })
    expect(desk.numbers).toEqual(["0.0", "0.0", "0.0", "2.0"])
  })

  it("is not what a 403 without Producer-Epoch says", async () => {
    const desk = new PostDesk()
    desk.reply = (post) => post.answer(403)
    const producer = desk.producer(claiming)
    appendAll(producer, "a")
    const error = await producer.flush().catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(FetchError)
    expect(error).toMatchObject({ code: "FORBIDDEN", status: 403 })
    expect(desk.posts).toHaveLength(1)
  })

  it("again and again ends with StaleEpochError, after ever longer waits", async () => {
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

describe("a number that another producer has used", () => {
  it("is no acknowledgement: the first batch is a duplicate before its only try", async () => {
    const desk = new PostDesk()
    const producer = desk.producer({ autoClaim: true })
    const sent = producer.send("a")
    ;(await desk.post(0)).duplicate()
    const claim = await desk.post(1)
    expect(claim.number).toBe("1.0")
    claim.accept("stored")
    expect(await sent).toEqual({ offset: "stored", duplicate: false })
  })

  it("ends a producer that does not claim", async () => {
    const desk = new PostDesk()
    desk.reply = (post) => post.duplicate(57)
    const producer = desk.producer()
    appendAll(producer, "a")
    const error = await producer.flush().catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(StaleEpochError)
    expect(String(error)).toMatch(/desk.test\/stream: .* up to 57 in epoch 0/)
    expect(undelivered(producer)).toEqual(["a"])
  })

  it("is found out before any other batch of a pipeline is taken for stored", async () => {
    const desk = new PostDesk()
    const producer = desk.producer({ maxBatchBytes: 1 })
    appendAll(producer, "abcd")
    await settled()
    // An earlier life with the same epoch has stored three batches.
    desk.posts[1]?.duplicate(2)
    desk.posts[2]?.duplicate(2)
    desk.posts[3]?.accept()
    await settled()
    expect(desk.posts).toHaveLength(4)
    desk.posts[0]?.duplicate(2)
    await expect(producer.flush()).rejects.toBeInstanceOf(StaleEpochError)
    expect(undelivered(producer)).toEqual(["a", "b", "c"])
  })

  it("is its own where the first batch is, and it is asked for again", async () => {
    const desk = new PostDesk()
    const producer = desk.producer({ maxBatchBytes: 1 })
    appendAll(producer, "ab")
    await settled()
    desk.posts[1]?.duplicate()
    desk.posts[0]?.accept()
    ;(await desk.post(2)).duplicate()
    await producer.flush()
    expect(desk.numbers).toEqual(["0.0", "0.1", "0.1"])
  })

  it("is its own where an earlier try may have stored it", async () => {
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
})

describe("where the platform may send a request twice on its own", () => {
  beforeEach(() => {
    vi.stubGlobal("navigator", { userAgent: "Mozilla/5.0 (a browser)" })
  })
  afterEach(() => {
    vi.unstubAllGlobals()
  })

  it.each([
    ["its own where the stream has grown", "after", true],
    ["another's where it has not", "before", false],
    ["in doubt where nobody can say", undefined, false],
  ])("the first batch as a duplicate is %s", async (_name, tailAfter, isStored) => {
    const desk = new PostDesk()
    const producer = desk.producer()
    const sent = producer.send("a").catch((error: unknown) => error)
    const before = await desk.post(0)
    expect(before.method).toBe("HEAD")
    before.answer(200, { "Stream-Next-Offset": "before" })
    ;(await desk.post(1)).duplicate()
    const after = await desk.post(2)
    expect(after.method).toBe("HEAD")
    after.answer(200, tailAfter === undefined ? {} : { "Stream-Next-Offset": tailAfter })
    if (isStored) expect(await sent).toEqual({ offset: "", duplicate: true })
    else expect(await sent).toBeInstanceOf(StaleEpochError)
    expect(producer.indeterminateCount).toBe(tailAfter === undefined ? 1 : 0)
  })
})

describe("a first batch that is a duplicate at its only try, where a layer in between may have sent it twice", () => {
  it.each([
    ["may be stored: it is in doubt", 0, 1],
    ["is not stored where more was than this producer sent", 7, 0],
  ])("%s", async (_name, storedSeq, indeterminateCount) => {
    const desk = new PostDesk()
    const producer = desk.producer()
    appendAll(producer, "a")
    ;(await desk.post(0)).duplicate(storedSeq)
    await expect(producer.flush()).rejects.toBeInstanceOf(StaleEpochError)
    expect([undelivered(producer), producer.indeterminateCount]).toEqual([
      ["a"],
      indeterminateCount,
    ])
  })
})

describe("a server that has forgotten the producer", () => {
  it("is told anew in the next epoch with autoClaim", async () => {
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

  it("ends the producer without autoClaim, and where it remembers something else", async () => {
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
