import { afterEach, describe, expect, it, vi } from "vitest"
import { PostDesk } from "./post-desk.ts"
import { ProducerServer } from "./producer-server.ts"

afterEach(() => vi.restoreAllMocks())

describe("rejected messages among many send() calls", () => {
  it("attach a bounded number of handlers to each promise", async () => {
    const SENDS = 8000
    const desk = new PostDesk()
    const server = new ProducerServer()
    desk.reply = (post) => {
      if (post.body.includes("x")) post.respond(400)
      else server.respond(post)
    }
    const complaints = vi.spyOn(console, "error").mockImplementation(() => undefined)
    const producer = desk.producer({ maxBatchBytes: 2000, backoffOptions: { initialDelay: 1 } })
    // `catch` calls `then`.
    const { then } = Promise.prototype
    let count = 0
    Promise.prototype.then = function (...args) {
      count++
      // The overloads of the library's type are those of this one.
      return then.apply(this, args) as never
    }
    const sent = Array.from({ length: SENDS }, (_, index) =>
      producer.send(index % 200 === 100 ? "x" : "m"),
    )
    await producer.flush().catch(() => undefined)
    Promise.prototype.then = then
    const outcomes = await Promise.allSettled(sent)
    expect(outcomes.filter(({ status }) => status === "rejected")).toHaveLength(SENDS / 200)
    expect(producer.state).toBe("open")
    expect(complaints).not.toHaveBeenCalled()
    expect(count / SENDS, "handlers for each send()").toBeLessThan(6)
  })
})
