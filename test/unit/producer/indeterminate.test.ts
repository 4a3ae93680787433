import { describe, expect, it } from "vitest"
import { INDETERMINATE_HINT } from "../../../src/errors/fetch-error.ts"
import { runInVirtualTime } from "../../support/virtual-time.ts"
import { PostDesk, undelivered } from "./post-desk.ts"

describe("an indeterminate batch that the server then rejects", () => {
  it.each([400, 413, 422])("with %i is not split, rejected or renumbered", async (status) => {
    const desk = new PostDesk()
    const errors: Error[] = []
    const report = await runInVirtualTime({}, async () => {
      const producer = desk.producer({ onError: (error) => errors.push(error) })
      for (const message of "abcd") producer.append(message)
      const flushed = producer.flush().catch((error: unknown) => error)
      // Stored; the response is lost. Then a limit appears in front of the server.
      ;(await desk.post(0)).lose()
      desk.reply = (post) => post.respond(status)
      ;(await desk.post(1)).respond(status)
      const error = await flushed
      return { error, rest: undelivered(producer), count: producer.indeterminateCount }
    })
    const { error, rest, count } = report.value
    expect(error).toMatchObject({ status, indeterminate: true })
    expect(String(error)).toContain(INDETERMINATE_HINT)
    expect([rest, count]).toEqual([["a", "b", "c", "d"], 4])
    expect(errors).toEqual([error])
    expect(new Set(desk.posts.map(({ number, body }) => number + body))).toEqual(
      new Set(["0.0abcd"]),
    )
  })

  it("fails the producer if an earlier lifetime of its id and epoch may have let it in", async () => {
    const desk = new PostDesk()
    const report = await runInVirtualTime({}, async () => {
      // The earlier lifetime stored batch 0 of epoch 0. This one's is rejected before the server looks at its number.
      const producer = desk.producer({ maxBatchBytes: 1 })
      for (const message of "ab") producer.append(message)
      const flushed = producer.flush().catch((error: unknown) => error)
      ;(await desk.post(1)).lose()
      ;(await desk.post(0)).respond(413)
      const error = await flushed
      return { error, rest: undelivered(producer), count: producer.indeterminateCount }
    })
    const { error, rest, count } = report.value
    expect(error).toMatchObject({ status: 413, indeterminate: true })
    expect([rest, count, desk.numbers]).toEqual([["a", "b"], 2, ["0.0", "0.1"]])
  })

  it("is not reported as rejected when it is a single message", async () => {
    const desk = new PostDesk()
    const report = await runInVirtualTime({}, async () => {
      const producer = desk.producer()
      const sent = producer.send("a").catch((error: unknown) => error)
      ;(await desk.post(0)).lose()
      ;(await desk.post(1)).respond(400)
      return { error: await sent, rest: undelivered(producer), state: producer.state }
    })
    expect(report.value).toMatchObject({ state: "failed", rest: ["a"] })
    expect(report.value.error).toMatchObject({ status: 400, indeterminate: true })
    expect(report.value.error).not.toHaveProperty("details.message")
  })

  it.each([429, 500, 503])("is not what a batch is after %i: it is split", async (status) => {
    const desk = new PostDesk()
    const log: string[] = []
    await runInVirtualTime({}, async () => {
      const producer = desk.producer()
      for (const message of "axb") producer.append(message)
      const flushed = producer.flush().catch((error: unknown) => error)
      ;(await desk.post(0)).respond(status)
      desk.reply = (post) => {
        if (post.body.includes("x")) return post.respond(400)
        log.push(post.body)
        post.accept()
      }
      ;(await desk.post(1)).respond(400)
      expect(await flushed).toMatchObject({ details: { text: "x" } })
    })
    expect(log.join("")).toBe("ab")
  })
})
