import { describe, expect, it } from "vitest"
import { runInVirtualTime } from "../../support/virtual-time.ts"
import { PostDesk } from "./post-desk.ts"
import { ProducerServer } from "./producer-server.ts"

const BATCHES = 300

/** How long 300 batches take, and how many POSTs, when each way takes a base time and up to `jitterMs` more. */
async function measure(
  latencyMs: number,
  jitterMs: number,
  seed: number,
): Promise<{ elapsedMs: number; posts: number; log: string[] }> {
  const desk = new PostDesk()
  const server = new ProducerServer()
  const report = await runInVirtualTime({ seed }, async (clock) => {
    const delayMs = () => latencyMs / 2 + (Math.random() * jitterMs) / 2
    desk.reply = (post) => {
      clock.after(delayMs(), () => {
        const settle = post.holdBack()
        server.respond(post)
        clock.after(delayMs(), settle)
      })
    }
    const producer = desk.producer({ maxBatchBytes: 1, maxInFlight: 5 })
    for (let index = 0; index < BATCHES; index++) producer.append("m")
    await producer.flush()
  })
  return { elapsedMs: report.elapsedMs, posts: desk.posts.length, log: server.log }
}

describe("pipelining under jitter", () => {
  it.each([
    [20, 2],
    [10, 2],
    [30, 2],
    [6, 2],
  ])(
    "of %i ms round trips with %i ms of jitter keeps the window full",
    async (latencyMs, jitterMs) => {
      for (const seed of [1, 2, 3, 4, 5]) {
        const { elapsedMs, posts, log } = await measure(latencyMs, jitterMs, seed)
        const possibleMs = (BATCHES * (latencyMs + jitterMs / 2)) / 5
        expect(log).toHaveLength(BATCHES)
        expect(elapsedMs / possibleMs, "times the possible duration").toBeLessThan(1.3)
        expect(posts / BATCHES, "POSTs for each batch").toBeLessThan(1.15)
      }
    },
  )
})

describe("pipelining after a burst to a busy server", () => {
  it("is not spaced by the round trips of the burst", async () => {
    const desk = new PostDesk()
    const server = new ProducerServer()
    let overtakenAtMs = 0
    const report = await runInVirtualTime({ seed: 1 }, async (clock) => {
      desk.reply = (post) => {
        const count = desk.posts.length
        // The first five wait for the server. The seventh is overtaken. The others take 20 ms.
        if (count === 7) overtakenAtMs = clock.elapsedMs
        clock.after(count <= 5 ? 2000 : count === 7 ? 30 : 10, () => {
          const settle = post.holdBack()
          server.respond(post)
          clock.after(10, settle)
        })
      }
      const producer = desk.producer({ maxBatchBytes: 1, maxInFlight: 5 })
      for (let index = 0; index < BATCHES; index++) producer.append("m")
      await producer.flush()
    })
    const possibleMs = ((BATCHES - 6) * 20) / 5
    expect(server.log).toHaveLength(BATCHES)
    expect(desk.posts.length).toBeGreaterThan(BATCHES)
    expect((report.elapsedMs - overtakenAtMs) / possibleMs).toBeLessThan(1.3)
  })
})
