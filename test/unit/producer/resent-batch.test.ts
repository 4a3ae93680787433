import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { createFetchWithBackoff, StaleEpochError } from "../../../src/index.ts"
import { appendAll, PostDesk, undelivered, type Post } from "./post-desk.ts"

const tail = (post: Post, offset: string) =>
  post.answer(200, { "Content-Type": "text/plain", "Stream-Next-Offset": offset })

describe("a first batch that is a duplicate at its only try, where the platform may have sent it twice", () => {
  beforeEach(() => vi.stubGlobal("navigator", { userAgent: "Deno/2.9.6" }))
  afterEach(() => vi.unstubAllGlobals())

  it.each([[null], ["text/plain"]])("is stored where the stream has grown", async (contentType) => {
    const desk = new PostDesk()
    const producer = desk.producer({}, contentType)
    const sent = producer.send("a")
    tail(await desk.post(0), "before")
    ;(await desk.post(1)).duplicate()
    tail(await desk.post(2), "after")
    expect(await sent).toEqual({ offset: "", duplicate: true })
    expect(desk.posts.map(({ method }) => method)).toEqual(["HEAD", "POST", "HEAD"])
  })

  it("is another's where the stream has not grown, and is sent again in the next epoch", async () => {
    const desk = new PostDesk()
    const producer = desk.producer({ autoClaim: true })
    const sent = producer.send("a")
    tail(await desk.post(0), "before")
    ;(await desk.post(1)).duplicate()
    tail(await desk.post(2), "before")
    const claim = await desk.post(3)
    expect(claim.number + claim.body).toBe("1.0a")
    claim.accept("stored")
    expect(await sent).toEqual({ offset: "stored", duplicate: false })
  })

  it("is another's, without a second look, where more was stored than this producer sent", async () => {
    const desk = new PostDesk()
    const producer = desk.producer({ autoClaim: true })
    const sent = producer.send("a")
    tail(await desk.post(0), "before")
    ;(await desk.post(1)).duplicate(7)
    ;(await desk.post(2)).accept("stored")
    expect(await sent).toEqual({ offset: "stored", duplicate: false })
    expect(desk.posts.map(({ method }) => method)).toEqual(["HEAD", "POST", "POST"])
  })

  it("is in doubt where nobody can say, and is not sent again", async () => {
    const desk = new PostDesk()
    const producer = desk.producer({ autoClaim: true })
    appendAll(producer, "a")
    ;(await desk.post(0)).answer(500)
    ;(await desk.post(1)).duplicate()
    const error = await producer.flush().catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(StaleEpochError)
    expect(undelivered(producer)).toEqual(["a"])
    expect(desk.posts).toHaveLength(2)
  })

  it("is in doubt in an epoch that was claimed, which another may have claimed as well", async () => {
    const desk = new PostDesk()
    const producer = desk.producer({ autoClaim: true })
    appendAll(producer, "a")
    tail(await desk.post(0), "before")
    ;(await desk.post(1)).fence(4)
    ;(await desk.post(2)).duplicate()
    const error = await producer.flush().catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(StaleEpochError)
    expect(desk.numbers.slice(1)).toEqual(["0.0", "5.0"])
  })
})

describe("createFetchWithBackoff as the producer's fetch", () => {
  it.each([false, true])("stores once what it sends twice (autoClaim: %s)", async (autoClaim) => {
    const desk = new PostDesk()
    const fetch = createFetchWithBackoff(desk.fetch, { initialDelay: 1 })
    const producer = desk.producer({ fetch, autoClaim })
    const sent = producer.send("a")
    tail(await desk.post(0), "before")
    ;(await desk.post(1)).lose()
    ;(await desk.post(2)).duplicate()
    tail(await desk.post(3), "after")
    expect(await sent).toEqual({ offset: "", duplicate: true })
    expect(desk.posts.map(({ method }) => method)).toEqual(["HEAD", "POST", "POST", "HEAD"])
  })
})
