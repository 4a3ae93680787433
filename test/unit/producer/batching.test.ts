import { describe, expect, it } from "vitest"
import { runInVirtualTime } from "../../support/virtual-time.ts"
import type { IdempotentProducerOptions } from "../../../src/index.ts"
import { appendAll, PostDesk, settled } from "./post-desk.ts"

describe("batching", () => {
  it("joins what is appended within lingerMs into one JSON array, wrapped once", async () => {
    const desk = new PostDesk()
    desk.reply = (post) => post.accept()
    const { value } = await runInVirtualTime({}, async (clock) => {
      const producer = desk.producer({ lingerMs: 20 }, "application/json")
      producer.append({ id: 1 })
      await clock.sleep(19)
      producer.append('[2, "two"]')
      producer.append(new TextEncoder().encode("null"))
      const early = desk.posts.length
      await clock.sleep(2)
      producer.append("3")
      await producer.flush()
      return early
    })
    expect(value).toBe(0)
    expect(desk.posts.map(({ body }) => body)).toEqual(['[{"id":1},[2, "two"],null]', "[3]"])
    expect(desk.posts[0]?.headers).toMatchObject({
      "content-type": "application/json",
      "Producer-Id": "desk",
      "Producer-Epoch": "0",
      "Producer-Seq": "0",
    })
  })

  it("puts bytes and text side by side on any other stream", async () => {
    const desk = new PostDesk()
    desk.reply = (post) => post.accept()
    const producer = desk.producer()
    producer.append("é")
    producer.append(new TextEncoder().encode("漢"))
    producer.append(new Uint16Array([0x6261]).buffer)
    await producer.flush()
    expect(desk.posts.map(({ body }) => body)).toEqual(["é漢ab"])
  })

  it("never exceeds maxBatchBytes by joining; a larger message goes alone", async () => {
    const desk = new PostDesk()
    desk.reply = (post) => post.accept()
    const producer = desk.producer({ maxBatchBytes: 7 }, "application/json")
    for (const message of ["1", "2", "3", "[4,4,4,4,4]", "5"]) producer.append(message)
    await producer.flush()
    expect(desk.posts.map(({ body }) => body)).toEqual(["[1,2,3]", "[[4,4,4,4,4]]", "[5]"])
  })

  it("lets the open batch grow while every slot is taken, rather than queue up small ones", async () => {
    const desk = new PostDesk()
    const producer = desk.producer({ maxInFlight: 1 })
    producer.append("a")
    const first = await desk.post(0)
    for (const message of "bcd") {
      producer.append(message)
      await settled()
    }
    first.accept()
    ;(await desk.post(1)).accept()
    await producer.flush()
    expect(desk.posts.map(({ body }) => body)).toEqual(["a", "bcd"])
  })

  it("counts what is pending, in flight and buffered", async () => {
    const desk = new PostDesk()
    const producer = desk.producer({ maxInFlight: 2, maxBatchBytes: 2 }, "application/json")
    for (const message of ["1", "22", "333"]) producer.append(message)
    await desk.post(1)
    expect([producer.pendingCount, producer.inFlightCount, producer.bufferedBytes]).toEqual([
      1, 2, 6,
    ])
    ;(await desk.post(0)).accept("first")
    await desk.post(2)
    expect([producer.pendingCount, producer.bufferedBytes]).toEqual([0, 5])
    expect([producer.lastSuccessfulOffset, producer.epoch, producer.nextSeq]).toEqual([
      "first",
      0,
      3,
    ])
    desk.reply = (post) => post.accept()
    for (const post of desk.posts.slice(1)) post.accept()
    await producer.detach()
    expect([producer.pendingCount, producer.inFlightCount, producer.bufferedBytes]).toEqual([
      0, 0, 0,
    ])
    expect(producer.lastSuccessfulOffset).toBe("after-0.2")
  })
})

describe("what is no message", () => {
  it.each([
    ["malformed text", "{"],
    ["two values in one", '1},{"x":2'],
    ["nothing", ""],
    ["bytes that are no UTF-8", new Uint8Array([0xff])],
    ["a BOM", new Uint8Array([0xef, 0xbb, 0xbf, 0x31])],
    ["undefined", undefined],
    ["a function", () => 1],
  ])("%s is refused at append(), its neighbours go through", async (_name, body) => {
    const desk = new PostDesk()
    desk.reply = (post) => post.accept()
    const producer = desk.producer({}, "application/json")
    producer.append("1")
    expect(() => {
      producer.append(body)
    }).toThrow(expect.objectContaining({ code: "PARSE_ERROR" }))
    await expect(producer.send(body)).rejects.toMatchObject({ code: "PARSE_ERROR" })
    producer.append("2")
    await producer.flush()
    expect(desk.posts.map((post) => post.body)).toEqual(["[1,2]"])
  })

  it.each([
    ["application/json", Promise.resolve(1)],
    ["application/json", new ReadableStream()],
    ["text/plain", {}],
    ["text/plain", 1],
  ])("on %s: %s", (contentType, body) => {
    const producer = new PostDesk().producer({}, contentType)
    expect(() => {
      producer.append(body)
    }).toThrow(expect.objectContaining({ code: "BAD_REQUEST" }))
    expect(producer.bufferedBytes).toBe(0)
  })

  it.each([
    ["text/plain", "a\uD83D", "BAD_REQUEST"],
    ["application/json", '"\uDE00"', "PARSE_ERROR"],
    ["not known", "\uD83D", "BAD_REQUEST"],
  ])("half of a character (%s): nothing is stored in its place", async (type, half, code) => {
    const desk = new PostDesk()
    desk.reply = (post) =>
      post.method === "HEAD" ? post.respond(200, { "content-type": "text/plain" }) : post.accept()
    const isKnown = type !== "not known"
    const producer = desk.producer({ onError: () => undefined }, isKnown ? type : null)
    producer.append("1")
    const rejected = producer.send(half)
    producer.append("2")
    await expect(rejected).rejects.toMatchObject({ code })
    await producer.flush().catch(() => undefined)
    await producer.flush()
    expect(desk.posts.at(-1)?.body).toBe(type === "application/json" ? "[1,2]" : "12")
  })
})

describe("an unknown content type", () => {
  it("is found out by one HEAD; what was appended before is held and sent as what it is", async () => {
    const desk = new PostDesk()
    const producer = desk.producer({}, null)
    const bytes = new TextEncoder().encode("[2]")
    producer.append({ id: 1 })
    producer.append(bytes)
    bytes.fill(0)
    const flushed = producer.flush()
    const head = await desk.post(0)
    expect([head.method, desk.posts.length, producer.pendingCount]).toEqual(["HEAD", 1, 2])
    head.respond(200, { "content-type": "application/json; charset=utf-8" })
    const post = await desk.post(1)
    expect([post.method, post.body]).toEqual(["POST", '[{"id":1},[2]]'])
    expect(post.headers["content-type"]).toBe("application/json; charset=utf-8")
    post.accept()
    await flushed
  })

  it("holds a copy of a Buffer, whose own slice() is none", async () => {
    const desk = new PostDesk()
    const producer = desk.producer({}, null)
    const buffer = Buffer.from("before")
    producer.append(buffer)
    buffer.fill("x")
    const flushed = producer.flush()
    ;(await desk.post(0)).respond(200, { "content-type": "text/plain" })
    const post = await desk.post(1)
    expect(post.body).toBe("before")
    post.accept()
    await flushed
  })

  it("leaves out what turns out to be no message, and tells of it", async () => {
    const desk = new PostDesk()
    desk.reply = (post) =>
      post.method === "HEAD"
        ? post.respond(200, { "content-type": "application/json" })
        : post.accept()
    const errors: Error[] = []
    const producer = desk.producer({ onError: (error) => errors.push(error) }, null)
    producer.append("1")
    const bad = producer.send("{")
    producer.append("2")
    await expect(bad).rejects.toMatchObject({ code: "PARSE_ERROR", details: { text: "{" } })
    await expect(producer.flush()).rejects.toBe(await bad.catch((error: unknown) => error))
    await producer.flush()
    expect(desk.posts.at(-1)?.body).toBe("[1,2]")
    expect(errors).toMatchObject([{ code: "PARSE_ERROR", details: { text: "{" } }])
    expect([producer.state, producer.bufferedBytes]).toEqual(["open", 0])
  })

  it("goes by what the handle has learnt meanwhile", async () => {
    const desk = new PostDesk()
    desk.reply = (post) => post.accept()
    const producer = desk.producer()
    appendAll(producer, "ab")
    await producer.flush()
    expect(desk.posts.map(({ method }) => method)).toEqual(["POST"])
  })

  it("fails the producer where there is no stream", async () => {
    const desk = new PostDesk()
    desk.reply = (post) => post.respond(404)
    const producer = desk.producer({}, null)
    producer.append("kept")
    await expect(producer.flush()).rejects.toMatchObject({ code: "NOT_FOUND" })
    expect(new TextDecoder().decode(producer.undelivered()[0])).toBe("kept")
  })

  it("is not that of a page of HTML that stands in for the server", async () => {
    const desk = new PostDesk()
    desk.reply = (post) => post.respond(200, { "content-type": "text/html" })
    const producer = desk.producer({}, null)
    producer.append({ kept: true })
    await expect(producer.flush()).rejects.toMatchObject({ code: "PROTOCOL" })
    expect(desk.posts.map(({ method }) => method)).toEqual(["HEAD"])
    expect(new TextDecoder().decode(producer.undelivered()[0])).toBe('{"kept":true}')
  })

  it.each([400, 401, 403, 405, 501])(
    "is octet-stream if HEAD is rejected with %i",
    async (status) => {
      const desk = new PostDesk()
      desk.reply = (post) => (post.method === "HEAD" ? post.respond(status) : post.accept())
      const producer = desk.producer({}, null)
      producer.append("a")
      await producer.flush()
      expect(desk.posts.map(({ method, headers }) => [method, headers["content-type"]])).toEqual([
        ["HEAD", undefined],
        ["POST", "application/octet-stream"],
      ])
    },
  )

  it("is JSON if HEAD is rejected and a message is a value", async () => {
    const desk = new PostDesk()
    desk.reply = (post) => (post.method === "HEAD" ? post.respond(405) : post.accept())
    const producer = desk.producer({}, null)
    producer.append({ id: 1 })
    await producer.flush()
    expect(desk.posts[1]?.body).toBe('[{"id":1}]')
    expect(desk.posts[1]?.headers["content-type"]).toBe("application/json")
  })

  it("is waited for no longer than about a second if HEAD gets no response", async () => {
    const desk = new PostDesk()
    desk.reply = (post) => {
      if (post.method !== "HEAD") post.accept()
    }
    const report = await runInVirtualTime({}, async () => {
      const producer = desk.producer({}, null)
      producer.append("a")
      await producer.flush()
    })
    expect(report.elapsedMs).toBeLessThan(1500)
    expect(report.leftoverTimers).toEqual([])
    expect(desk.posts.at(-1)?.method).toBe("POST")
  })

  it("is not asked for longer than deliveryTimeoutMs", async () => {
    const desk = new PostDesk()
    desk.reply = (post) => post.respond(503)
    const report = await runInVirtualTime({}, async () => {
      const producer = desk.producer({ deliveryTimeoutMs: 5000 }, null)
      producer.append("kept")
      const error = await producer.flush().catch((thrown: unknown) => thrown)
      return { error, state: producer.state }
    })
    expect(report.value).toMatchObject({ state: "failed", error: { code: "TIMEOUT" } })
    expect(report).toMatchObject({ elapsedMs: 5000, leftoverTimers: [] })
  })

  it("is asked for again while there is no network", async () => {
    const desk = new PostDesk()
    desk.reply = (post) => post.refuse()
    await runInVirtualTime({}, async (clock) => {
      const producer = desk.producer({}, null)
      producer.append({ id: 1 })
      await clock.sleep(60_000)
      expect(desk.posts.every(({ method }) => method === "HEAD")).toBe(true)
      desk.reply = (post) =>
        post.respond(200, { "content-type": "application/json", "Stream-Next-Offset": "1" })
      await producer.flush()
    })
    expect(desk.posts.at(-1)?.body).toBe('[{"id":1}]')
  })
})

describe("an empty body on a stream that is not JSON", () => {
  it.each([[""], [new Uint8Array(0)]])("is no message: %j", async (body) => {
    const desk = new PostDesk()
    const producer = desk.producer()
    producer.append(body)
    await producer.flush()
    expect([producer.bufferedBytes, producer.pendingCount, desk.posts.length]).toEqual([0, 0, 0])
  })

  it("settles its send() after the messages ahead of it", async () => {
    const desk = new PostDesk()
    const producer = desk.producer()
    expect(await producer.send("")).toEqual({ offset: "", duplicate: false })
    producer.append("a")
    let isSettled = false
    const sent = producer.send("").finally(() => (isSettled = true))
    const post = await desk.post(0)
    await settled()
    expect(isSettled).toBe(false)
    post.accept("7")
    expect(await sent).toEqual({ offset: "7", duplicate: false })
  })

  it("is no message either while the content type is not known", async () => {
    const desk = new PostDesk()
    desk.reply = (post) =>
      post.method === "HEAD" ? post.respond(200, { "content-type": "text/plain" }) : post.accept()
    const producer = desk.producer({}, null)
    const sent = producer.send("")
    producer.append("a")
    await Promise.all([sent, producer.flush()])
    expect(desk.posts.map(({ body }) => body)).toEqual(["", "a"])
  })

  it("closes the stream without a final message", async () => {
    const desk = new PostDesk()
    desk.reply = (post) => post.accept()
    await desk.producer().close("")
    expect(desk.posts.map(({ body, headers }) => [body, headers["Stream-Closed"]])).toEqual([
      ["", "true"],
    ])
  })
})

describe("a full batch", () => {
  it.each<[string, IdempotentProducerOptions, string[]]>([
    ["one message above maxBatchBytes", { maxBatchBytes: 64 }, ["x".repeat(100)]],
    ["exactly maxBatchBytes", { maxBatchBytes: 4 }, ["ab", "cd"]],
    ["maxBatchItems messages", { maxBatchItems: 2 }, ["a", "b"]],
  ])("does not linger: %s", async (_name, options, messages) => {
    const desk = new PostDesk()
    desk.reply = (post) => post.accept()
    const report = await runInVirtualTime({}, async () => {
      const producer = desk.producer({ lingerMs: 1000, ...options })
      await Promise.all(messages.map((message) => producer.send(message)))
    })
    expect(report.elapsedMs).toBe(0)
    expect(desk.posts.map(({ body }) => body)).toEqual([messages.join("")])
  })

  it("has at most maxBatchItems messages", async () => {
    const desk = new PostDesk()
    desk.reply = (post) => post.accept()
    const producer = desk.producer({ maxBatchItems: 3 }, "application/json")
    for (const message of ["1", "2", "3", "4"]) producer.append(message)
    await producer.flush()
    expect(desk.posts.map(({ body }) => body)).toEqual(["[1,2,3]", "[4]"])
  })
})
