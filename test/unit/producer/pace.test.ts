import { describe, expect, it } from "vitest"
import { runInVirtualTime } from "../../support/virtual-time.ts"
import { PostDesk, type Post } from "./post-desk.ts"

/** What a second may see once a producer is backed off. */
const HANDFUL = 5

interface Pace {
  total: number
  state: string
  /** The most requests within a second, once a few seconds have passed. */
  busiestSecond: number
}

/** Offers 60 batches to a server that always answers the same, and counts what it is asked. */
async function paceOf(reply: (post: Post) => void, autoClaim = true): Promise<Pace> {
  const desk = new PostDesk()
  const times: number[] = []
  const leave = new AbortController()
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
    })
    for (let count = 0; count < 60; count++) producer.append("12345")
    void producer.flush()
    await clock.sleep(600_000)
    const state = producer.state
    leave.abort()
    return state
  })
  const late = times.filter((atMs) => atMs > 10_000)
  const busiest = late.map((atMs) => late.filter((at) => at >= atMs && at < atMs + 1000).length)
  return { total: times.length, state: report.value, busiestSecond: Math.max(0, ...busiest) }
}

function redirectsForEver(): Promise<Response> {
  return Promise.reject(
    new TypeError("fetch failed", { cause: new Error("redirect count exceeded") }),
  )
}

describe("a server that always answers the same is left in peace", () => {
  it.each<[string, (post: Post) => void]>([
    ["a closed stream", (post) => post.closed()],
    ["a plain 403", (post) => post.answer(403)],
    ["404", (post) => post.answer(404)],
    ["409 without a word", (post) => post.answer(409)],
    ["409 for ever, as a gap", (post) => post.gap(3)],
    ["409 for ever, as a gap before everything", (post) => post.gap(0)],
    ["a page of HTML", (post) => post.answer(200, { "content-type": "text/html" })],
  ])("%s: one request, and the producer has failed", async (_name, reply) => {
    expect(await paceOf(reply)).toMatchObject({ total: 1, state: "failed" })
    expect((await paceOf(reply, false)).total).toBeLessThanOrEqual(5)
  })

  it("403 for ever: eleven requests, each epoch after a longer wait", async () => {
    let epoch = 0
    const pace = await paceOf((post) => post.fence(++epoch))
    expect(pace).toMatchObject({ total: 11, state: "failed" })
    expect(await paceOf((post) => post.fence(0))).toMatchObject({ total: 11, state: "failed" })
  })

  it("a duplicate for ever: eleven requests", async () => {
    expect(await paceOf((post) => post.duplicate(99))).toMatchObject({ total: 11, state: "failed" })
  })

  it.each([400, 413, 422])(
    "%i for ever: a few dozen requests, then the producer fails",
    async (status) => {
      const pace = await paceOf((post) => post.answer(status))
      expect(pace.state).toBe("failed")
      expect(pace.total).toBeLessThan(50)
      expect(pace.busiestSecond).toBeLessThanOrEqual(HANDFUL)
    },
  )

  it.each([500, 502, 503, 504, 429, 408])("%i for ever: ever longer waits", async (status) => {
    const pace = await paceOf((post) => post.answer(status))
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

  it("a redirect loop: one request", async () => {
    let calls = 0
    const desk = new PostDesk()
    const producer = desk.producer({
      fetch: () => {
        calls++
        return redirectsForEver()
      },
    })
    producer.append("a")
    await expect(producer.flush()).rejects.toMatchObject({ code: "PROTOCOL" })
    expect(calls).toBe(1)
  })
})
