import { describe, expect, it } from "vitest"
import { runInVirtualTime } from "../../support/virtual-time.ts"
import { PostDesk, undelivered, type Post } from "./post-desk.ts"

/** A server whose first HEADs are rejected or slow, and that takes one content type. */
function serverOf(desk: PostDesk, contentType: string, ignoredHeads = 1): Post[] {
  const stored: Post[] = []
  let heads = 0
  desk.reply = (post) => {
    if (post.method === "HEAD") {
      if (++heads > ignoredHeads) post.respond(200, { "content-type": contentType })
    } else if (post.headers["content-type"] !== contentType) post.respond(409)
    else {
      stored.push(post)
      post.accept()
    }
  }
  return stored
}

describe("a content type that was guessed after a slow HEAD and is wrong", () => {
  it("is asked for once more, and the messages are stored as what they are", async () => {
    const desk = new PostDesk()
    const stored = serverOf(desk, "application/json")
    const report = await runInVirtualTime({}, async () => {
      const producer = desk.producer({ maxBatchItems: 2 }, null)
      const sent = ['{"id":1}', "2", "[3]"].map((message) => producer.send(message))
      await producer.flush()
      producer.append({ id: 4 })
      await producer.detach()
      return [await Promise.all(sent), producer.bufferedBytes]
    })
    expect(stored.map(({ body }) => body)).toEqual(['[{"id":1},2]', "[[3]]", '[{"id":4}]'])
    expect(desk.posts.filter(({ method }) => method === "HEAD")).toHaveLength(2)
    expect(report.value[1]).toBe(0)
    expect(report.elapsedMs).toBeLessThan(1500)
  })

  it("waits longer for the second HEAD, which nothing can go on without", async () => {
    const desk = new PostDesk()
    const stored = serverOf(desk, "application/json", Infinity)
    const report = await runInVirtualTime({}, async () => {
      const producer = desk.producer({}, null)
      producer.append("1")
      const flushed = producer.flush()
      await desk.post(2)
      await new Promise((resolve) => setTimeout(resolve, 4000))
      desk.posts[2]?.respond(200, { "content-type": "application/json" })
      await flushed
    })
    expect(stored.map(({ body }) => body)).toEqual(["[1]"])
    expect(report.elapsedMs).toBeGreaterThanOrEqual(5000)
  })

  it("is replaced on a text stream too", async () => {
    const desk = new PostDesk()
    const stored = serverOf(desk, "text/plain")
    await runInVirtualTime({}, async () => {
      const producer = desk.producer({ autoClaim: true }, null)
      producer.append("token")
      await producer.flush()
    })
    expect(stored.map(({ body }) => body)).toEqual(["token"])
  })

  it("fails the producer with the server's rejection if HEAD does not tell", async () => {
    const desk = new PostDesk()
    serverOf(desk, "application/json", Infinity)
    const report = await runInVirtualTime({}, async () => {
      const producer = desk.producer({}, null)
      producer.append("1")
      const error = await producer.flush().catch((thrown: unknown) => thrown)
      return { error, rest: undelivered(producer) }
    })
    expect(report.value).toMatchObject({ error: { code: "CONTENT_TYPE_MISMATCH" }, rest: ["1"] })
    expect(desk.posts.map(({ method }) => method)).toEqual(["HEAD", "POST", "HEAD"])
  })

  it("fails the producer if a message is none of such a stream", async () => {
    const desk = new PostDesk()
    const stored = serverOf(desk, "text/plain")
    const report = await runInVirtualTime({}, async () => {
      const producer = desk.producer({}, null)
      producer.append({ id: 1 })
      const error = await producer.flush().catch((thrown: unknown) => thrown)
      return { error, rest: undelivered(producer) }
    })
    expect(report.value).toMatchObject({
      error: { code: "CONTENT_TYPE_MISMATCH" },
      rest: ['{"id":1}'],
    })
    expect(stored).toEqual([])
  })
})
