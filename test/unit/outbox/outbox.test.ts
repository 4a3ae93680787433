import { describe, expect, it } from "vitest"
import { DurableStream } from "../../../src/index.ts"
import { openOutbox } from "../../../src/outbox/index.ts"
import { memoryStore, MemoryDatabase } from "../../support/memory-outbox-store.ts"
import { rejection } from "../../support/rejection.ts"
import { accepted, duplicate, OutboxStage, staged } from "./outbox-server.ts"

const refused = (status: number, headers: Record<string, string> = {}) =>
  new Response(null, { status, headers })

describe("an outbox", () => {
  it("delivers what is appended, in order, under numbers of its own", () =>
    staged(async (stage) => {
      const outbox = await stage.open()
      await outbox.append({ n: 1 })
      await outbox.append({ n: 2 })
      await outbox.flush()
      await outbox.append({ n: 3 })
      expect(outbox.pendingCount).toBe(1)
      await outbox.flush()
      const { id, epoch } = stage.posts[0]!
      expect(stage.posts.map(({ body }) => body).join()).toMatch(
        /^\[\{"n":1\}(,|\],\[)\{"n":2\}\],\[\{"n":3\}\]$/,
      )
      expect(new Set(stage.posts.map((post) => `${post.id} ${post.epoch}`)).size).toBe(1)
      expect(stage.posts.map(({ seq }) => seq)).toEqual(stage.posts.map((_, index) => index))
      expect(id).toMatch(/^outbox-[0-9a-f]{32}$/)
      expect(epoch).toBeGreaterThan(2 ** 50)
      await outbox.detach()
      expect([outbox.pendingCount, outbox.pendingBytes, outbox.state]).toEqual([0, 0, "detached"])
    }))

  it("joins bytes side by side on a stream that is not JSON, and sends nothing for empty ones", () =>
    staged(async (stage) => {
      const outbox = await stage.open({ contentType: "text/plain" })
      await Promise.all([outbox.append("ab"), outbox.append(""), outbox.append("cd")])
      await outbox.flush()
      expect(stage.posts.map(({ body }) => body)).toEqual(["abcd"])
      await outbox.detach()
    }))

  it("lets appends that overlap share a transaction, and only the invalid one fail", () =>
    staged(async (stage) => {
      let transactions = 0
      const store = memoryStore(stage.database)
      const outbox = await stage.open({
        pollIntervalMs: Infinity,
        store: {
          transact: (name, program) => store.transact(name, () => (transactions++, program())),
        },
      })
      transactions = 0
      const appends = Array.from({ length: 100 }, (_, n) =>
        outbox.append(n === 50 ? "not JSON" : n),
      )
      const results = await Promise.allSettled(appends)
      expect(results.filter(({ status }) => status === "rejected").length).toBe(1)
      expect(await rejection(appends[50]!)).toMatchObject({ code: "PARSE_ERROR" })
      expect(transactions).toBeLessThan(6)
      await outbox.flush()
      expect(JSON.parse(stage.posts[0]!.body)).toHaveLength(99)
      await outbox.detach()
    }))

  it("reports what it does", () =>
    staged(async (stage) => {
      stage.reply = ({ epoch, seq }, index) => (index === 0 ? refused(503) : accepted(epoch, seq))
      const outbox = await stage.open()
      await outbox.append(1)
      await outbox.flush()
      expect(stage.events.map(({ kind }) => kind)).toEqual([
        "queued",
        "sealed",
        "sent",
        "retrying",
        "sent",
        "acknowledged",
      ])
      await outbox.detach()
    }))

  it("rejects beyond maxPendingBytes, and queues nothing of what it rejects", () =>
    staged(async (stage) => {
      stage.reply = () => "lost"
      const outbox = await stage.open({ maxPendingBytes: 5 })
      await outbox.append("12")
      const error = await rejection(outbox.append("345678"))
      expect(error).toMatchObject({ code: "BUFFER_FULL", name: "OutboxError" })
      expect((await outbox.undelivered()).messages).toHaveLength(1)
      await outbox[Symbol.asyncDispose]()
    }))

  it("closes the stream behind what is queued, and rejects later appends of every opener", () =>
    staged(async (stage) => {
      const [one, two] = [await stage.open(), await stage.open()]
      await one.append(1)
      await one.close()
      await one.close()
      expect(one.state).toBe("closed")
      expect(stage.posts.at(-1)).toMatchObject({ closes: true })
      for (const outbox of [one, two]) {
        expect(await rejection(outbox.append(2))).toMatchObject({ code: "ALREADY_CLOSED" })
        await outbox.detach()
      }
    }))

  it("takes a closure by another writer for its own if it had no message left", () =>
    staged(async (stage) => {
      stage.reply = () => refused(409, { "stream-closed": "true" })
      const outbox = await stage.open()
      await outbox.close()
      await outbox.detach()
      expect(stage.posts).toMatchObject([{ closes: true, body: "" }])
    }))

  it("ends at once by its signal, and keeps what it has for the next opener", () =>
    staged(async (stage) => {
      const controller = new AbortController()
      stage.reply = () => new Promise(() => undefined)
      const outbox = await stage.open({ signal: controller.signal })
      await outbox.append(1)
      const flush = rejection(outbox.flush())
      await stage.until(() => stage.posts.length === 1)
      controller.abort()
      expect(await flush).toMatchObject({ code: "ALREADY_CLOSED" })
      await outbox.detach()
      expect(await rejection(outbox.append(2))).toMatchObject({ code: "ALREADY_CLOSED" })
      stage.reply = ({ epoch, seq }) => accepted(epoch, seq)
      const next = await stage.open()
      await next.detach()
      expect(stage.posts[1]).toEqual(stage.posts[0])
    }))

  it("ends a flush by its own signal", () =>
    staged(async (stage) => {
      stage.reply = () => "lost"
      const outbox = await stage.open()
      await outbox.append(1)
      const controller = new AbortController()
      const flush = rejection(outbox.flush({ signal: controller.signal }))
      controller.abort()
      expect(await flush).toMatchObject({ name: "AbortError" })
      await outbox.detach({ signal: controller.signal })
      expect(outbox.state).toBe("detached")
    }))

  it("names the failure of its store, and goes on once it works", () =>
    staged(async (stage) => {
      const store = memoryStore(stage.database)
      let isBroken = false
      const outbox = await stage.open({
        store: {
          transact: (name, program) =>
            isBroken ? Promise.reject(new Error("disk full")) : store.transact(name, program),
        },
      })
      isBroken = true
      expect(await rejection(outbox.append(1))).toMatchObject({
        code: "STORE_FAILED",
        message: "Outbox default: its store failed: disk full",
        indeterminate: false,
      })
      isBroken = false
      await outbox.append(2)
      await outbox.detach()
      expect(stage.posts.map(({ body }) => body)).toEqual(["[2]"])
    }))
})

describe("what an outbox stores", () => {
  it("has no query, no header and no credentials", () =>
    staged(async (stage) => {
      stage.reply = () => refused(404)
      const stream = stage.stream(`${OutboxStage.url}?token=sesame`, { authorization: "sesame" })
      const outbox = await stage.open({}, stream)
      await outbox.append(1)
      await rejection(outbox.flush())
      expect(stage.dump).toContain(`\\"url\\":\\"${OutboxStage.url}\\"`)
      expect(stage.dump).not.toContain("sesame")
      await outbox.detach()
    }))

  it("belongs to one stream, unless movedFrom names it", () =>
    staged(async (stage) => {
      await (await stage.open()).detach()
      const moved = stage.stream("https://streams.example.com/moved")
      expect(await rejection(stage.open({}, moved))).toMatchObject({
        code: "BAD_REQUEST",
        message:
          "Outbox default belongs to the stream https://streams.example.com/orders, not to https://streams.example.com/moved. " +
          "Choose another name, or pass movedFrom if the stream has moved.",
      })
      await (await stage.open({ movedFrom: `${OutboxStage.url}?token=1` }, moved)).detach()
      await (await stage.open({}, moved)).detach()
      expect(await rejection(stage.open())).toMatchObject({ code: "BAD_REQUEST" })
    }))

  it("fails what may be stored at the place from which the stream has moved", () =>
    staged(async (stage) => {
      stage.reply = () => "lost"
      const outbox = await stage.open()
      await outbox.append(1)
      await stage.until(() => stage.posts.length > 0)
      await outbox[Symbol.asyncDispose]()
      const moved = stage.stream("https://streams.example.com/moved")
      const next = await stage.open({ movedFrom: OutboxStage.url }, moved)
      expect(await rejection(next.flush())).toMatchObject({ indeterminate: true })
      await next.detach()
    }))

  it("is one queue for each name", () =>
    staged(async (stage) => {
      const other = stage.stream("https://streams.example.com/other")
      const [one, two] = [await stage.open({ name: "1" }), await stage.open({ name: "2" }, other)]
      stage.reply = () => "lost"
      await one.append(1)
      expect((await two.undelivered()).messages).toEqual([])
      await two.detach()
      await one[Symbol.asyncDispose]()
      expect(new Set(stage.posts.map(({ id }) => id)).size).toBe(1)
    }))

  it("has one content type", () =>
    staged(async (stage) => {
      await (await stage.open({ contentType: "application/json; charset=utf-8" })).detach()
      await (await stage.open()).detach()
      expect(await rejection(stage.open({ contentType: "text/plain" }))).toMatchObject({
        code: "CONTENT_TYPE_MISMATCH",
      })
    }))

  it("is not touched by older code", () =>
    staged(async (stage) => {
      const outbox = await stage.open()
      const [key, record] = [...stage.database.disk.records].find(([name]) =>
        name.includes('"outbox"'),
      )!
      const newer = { json: record.json.replace('"formatVersion":1', '"formatVersion":2') }
      stage.database.disk.records.set(key, newer)
      const error = {
        code: "BAD_REQUEST",
        message: expect.stringContaining("newer code (format 2, this is 1)"),
      }
      expect(await rejection(outbox.append(1))).toMatchObject(error)
      expect(await rejection(stage.open())).toMatchObject(error)
      await outbox.detach()
      expect(stage.database.disk.records.get(key)).toEqual(newer)
    }))
})

describe("openOutbox rejects", () => {
  const store = memoryStore(new MemoryDatabase())
  const json = new DurableStream({ url: OutboxStage.url, contentType: "application/json" })

  it.each<[string, object, string]>([
    ["epoch", { epoch: 1 }, "epoch must be omitted (an outbox has numbers of its own), not 1"],
    [
      "autoClaim",
      { autoClaim: true },
      "autoClaim must be omitted (an outbox has numbers of its own), not true",
    ],
    [
      "producerId",
      { producerId: "p" },
      'producerId must be omitted (an outbox has numbers of its own), not "p"',
    ],
    ["store", { store: {} }, "store must be an OutboxStore, not an object"],
    ["name", { name: "" }, 'name must be a name, not ""'],
    [
      "contentType",
      { contentType: 5 },
      "contentType must be the stream's, given here or to the handle, not 5",
    ],
    ["movedFrom", { movedFrom: 5 }, "movedFrom must be a string or a URL, not 5"],
    [
      "maxPendingBytes",
      { maxPendingBytes: -1 },
      "maxPendingBytes must be a number, 0 or more, not -1",
    ],
    [
      "maxBatchBytes",
      { maxBatchBytes: 0 },
      "maxBatchBytes must be a whole number above 0, or Infinity, not 0",
    ],
    [
      "maxBatchItems",
      { maxBatchItems: 1.5 },
      "maxBatchItems must be a whole number above 0, or Infinity, not 1.5",
    ],
    [
      "producerRetentionMs",
      { producerRetentionMs: 0 },
      "producerRetentionMs must be a number of milliseconds above 0",
    ],
    [
      "pollIntervalMs",
      { pollIntervalMs: "1s" },
      'pollIntervalMs must be a number of milliseconds above 0, or Infinity, not "1s"',
    ],
    [
      "backoffOptions",
      { backoffOptions: { multiplier: 0 } },
      "backoffOptions.multiplier must be 1 or more, not 0",
    ],
    ["observe", { observe: 1 }, "observe must be a function, not 1"],
  ])("a bad %s by name and value", async (_, options, message) => {
    const error = await rejection(openOutbox(json, { store, ...options }))
    expect(error).toMatchObject({
      code: "BAD_REQUEST",
      message: expect.stringContaining(`The option ${message}`),
    })
  })

  it("a stream without a content type, what is no stream, and a signal that is none", async () => {
    const unknown = new DurableStream({ url: OutboxStage.url })
    expect(await rejection(openOutbox(unknown, { store }))).toMatchObject({
      message:
        "The option contentType must be the stream's, given here or to the handle, not undefined.",
    })
    expect(await rejection(openOutbox({} as never, { store }))).toMatchObject({
      message: "The option stream must be a DurableStream, not an object.",
    })
    expect(await rejection(openOutbox(json, { store, signal: 1 as never }))).toMatchObject({
      name: "InvalidSignalError",
    })
  })
})

describe("rule 1: sealed batches", () => {
  it("are sent again after a crash with the same numbers and bytes, and before what came later", () =>
    staged(async (stage) => {
      stage.reply = () => "lost"
      const crashed = await stage.open()
      await crashed.append(1)
      await stage.until(() => stage.posts.length > 0)
      await crashed[Symbol.asyncDispose]()
      stage.reply = ({ epoch, seq }) => duplicate(epoch, seq)
      stage.posts.length = 1
      const next = await stage.open()
      await next.append(2)
      await next.detach()
      expect(stage.posts[1]).toEqual(stage.posts[0])
      expect(stage.posts[2]).toMatchObject({ seq: 0, body: "[2]" })
    }))
})

describe("rule 2: an epoch for each opening", () => {
  it("is above every epoch before", () =>
    staged(async (stage) => {
      const epochs: number[] = []
      for (let opening = 0; opening < 5; opening++) {
        const outbox = await stage.open()
        await outbox.append(1)
        await outbox.detach()
        epochs.push(stage.posts.at(-1)!.epoch)
        stage.clock.setWallClock(-86_400_000)
      }
      expect(epochs).toEqual([...new Set(epochs)].sort((a, b) => a - b))
    }))

  it("fails at a duplicate above what the store has sealed: another copy was in use", () =>
    staged(async (stage) => {
      stage.reply = ({ epoch }) => duplicate(epoch, 7)
      const outbox = await stage.open()
      await outbox.append(1)
      expect(await rejection(outbox.flush())).toMatchObject({
        code: "STALE_EPOCH",
        indeterminate: true,
      })
      expect(await outbox.undelivered()).toMatchObject({ indeterminateCount: 1 })
      await outbox.detach()
    }))

  it("fails a copy that is fenced, and resends above its fencer if the program says so", () =>
    staged(async (stage) => {
      const fencer = 2 ** 52
      stage.reply = ({ epoch, seq }) =>
        epoch < fencer ? refused(403, { "producer-epoch": String(fencer) }) : accepted(epoch, seq)
      const outbox = await stage.open()
      await outbox.append(1)
      expect(await rejection(outbox.flush())).toMatchObject({
        code: "STALE_EPOCH",
        indeterminate: false,
      })
      expect(outbox.state).toBe("failed")
      await outbox.resume({ resend: true })
      await outbox.detach()
      expect(stage.posts.at(-1)).toMatchObject({ body: "[1]" })
      expect(stage.posts.at(-1)!.epoch).toBeGreaterThan(fencer)
    }))
})

describe("rule 3: a rejected batch", () => {
  const rejectsTwo = (body: string) => body.includes("2")

  it("is split in new epochs until the message at fault is alone, if no attempt is indeterminate", () =>
    staged(async (stage) => {
      stage.reply = ({ epoch, seq, body }) =>
        rejectsTwo(body) ? refused(400) : accepted(epoch, seq)
      const outbox = await stage.open()
      await Promise.all([1, 2, 3].map((n) => outbox.append(n)))
      const error = await rejection(outbox.flush())
      expect(error).toMatchObject({ code: "BAD_REQUEST", indeterminate: false })
      const { messages, indeterminateCount } = await outbox.undelivered()
      expect([messages.map(String), indeterminateCount]).toEqual([["50", "51"], 0])
      await outbox.resume({ skip: true })
      await outbox.detach()
      expect(stage.posts.filter(({ body }) => !rejectsTwo(body)).map(({ body }) => body)).toEqual([
        "[1]",
        "[3]",
      ])
    }))

  it("is not split if a response was lost", () =>
    staged(async (stage) => {
      stage.reply = (_, index) => (index === 0 ? "lost" : refused(413))
      const outbox = await stage.open()
      await Promise.all([1, 2, 3].map((n) => outbox.append(n)))
      expect(await rejection(outbox.flush())).toMatchObject({
        code: "PAYLOAD_TOO_LARGE",
        indeterminate: true,
      })
      expect((await outbox.undelivered()).indeterminateCount).toBe(3)
      expect(new Set(stage.posts.map(({ epoch }) => epoch)).size).toBe(1)
      await outbox.detach()
    }))

  it("is not split if its opener died without an outcome", () =>
    staged(async (stage) => {
      stage.reply = () => new Promise(() => undefined)
      const store = memoryStore(stage.database)
      let isDead = false
      const dying = await stage.open({
        store: {
          transact: (name, program) =>
            isDead ? new Promise(() => undefined) : store.transact(name, program),
        },
      })
      await Promise.all([1, 2].map((n) => dying.append(n)))
      await stage.until(() => stage.posts.length === 1)
      isDead = true
      stage.reply = () => refused(413)
      const next = await stage.open()
      expect(await rejection(next.flush())).toMatchObject({
        code: "PAYLOAD_TOO_LARGE",
        indeterminate: true,
      })
      await next.detach()
    }))

  it("keeps the size that the server takes", () =>
    staged(async (stage) => {
      stage.reply = ({ epoch, seq, body }) =>
        body.length > 9 ? refused(413) : accepted(epoch, seq)
      const outbox = await stage.open()
      await Promise.all(Array.from({ length: 32 }, (_, n) => outbox.append(n % 10)))
      await outbox.detach()
      const rejections = stage.posts.filter(({ body }) => body.length > 9)
      expect(rejections.length).toBeLessThan(6)
      expect(
        stage.posts
          .filter((post) => !rejections.includes(post))
          .flatMap(({ body }) => JSON.parse(body)),
      ).toHaveLength(32)
    }))

  it.each([401, 403])("is not split on %i: delivery pauses, and resume() tries again", (status) =>
    staged(async (stage) => {
      let isAllowed = false
      stage.reply = ({ epoch, seq }) => (isAllowed ? accepted(epoch, seq) : refused(status))
      const outbox = await stage.open()
      await outbox.append(1)
      await stage.until(() => outbox.state === "paused")
      expect(stage.events.at(-1)).toMatchObject({
        kind: "paused",
        code: status === 401 ? "UNAUTHORIZED" : "FORBIDDEN",
      })
      await outbox.append(2)
      expect(stage.posts).toHaveLength(1)
      isAllowed = true
      await outbox.resume()
      await outbox.detach()
      expect(stage.posts[1]).toEqual(stage.posts[0])
    }),
  )

  it.each<[string, Response, string]>([
    ["404", refused(404), "NOT_FOUND"],
    ["410", refused(410), "GONE"],
    ["a closed stream", refused(409, { "stream-closed": "true" }), "STREAM_CLOSED"],
    ["a wrong content type", refused(409), "CONTENT_TYPE_MISMATCH"],
    ["a server that does not append", refused(501), "UNKNOWN"],
    [
      "a gap",
      refused(409, { "producer-expected-seq": "3", "producer-received-seq": "5" }),
      "SEQUENCE_GAP",
    ],
  ])("fails at %s, drops nothing, and rejects appends until resume()", (_, response, code) =>
    staged(async (stage) => {
      let isOver = false
      stage.reply = ({ epoch, seq }) => (isOver ? accepted(epoch, seq) : response.clone())
      const outbox = await stage.open()
      await outbox.append(1)
      expect(await rejection(outbox.flush())).toMatchObject({ code })
      expect(await rejection(outbox.append(2))).toMatchObject({ code })
      expect(outbox.error).toMatchObject({ code, indeterminate: false })
      isOver = true
      await outbox.resume()
      expect(outbox.error).toBeUndefined()
      await outbox.append(3)
      await outbox.detach()
      expect(
        stage.posts
          .slice(1)
          .map(({ body }) => body)
          .join(),
      ).toMatch(/^\[1\],\[3\]$/)
    }),
  )

  it.each([202, 205])(
    "is retried on %i, which is no response of a server of the protocol",
    (status) =>
      staged(async (stage) => {
        stage.reply = ({ epoch, seq }, index) =>
          index < 3 ? refused(status) : accepted(epoch, seq)
        const outbox = await stage.open()
        await outbox.append(1)
        await outbox.detach()
        expect(stage.posts).toHaveLength(4)
      }),
  )

  it("ignores a late 403 about a batch that another opener has settled", () =>
    staged(async (stage) => {
      let respond: (response: Response) => void = () => undefined
      stage.reply = () => new Promise((resolve) => (respond = resolve))
      const slow = await stage.open()
      await slow.append(1)
      await stage.until(() => stage.posts.length === 1)
      stage.reply = ({ epoch, seq }) => accepted(epoch, seq)
      const fast = await stage.open()
      await fast.flush()
      await fast.append(2)
      await fast.flush()
      respond(refused(403, { "producer-epoch": String(stage.posts.at(-1)!.epoch) }))
      await slow.append(3)
      await slow.detach()
      expect(stage.events.filter(({ kind }) => kind === "failed")).toEqual([])
      expect(stage.posts.map(({ body }) => body)).toEqual(["[1]", "[1]", "[2]", "[3]"])
      await fast.detach()
    }))

  it("leaves a batch to the opener that is sending it", () =>
    staged(async (stage) => {
      let respond: () => void = () => undefined
      stage.reply = ({ epoch, seq }) =>
        new Promise((resolve) => (respond = () => resolve(accepted(epoch, seq))))
      const [one, two] = [await stage.open(), await stage.open()]
      await one.append(1)
      await stage.until(() => stage.posts.length === 1)
      await stage.clock.sleep(1_500)
      respond()
      await two.flush()
      expect(stage.posts).toHaveLength(1)
      await one.detach()
      await two.detach()
    }))
})

describe("rule 4: a server that forgets", () => {
  const DAY_MS = 86_400_000

  it.each<[string, number]>([
    ["is older than producerRetentionMs", 6 * DAY_MS],
    ["has an age that the clock cannot tell", -DAY_MS],
  ])("does not resend an indeterminate first batch of an epoch that %s", (_, byMs) =>
    staged(async (stage) => {
      stage.reply = () => "lost"
      const before = await stage.open()
      await before.append(1)
      await stage.until(() => stage.posts.length > 0)
      await before[Symbol.asyncDispose]()
      stage.posts.length = 0
      stage.clock.setWallClock(byMs)
      const after = await stage.open()
      expect(await rejection(after.flush())).toMatchObject({
        code: "TIMEOUT",
        indeterminate: true,
      })
      expect(stage.posts).toEqual([])
      stage.reply = ({ epoch, seq }) => accepted(epoch, seq)
      await stage.clock.sleep(180_000)
      await after.resume({ skip: true })
      await after.append(2)
      await after.detach()
      expect(stage.posts.map(({ body }) => body)).toEqual(["[2]"])
    }),
  )

  it("goes on in a fresh epoch at a gap that expects 0, if nothing is indeterminate", () =>
    staged(async (stage) => {
      stage.reply = ({ epoch, seq }, index) =>
        index === 1
          ? refused(409, { "producer-expected-seq": "0", "producer-received-seq": "1" })
          : accepted(epoch, seq)
      const outbox = await stage.open()
      await outbox.append(1)
      await outbox.flush()
      await outbox.append(2)
      await outbox.detach()
      const [first, gap, again] = stage.posts
      expect(again).toMatchObject({ seq: 0, body: gap!.body })
      expect(again!.epoch).toBeGreaterThan(first!.epoch)
    }))

  it("fails at a gap that expects 0 if a response was lost before", () =>
    staged(async (stage) => {
      stage.reply = ({ epoch, seq }, index) => {
        if (index === 1) return "lost"
        if (index === 0) return accepted(epoch, seq)
        return refused(409, { "producer-expected-seq": "0", "producer-received-seq": "1" })
      }
      const outbox = await stage.open()
      await outbox.append(1)
      await outbox.flush()
      await outbox.append(2)
      expect(await rejection(outbox.flush())).toMatchObject({
        code: "SEQUENCE_GAP",
        indeterminate: true,
      })
      await outbox.detach()
    }))

  it("rejects a decision while a request may still arrive", () =>
    staged(async (stage) => {
      stage.reply = (_, index) => (index === 0 ? "lost" : refused(400))
      const outbox = await stage.open()
      await outbox.append(1)
      await rejection(outbox.flush())
      expect(await rejection(outbox.resume({ resend: true }))).toMatchObject({ code: "BUSY" })
      expect(await rejection(outbox.resume({ resend: true, skip: true }))).toMatchObject({
        message: "The option skip must be omitted beside resend, not true.",
      })
      await stage.clock.sleep(180_000)
      stage.reply = ({ epoch, seq }) => accepted(epoch, seq)
      await outbox.resume({ resend: true })
      await outbox.detach()
      expect(stage.posts.at(-1)!.epoch).toBeGreaterThan(stage.posts[0]!.epoch)
    }))
})

describe("rule 4: a decision while the clock is set", () => {
  it.each([-86_400_000, 200_000])("is rejected until three minutes have passed: by %i ms", (byMs) =>
    staged(async (stage) => {
      stage.reply = (_, index) => (index === 0 ? "lost" : refused(400))
      const outbox = await stage.open()
      await outbox.append(1)
      await rejection(outbox.flush())
      stage.clock.setWallClock(byMs)
      for (const decision of [{ resend: true }, { skip: true }]) {
        expect(await rejection(outbox.resume(decision))).toMatchObject({ code: "BUSY" })
      }
      await stage.clock.sleep(180_000)
      await outbox.resume({ skip: true })
      await outbox.detach()
    }),
  )
})

describe("rule 5: a transaction of the caller's", () => {
  it("has written the message when append returns, which is sent once it is committed", () =>
    staged(async (stage) => {
      const outbox = await stage.open()
      const transaction = await stage.database.begin()
      void outbox.append(1, { transaction })
      transaction.commit()
      await outbox.detach()
      expect(stage.posts.map(({ body }) => body)).toEqual(["[1]"])
    }))

  it("takes a message back that is rolled back", () =>
    staged(async (stage) => {
      const outbox = await stage.open()
      const transaction = await stage.database.begin()
      await outbox.append(1, { transaction })
      transaction.rollback()
      await outbox.append(2)
      await outbox.detach()
      expect(stage.posts.map(({ body }) => body)).toEqual(["[2]"])
    }))

  it("gets a rejection thrown, so that it rolls back", () =>
    staged(async (stage) => {
      const outbox = await stage.open({ maxPendingBytes: 3 })
      const transaction = await stage.database.begin()
      expect(() => outbox.append(undefined, { transaction })).toThrow("undefined has no JSON")
      expect(() => outbox.append("1234", { transaction })).toThrow(/exceed maxPendingBytes \(3\)/)
      transaction.rollback()
      await outbox.close()
      const late = await stage.database.begin()
      expect(() => outbox.append(1, { transaction: late })).toThrow("nothing can be appended")
      late.rollback()
      await outbox.detach()
    }))

  it("is rejected by name by a store that cannot join one", () =>
    staged(async (stage) => {
      const { transact } = memoryStore(stage.database)
      const outbox = await stage.open({ store: { transact } })
      expect(() => outbox.append(1, { transaction: {} })).toThrow(
        "The option transaction must be omitted",
      )
      await outbox.detach()
    }))
})

describe("rule 6: concurrent transactions", () => {
  it("are waited for by close(), so that nothing is queued behind the closure", () =>
    staged(async (stage) => {
      stage.database.choices.isolation = "concurrent"
      const outbox = await stage.open()
      const transaction = await stage.database.begin()
      await outbox.append(1, { transaction })
      const close = outbox.close()
      await stage.clock.sleep(5_000)
      expect(stage.posts).toEqual([])
      transaction.commit()
      await close
      expect(stage.posts.map(({ body }) => body)).toEqual(["[1]"])
      await outbox.detach()
    }))

  it("open one outbox with one producer id", () =>
    staged(async (stage) => {
      stage.database.choices.isolation = "concurrent"
      const outboxes = await Promise.all([stage.open(), stage.open(), stage.open()])
      for (const outbox of outboxes) await outbox.append(1)
      for (const outbox of outboxes) await outbox.detach()
      expect(new Set(stage.posts.map(({ id }) => id)).size).toBe(1)
      expect(stage.posts.flatMap(({ body }) => JSON.parse(body))).toEqual([1, 1, 1])
    }))
})
