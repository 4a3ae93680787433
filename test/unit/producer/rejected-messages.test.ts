import { describe, expect, it } from "vitest"
import type { DurableStreamError } from "../../../src/index.ts"
import { runInVirtualTime } from "../../support/virtual-time.ts"
import { PostDesk, undelivered, type Post } from "./post-desk.ts"

/** Stores bodies without the letter x (400) of up to so many bytes (413). */
function picky(log: string[], maxBytes = Infinity): (post: Post) => void {
  return (post) => {
    if (post.body.length > maxBytes) return post.respond(413)
    if (post.body.includes("x")) return post.respond(400)
    log.push(post.body)
    post.accept()
  }
}

describe("a message that the server rejects", () => {
  it("is reported with its content; the others go through in order", async () => {
    const desk = new PostDesk()
    const log: string[] = []
    desk.reply = picky(log)
    const errors: Error[] = []
    const report = await runInVirtualTime({}, async () => {
      const producer = desk.producer({ onError: (error) => errors.push(error) })
      const sent = [..."abcdefxg"].map((message) => producer.send(message))
      const flushed = await producer.flush().catch((error: unknown) => error)
      const outcomes = await Promise.allSettled(sent)
      return { producer, flushed, outcomes }
    })
    const { producer, flushed, outcomes } = report.value
    expect(log.join("")).toBe("abcdefg")
    expect(outcomes.map(({ status }) => status === "fulfilled")).toEqual([
      ...Array.from({ length: 6 }, () => true),
      false,
      true,
    ])
    expect(outcomes[6]).toMatchObject({ reason: flushed })
    expect(errors).toEqual([flushed])
    expect(flushed).toMatchObject({ code: "BAD_REQUEST", status: 400, details: { text: "x" } })
    expect((flushed as DurableStreamError).details).toMatchObject({
      message: new TextEncoder().encode("x"),
    })
    expect([producer.state, producer.bufferedBytes]).toEqual(["open", 0])
    await producer.flush()
  })

  it("is searched for in new epochs only: no number ever means two things", async () => {
    const desk = new PostDesk()
    desk.reply = picky([])
    await runInVirtualTime({}, async () => {
      const producer = desk.producer()
      for (const message of "abcxdefgh") producer.append(message)
      await producer.flush().catch(() => undefined)
      expect(producer.epoch).toBeGreaterThan(0)
      producer.append("z")
      await producer.flush()
    })
    const bodies = new Map<string, Set<string>>()
    for (const { number, body } of desk.posts) {
      bodies.set(number, (bodies.get(number) ?? new Set()).add(body))
    }
    for (const [number, sent] of bodies) expect([number, [...sent]]).toHaveLength(2)
    expect([...bodies.values()].every(({ size }) => size === 1)).toBe(true)
  })

  it("is searched for only once everything before it is settled", async () => {
    const desk = new PostDesk()
    const producer = desk.producer({ maxBatchBytes: 2 })
    for (const message of "abxy") producer.append(message)
    void producer.flush()
    ;(await desk.post(1)).respond(400)
    desk.posts[0]?.lose()
    const retried = await desk.post(2)
    expect(retried.number + retried.body).toBe("0.0ab")
    retried.accept()
    const again = await desk.post(3)
    expect(again.number + again.body).toBe("0.1xy")
    desk.reply = picky([])
    again.respond(400)
    await producer.flush().catch(() => undefined)
    expect(desk.posts.slice(4).map(({ number, body }) => number + body)).toEqual(["1.0x", "2.0y"])
  })

  it("makes batches smaller from then on if one was too large", async () => {
    const desk = new PostDesk()
    const log: string[] = []
    desk.reply = picky(log, 4)
    await runInVirtualTime({}, async () => {
      const producer = desk.producer({ maxBatchBytes: 8 })
      for (const message of "abcdefgh") producer.append(message)
      await producer.flush()
      for (const message of "ijklmnop") producer.append(message)
      await producer.flush()
    })
    expect(log).toEqual(["abcd", "efgh", "ijkl", "mnop"])
    expect(desk.posts).toHaveLength(5)
  })

  it("keeps the stream open if it comes before a close, until close() is called again", async () => {
    const desk = new PostDesk()
    const log: string[] = []
    desk.reply = picky(log)
    const report = await runInVirtualTime({}, async () => {
      const producer = desk.producer()
      producer.append("a")
      producer.append("x")
      const first = await producer.close("end").catch((error: unknown) => error)
      const state = producer.state
      return { first, state, second: await producer.close("end") }
    })
    expect(report.value).toMatchObject({
      first: { details: { text: "x" } },
      state: "open",
      second: { finalOffset: expect.stringContaining("after-") as string },
    })
    expect(log).toEqual(["a", "end"])
    expect(desk.posts.at(-1)?.headers["Stream-Closed"]).toBe("true")
  })

  it("can be the final one: the stream stays open", async () => {
    const desk = new PostDesk()
    desk.reply = picky([])
    const report = await runInVirtualTime({}, async () => {
      const producer = desk.producer()
      const refused = await producer.close("x").catch((error: unknown) => error)
      return { refused, state: producer.state }
    })
    expect(report.value).toMatchObject({ refused: { details: { text: "x" } }, state: "open" })
  })

  it("is reported once as the final one: the next close() is about what comes then", async () => {
    const desk = new PostDesk()
    const log: string[] = []
    desk.reply = picky(log)
    const report = await runInVirtualTime({}, async () => {
      const producer = desk.producer()
      const refused = await producer.close("x").catch((error: unknown) => error)
      producer.append("a")
      await producer.close("z")
      return { refused, state: producer.state }
    })
    expect(report.value).toMatchObject({ refused: { details: { text: "x" } }, state: "closed" })
    expect(log).toEqual(["a", "z"])
  })

  it("is not at fault if ten in a row are rejected: the producer fails and returns them", async () => {
    const desk = new PostDesk()
    desk.reply = (post) => post.respond(400)
    const errors: Error[] = []
    const report = await runInVirtualTime({}, async () => {
      const producer = desk.producer({ onError: (error) => errors.push(error) })
      for (const message of "abcdefghijklmnop") producer.append(message)
      await producer.flush().catch(() => undefined)
      return { state: producer.state, rest: undelivered(producer).join("") }
    })
    expect(report.value).toEqual({ state: "failed", rest: "klmnop" })
    expect(errors).toHaveLength(11)
  })
})
