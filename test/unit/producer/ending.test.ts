import { describe, expect, it } from "vitest"
import { StreamClosedError } from "../../../src/index.ts"
import { runInVirtualTime } from "../../support/virtual-time.ts"
import { appendAll, PostDesk, settled } from "./post-desk.ts"

describe("close", () => {
  it("delivers everything, then closes the stream, with the last message in the same request", async () => {
    const desk = new PostDesk()
    const producer = desk.producer({ maxBatchBytes: 1 })
    appendAll(producer, "ab")
    const closed = producer.close("end")
    expect(producer.state).toBe("closing")
    expect(producer.close()).toBe(closed)
    await settled()
    expect(desk.posts.map(({ body }) => body)).toEqual(["a", "b"])
    for (const post of desk.posts) post.accept()
    const last = await desk.post(2)
    expect([last.number, last.body, last.headers["Stream-Closed"]]).toEqual(["0.2", "end", "true"])
    last.accept("the-end")
    expect(await closed).toEqual({ finalOffset: "the-end" })
    expect(await producer.close()).toEqual({ finalOffset: "the-end" })
    expect([producer.state, producer.bufferedBytes, desk.posts.length]).toEqual(["closed", 0, 3])
    await producer.flush()
    await producer.detach()
    await producer[Symbol.asyncDispose]()
  })

  it("without a last message sends no body and no content type", async () => {
    const desk = new PostDesk()
    desk.reply = (post) => post.respond(204, { "Stream-Closed": "true", "Stream-Next-Offset": "e" })
    const producer = desk.producer({}, null)
    expect(await producer.close()).toEqual({ finalOffset: "e" })
    expect(desk.posts).toHaveLength(1)
    expect([desk.posts[0]?.method, desk.posts[0]?.body]).toEqual(["POST", ""])
    expect(desk.posts[0]?.headers).not.toHaveProperty("content-type")
  })

  it("whose response is lost is sent again under the same number", async () => {
    const desk = new PostDesk()
    const report = await runInVirtualTime({}, async () => {
      const producer = desk.producer()
      const closed = producer.close("end")
      ;(await desk.post(0)).lose()
      ;(await desk.post(1)).respond(204, { "Stream-Closed": "true", "Producer-Seq": "0" })
      const head = await desk.post(2)
      expect(head.method).toBe("HEAD")
      head.respond(200, { "Stream-Next-Offset": "asked-for" })
      return closed
    })
    expect(desk.numbers.slice(0, 2)).toEqual(["0.0", "0.0"])
    expect(report.value).toEqual({ finalOffset: "asked-for" })
  })

  it("of a stream that somebody has closed is what was wanted, unless something is left to store", async () => {
    const desk = new PostDesk()
    desk.reply = (post) => post.closed()
    expect(await desk.producer().close()).toEqual({ finalOffset: "the-end" })
    const producer = desk.producer()
    await expect(producer.close("end")).rejects.toBeInstanceOf(StreamClosedError)
    expect(new TextDecoder().decode(producer.undelivered()[0])).toBe("end")
    expect(desk.posts).toHaveLength(2)
  })

  it("refuses another last message once it is under way, and what is appended after it", async () => {
    const producer = new PostDesk().producer()
    void producer.close("end")
    await expect(producer.close("other")).rejects.toMatchObject({ code: "ALREADY_CLOSED" })
    await expect(producer.restart()).rejects.toMatchObject({ code: "ALREADY_CLOSED" })
    await expect(producer.send("a")).rejects.toMatchObject({ code: "ALREADY_CLOSED" })
    expect(() => {
      producer.append("a")
    }).toThrow(expect.objectContaining({ code: "ALREADY_CLOSED" }))
  })

  it("rejects for a last message that is none, and can be called again", async () => {
    const desk = new PostDesk()
    desk.reply = (post) => post.accept()
    const producer = desk.producer({}, "application/json")
    await expect(producer.close("{")).rejects.toMatchObject({ code: "PARSE_ERROR" })
    expect(producer.state).toBe("open")
    await producer.close({ end: true })
    expect(desk.posts.map(({ body }) => body)).toEqual(['[{"end":true}]'])
  })
})

describe("detach", () => {
  it("delivers everything and leaves the stream open; again, at once or later, it is the same", async () => {
    const desk = new PostDesk()
    const producer = desk.producer()
    producer.append("a")
    const detached = producer.detach()
    expect(producer[Symbol.asyncDispose]()).toBe(detached)
    expect(producer.state).toBe("detaching")
    ;(await desk.post(0)).accept()
    await detached
    await producer.detach()
    expect(producer.state).toBe("detached")
    expect(desk.posts.map(({ headers }) => headers["Stream-Closed"])).toEqual([undefined])
    await expect(producer.close()).rejects.toMatchObject({ code: "ALREADY_CLOSED" })
  })

  it("while the producer closes waits for the close", async () => {
    const desk = new PostDesk()
    const producer = desk.producer()
    const closed = producer.close()
    const detached = producer.detach()
    ;(await desk.post(0)).accept()
    await Promise.all([closed, detached])
    expect([producer.state, desk.posts.length]).toEqual(["closed", 1])
  })

  it("without a message makes no request", async () => {
    const desk = new PostDesk()
    await desk.producer({}, null).detach()
    expect(desk.posts).toEqual([])
  })
})

describe("restart", () => {
  it("goes on in the next epoch with what was queued meanwhile", async () => {
    const desk = new PostDesk()
    const producer = desk.producer({ maxBatchBytes: 1 })
    producer.append("a")
    const restarted = producer.restart()
    expect(producer.restart()).toBe(restarted)
    appendAll(producer, "bc")
    await settled()
    expect(desk.numbers).toEqual(["0.0"])
    ;(await desk.post(0)).accept()
    await restarted
    expect([producer.epoch, producer.state]).toEqual([1, "open"])
    // An epoch is taken up with its first batch.
    ;(await desk.post(1)).accept()
    ;(await desk.post(2)).accept()
    await producer.flush()
    expect(desk.posts.map(({ number, body }) => number + body)).toEqual(["0.0a", "1.0b", "1.1c"])
    await producer.restart()
    expect([producer.epoch, producer.nextSeq]).toEqual([2, 0])
  })

  it("has no epoch after the last one", async () => {
    const desk = new PostDesk()
    desk.reply = (post) => post.accept()
    const producer = desk.producer({ epoch: Number.MAX_SAFE_INTEGER })
    await expect(producer.restart()).rejects.toMatchObject({
      code: "BAD_REQUEST",
      message: `http://desk.test/stream: there is no epoch after ${Number.MAX_SAFE_INTEGER}. Use another producer id.`,
    })
    producer.append("a")
    await producer.flush()
    expect(desk.numbers).toEqual([`${Number.MAX_SAFE_INTEGER}.0`])
  })
})
