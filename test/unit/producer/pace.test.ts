import { describe, expect, it } from "vitest"
import { DurableStreamError } from "../../../src/index.ts"
import { runInVirtualTime } from "../../support/virtual-time.ts"
import { PostDesk, type Post } from "./post-desk.ts"

/** What a second may see once a producer is backed off. */
const HANDFUL = 5

interface Pace {
  total: number
  state: string
  /** What the producer failed with. */
  code: string | undefined
  /** The most requests within a second, once a few seconds have passed. */
  busiestSecond: number
}

/** Offers 60 batches to a server that always responds in the same way, and counts what it is asked. */
async function paceOf(reply: (post: Post) => void, autoClaim = true): Promise<Pace> {
  const desk = new PostDesk()
  const times: number[] = []
  const leave = new AbortController()
  let code: string | undefined
  const report = await runInVirtualTime({ seed: 7, maxSteps: 10_000 }, async (clock) => {
    desk.reply = (post) => {
      times.push(clock.elapsedMs)
      reply(post)
    }
    const producer = desk.producer({
      maxBatchBytes: 10,
      autoClaim,
      deliveryTimeoutMs: Infinity,
      signal: leave.signal,
      onError: (error) => {
        code = error instanceof DurableStreamError ? error.code : "none"
      },
    })
    for (let count = 0; count < 60; count++) producer.append("12345")
    void producer.flush()
    await clock.sleep(600_000)
    const told = { state: producer.state, code }
    leave.abort()
    return told
  })
  const late = times.filter((atMs) => atMs > 10_000)
  const busiest = late.map((atMs) => late.filter((at) => at >= atMs && at < atMs + 1000).length)
  return { total: times.length, ...report.value, busiestSecond: Math.max(0, ...busiest) }
}

describe("a server that always responds in the same way is left in peace", () => {
  it.each<[string, string, (post: Post) => void]>([
    ["a closed stream", "STREAM_CLOSED", (post) => post.closed()],
    ["a plain 403", "FORBIDDEN", (post) => post.respond(403)],
    ["404", "NOT_FOUND", (post) => post.respond(404)],
    ["409 without a word", "CONTENT_TYPE_MISMATCH", (post) => post.respond(409)],
    ["409 for ever, as a gap", "SEQUENCE_GAP", (post) => post.gap(3)],
    ["409 for ever, as a gap before everything", "SEQUENCE_GAP", (post) => post.gap(0)],
    [
      "a page of HTML",
      "PROTOCOL",
      (post) => post.respond(200, { "content-type": "text/html" }, "<p>"),
    ],
    ["a redirect loop", "PROTOCOL", (post) => post.loseInRedirects()],
  ])("%s: one request, and the producer has failed", async (_name, code, reply) => {
    expect(await paceOf(reply)).toMatchObject({ total: 1, state: "failed", code })
    // Without autoClaim as many as go out side by side.
    const pace = await paceOf(reply, false)
    expect(pace).toMatchObject({ state: "failed", code })
    expect(pace.total).toBeLessThanOrEqual(5)
  })

  it.each([true, false])(
    "409 for ever after some batches were stored, autoClaim %s: a handful, then it fails",
    async (autoClaim) => {
      for (const expectedSeq of [0, 2, 99]) {
        let stored = 0
        const pace = await paceOf(
          (post) => (stored++ < 7 ? post.accept() : post.gap(expectedSeq)),
          autoClaim,
        )
        expect(pace).toMatchObject({ state: "failed", code: "SEQUENCE_GAP" })
        // The window twice: early, and in order.
        expect(pace.total).toBeLessThanOrEqual(7 + 2 * 5 + 1)
      }
    },
  )

  it("403 for ever: eleven requests, each epoch after a longer wait", async () => {
    let epoch = 0
    const pace = await paceOf((post) => post.fence(++epoch))
    expect(pace).toMatchObject({ total: 11, state: "failed" })
    expect(await paceOf((post) => post.fence(0))).toMatchObject({ total: 11, state: "failed" })
    expect(pace.code).toBe("STALE_EPOCH")
  })

  it("403 for ever without autoClaim: one request each that is out", async () => {
    const pace = await paceOf((post) => post.fence(3), false)
    expect(pace).toMatchObject({ state: "failed", code: "STALE_EPOCH" })
    expect(pace.total).toBeLessThanOrEqual(5)
  })

  it("403 after every first batch of an epoch: eleven epochs, then it fails", async () => {
    const pace = await paceOf((post) =>
      post.number.endsWith(".0") ? post.accept() : post.fence(Number.parseInt(post.number)),
    )
    expect(pace).toMatchObject({ state: "failed", code: "STALE_EPOCH" })
    expect(pace.total).toBeLessThanOrEqual(11 * 6)
    expect(pace.busiestSecond).toBeLessThanOrEqual(HANDFUL)
  })

  it("a duplicate of what was never sent: one request, and the producer has failed", async () => {
    const pace = await paceOf((post) => post.duplicate(99))
    expect(pace).toMatchObject({ total: 1, state: "failed", code: "STALE_EPOCH" })
  })

  it.each([400, 413, 422])(
    "%i for ever: a few dozen requests, then the producer fails",
    async (status) => {
      const pace = await paceOf((post) => post.respond(status))
      expect(pace.state).toBe("failed")
      expect(pace.total).toBeLessThan(50)
      expect(pace.busiestSecond).toBeLessThanOrEqual(HANDFUL)
    },
  )

  it.each([500, 502, 503, 504, 429, 408])("%i for ever: ever longer waits", async (status) => {
    const pace = await paceOf((post) => post.respond(status))
    expect(pace.state).toBe("open")
    expect(pace.busiestSecond).toBeLessThanOrEqual(HANDFUL)
    expect(pace.total).toBeLessThan(120)
  })

  it("a network that loses everything: ever longer waits", async () => {
    const pace = await paceOf((post) => post.lose())
    expect([pace.state, pace.busiestSecond <= HANDFUL]).toEqual(["open", true])
  })

  it("a server that remembers nothing: its batches go through, or the producer fails", async () => {
    const pace = await paceOf((post) => (post.number.endsWith(".0") ? post.accept() : post.gap(0)))
    expect(pace.state).toBe("failed")
    expect(pace.total).toBeLessThan(70)
  })
})
