import { getEventListeners } from "node:events"
import { describe, expect, it, vi } from "vitest"
import { FetchBackoffAbortError, FetchError, StreamClosedError } from "../../../src/index.ts"
import { runInVirtualTime } from "../../support/virtual-time.ts"
import { appendAll, PostDesk, settled, undelivered } from "./post-desk.ts"

describe("failure", () => {
  it("of one request while another one hangs does not stop the producer once later batches prove that both are stored", async () => {
    const desk = new PostDesk()
    await runInVirtualTime({}, async () => {
      const producer = desk.producer({ maxBatchBytes: 1, deliveryTimeoutMs: 1500 })
      appendAll(producer, "abcd")
      const last = await desk.post(3)
      desk.posts[0]?.respond(206)
      desk.posts[1]?.accept()
      last.accept()
      await producer.flush()
      desk.reply = (post) => post.accept()
      producer.append("e")
      await producer.detach()
      expect(desk.posts.at(-1)?.body).toBe("e")
    })
  })

  it("is told once, then by every call; the rest comes back in order", async () => {
    const desk = new PostDesk()
    const onError = vi.fn()
    const producer = desk.producer({ maxBatchBytes: 1, maxInFlight: 3, onError })
    const sent = ["a", "b", "c", "d"].map((message) => producer.send(message))
    producer.append("e")
    const flushed = producer.flush()
    const ready = producer.ready
    await settled()
    desk.reply = (post) => post.respond(404)
    desk.posts[0]?.accept()
    for (const post of desk.posts.slice(1)) post.respond(404)
    const error = await flushed.catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: "NOT_FOUND", status: 404 })
    const posts = desk.posts.length
    expect(onError.mock.calls).toEqual([[error]])
    expect(producer.state).toBe("failed")
    expect(undelivered(producer)).toEqual(["b", "c", "d", "e"])
    expect(await sent[0]).toMatchObject({ duplicate: false })
    for (const promise of [...sent.slice(1), producer.flush(), producer.close(), producer.detach()])
      await expect(promise).rejects.toBe(error)
    await expect(producer.restart()).rejects.toBe(error)
    await expect(producer.send("f")).rejects.toBe(error)
    await expect(producer.ready).rejects.toBe(error)
    await ready
    expect(() => {
      producer.append("f")
    }).toThrow(error)
    expect(desk.posts).toHaveLength(posts)
    expect(onError).toHaveBeenCalledOnce()
  })

  it("leaves no unhandled rejection, whatever nobody waits for", async () => {
    const desk = new PostDesk()
    desk.reply = (post) => post.respond(404)
    const report = await runInVirtualTime({}, async (clock) => {
      const producer = desk.producer({ highWaterMarkBytes: 0 })
      void producer.send("a")
      void producer.ready
      void producer.flush()
      void producer.restart()
      void producer.close("z")
      await clock.sleep(1000)
      void producer.send("b")
      void producer.ready
      void producer.flush()
      void producer.close()
      void producer.detach()
      return undelivered(producer)
    })
    expect(report).toMatchObject({ value: ["a", "z"], unhandledRejections: [], leftoverTimers: [] })
  })

  it.each<[string, () => void]>([
    ["throws", () => raise()],
    ["rejects", () => Promise.reject(new Error("from onError"))],
  ])("is the same with an onError that %s", async (_name, onError) => {
    const complaints = vi.spyOn(console, "error").mockImplementation(() => undefined)
    const desk = new PostDesk()
    desk.reply = (post) => post.respond(404)
    const producer = desk.producer({ onError })
    appendAll(producer, "ab")
    await expect(producer.flush()).rejects.toMatchObject({ code: "NOT_FOUND" })
    await settled()
    expect([producer.state, undelivered(producer)]).toEqual(["failed", ["a", "b"]])
    expect(complaints).toHaveBeenCalledOnce()
    complaints.mockRestore()
  })

  it("lets onError hand everything over to another producer", async () => {
    const desk = new PostDesk()
    const log: string[] = []
    desk.reply = (post) => {
      if (post.headers["Producer-Epoch"] === "0") return post.respond(404)
      log.push(post.body)
      post.accept()
    }
    const done = new Promise<void>((resolve, reject) => {
      const first = desk.producer({
        maxBatchBytes: 2,
        onError: () => {
          const second = desk.producer({ epoch: 1 })
          for (const message of first.undelivered()) second.append(message)
          second.detach().then(resolve, reject)
        },
      })
      for (const message of "abcdé") first.append(message)
    })
    await done
    expect(log.join("")).toBe("abcdé")
  })

  it("names the stream without its query", async () => {
    const desk = new PostDesk()
    desk.reply = (post) => post.respond(401)
    const producer = desk.producer()
    producer.append("a")
    const error = (await producer.flush().catch((thrown: unknown) => thrown)) as Error
    expect(error.message).toContain("http://desk.test/stream")
    expect(JSON.stringify([error.message, error])).not.toContain("secret")
  })

  it.each([
    ["a closed stream", "closed", StreamClosedError, { finalOffset: "the-end" }],
    ["a missing stream", 404, FetchError, { code: "NOT_FOUND" }],
    ["a deleted stream", 410, FetchError, { code: "GONE" }],
    ["other credentials wanted", 401, FetchError, { code: "UNAUTHORIZED" }],
    ["another content type", 409, FetchError, { code: "CONTENT_TYPE_MISMATCH" }],
    ["a server that cannot append", 405, FetchError, {}],
    ["a server that never will", 501, FetchError, {}],
  ] as const)("comes at once from %s", async (_name, response, type, fields) => {
    const desk = new PostDesk()
    desk.reply = (post) => (response === "closed" ? post.closed() : post.respond(response))
    const producer = desk.producer()
    producer.append("a")
    const error = await producer.flush().catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(type)
    expect(error).toMatchObject(fields)
    expect(desk.posts).toHaveLength(1)
  })

  it("comes from a page of HTML that stands in for the server", async () => {
    const desk = new PostDesk()
    desk.reply = (post) => post.respond(200, { "content-type": "text/html" }, "<p>Log in</p>")
    const producer = desk.producer()
    producer.append("a")
    await expect(producer.flush()).rejects.toMatchObject({ code: "PROTOCOL", status: 200 })
    expect([undelivered(producer), producer.indeterminateCount]).toEqual([["a"], 1])
  })

  it("comes from a header function that throws, with what it threw", async () => {
    const desk = new PostDesk()
    const noToken = new Error("no token")
    const producer = desk.producer({ headers: { authorization: () => Promise.reject(noToken) } })
    producer.append("a")
    await expect(producer.flush()).rejects.toBe(noToken)
    expect([desk.posts.length, producer.indeterminateCount]).toEqual([0, 0])
  })

  it("comes from a header function that never responds, once deliveryTimeoutMs is over", async () => {
    const desk = new PostDesk()
    const report = await runInVirtualTime({}, async () => {
      const headers = { authorization: () => new Promise<string>(() => undefined) }
      const producer = desk.producer({ headers, deliveryTimeoutMs: 5000 })
      appendAll(producer, "a")
      const error = await producer.flush().catch((thrown: unknown) => thrown)
      return { error, rest: undelivered(producer), inDoubt: producer.indeterminateCount }
    })
    const value = { error: { code: "TIMEOUT" }, rest: ["a"], inDoubt: 0 }
    expect(report).toMatchObject({ value, elapsedMs: 5000, leftoverTimers: [] })
    expect(desk.posts).toEqual([])
  })
})

describe("an abort", () => {
  it("ends everything within one turn; what was out is in doubt", async () => {
    const desk = new PostDesk()
    const controller = new AbortController()
    const doubts: number[] = []
    const onError = () => {
      doubts.push(producer.indeterminateCount)
    }
    const producer = desk.producer({ signal: controller.signal, maxBatchBytes: 1, onError })
    const sent = producer.send("a")
    appendAll(producer, "bc")
    await settled()
    desk.posts[1]?.gap(0)
    await settled()
    controller.abort(new Error("enough"))
    expect(producer.state).toBe("failed")
    const error = await sent.catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(FetchBackoffAbortError)
    expect(error).toMatchObject({ cause: { message: "enough" } })
    expect([undelivered(producer), producer.indeterminateCount, doubts]).toEqual([
      ["a", "b", "c"],
      3,
      [3],
    ])
    await settled()
    expect(desk.posts.map(({ isAborted }) => isAborted)).toEqual([true, false, true])
    expect(getEventListeners(controller.signal, "abort")).toEqual([])
  })

  it("ends the wait for a retry, and leaves no timer", async () => {
    const desk = new PostDesk()
    desk.reply = (post) => post.respond(503, { "Retry-After": "3600" })
    const controller = new AbortController()
    const report = await runInVirtualTime({}, async (clock) => {
      const producer = desk.producer({ signal: controller.signal })
      appendAll(producer, "a")
      await clock.sleep(1000)
      controller.abort()
      await producer.flush().catch(() => undefined)
      return [undelivered(producer), producer.indeterminateCount]
    })
    expect(report).toMatchObject({ value: [["a"], 0], elapsedMs: 1000, leftoverTimers: [] })
  })

  it("of an idle producer loses nothing, and is not told to onError", async () => {
    const desk = new PostDesk()
    desk.reply = (post) => {
      post.accept()
    }
    const onError = vi.fn()
    const controller = new AbortController()
    const producer = desk.producer({ signal: controller.signal, onError })
    await producer.send("a")
    controller.abort()
    await settled()
    expect(producer.state).toBe("failed")
    expect(onError).not.toHaveBeenCalled()
  })

  it("before the first message is told by append, as nothing is lost", async () => {
    const onError = vi.fn()
    const producer = new PostDesk().producer({ signal: AbortSignal.abort(), onError })
    await settled()
    expect(onError).not.toHaveBeenCalled()
    expect(() => {
      producer.append("a")
    }).toThrow(FetchBackoffAbortError)
  })
})

describe("a closure that fails", () => {
  it.each([400, 403, 404, 409, 410])(
    "with %i and without a message is told by close alone, not by onError",
    async (status) => {
      const desk = new PostDesk()
      const onError = vi.fn()
      const producer = desk.producer({ onError })
      const sent = producer.send("a")
      const closed = producer.close()
      ;(await desk.post(0)).accept()
      ;(await desk.post(1)).respond(status)
      await expect(closed).rejects.toMatchObject({ status })
      expect(await sent).toMatchObject({ duplicate: false })
      expect(producer.state).toBe("failed")
      expect(onError).not.toHaveBeenCalled()
    },
  )

  it("is told to onError where its message is lost", async () => {
    const desk = new PostDesk()
    const onError = vi.fn()
    const producer = desk.producer({ onError })
    const closed = producer.close("end")
    ;(await desk.post(0)).respond(404)
    const error = await closed.catch((thrown: unknown) => thrown)
    expect(onError.mock.calls).toEqual([[error]])
    expect(undelivered(producer)).toEqual(["end"])
  })
})

function raise(): never {
  throw new Error("from onError")
}
