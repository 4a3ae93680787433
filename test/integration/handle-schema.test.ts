import { afterAll, beforeAll, describe, expect, it, vi } from "vitest"
import { z } from "zod"
import {
  DurableStream,
  IdempotentProducer,
  type DurableStreamOptions,
  type StandardSchemaV1,
} from "../../src/index.ts"
import { startReferenceServer, type ReferenceServer } from "../support/reference-server.ts"
import { rejection } from "../support/rejection.ts"

let server: ReferenceServer
beforeAll(async () => {
  server = await startReferenceServer()
})
afterAll(() => server.stop())

/** What is stored and what is read are not of one type. */
const message = z.object({
  id: z.number(),
  sentAt: z.iso.datetime().transform((text) => new Date(text)),
  role: z.string().default("user"),
})
const sentAt = "2026-01-02T03:04:05.000Z"
const stored = (id: number) => ({ id, sentAt })
const read = (id: number) => ({ id, sentAt: new Date(sentAt), role: "user" })

/** The same, but it takes its time: the more, the smaller the id. */
const slow: StandardSchemaV1 = {
  "~standard": {
    version: 1,
    vendor: "test",
    async validate(value) {
      const { id } = value as { readonly id: number }
      for (let turn = id; turn < 10; turn++) await Promise.resolve()
      return message["~standard"].validate(value)
    },
  },
}

function handle(options: Partial<DurableStreamOptions> = {}) {
  const fetch = vi.fn(globalThis.fetch)
  const stream = new DurableStream({ url: server.streamUrl(), schema: message, fetch, ...options })
  return { fetch, stream }
}

async function storedIn(stream: DurableStream): Promise<unknown> {
  return (await fetch(stream.url)).json()
}

async function contentOf(stream: DurableStream): Promise<unknown[]> {
  return (await stream.stream({ live: false })).json()
}

describe("a handle with a schema", () => {
  it("stores messages as they are given, and reads what the schema makes of them", async () => {
    const { stream } = handle()
    await stream.create()
    await stream.append(stored(1))
    await stream.append(JSON.stringify(stored(2)))
    await stream.append(new TextEncoder().encode(JSON.stringify(stored(3))))
    await stream.append(Promise.resolve(stored(4)))
    expect(await stream.appendWithResult(stored(5))).toMatchObject({ kind: "ok" })
    await stream.close({ body: stored(6) })
    const ids = [1, 2, 3, 4, 5, 6]
    expect(await storedIn(stream)).toEqual(ids.map(stored))
    expect(await contentOf(stream)).toEqual(ids.map(read))
  })

  it("is JSON without a content type of its own, and asks for none", async () => {
    const { fetch, stream } = handle()
    expect(stream.contentType).toBe("application/json")
    await stream.create()
    await stream.append(JSON.stringify(stored(1)))
    const methods = fetch.mock.calls.map(([, init]) => init?.method)
    expect(methods).toEqual(["PUT", "POST"])
    expect((await stream.head()).contentType).toMatch(/^application\/json/)
  })

  it.each<[string, (stream: DurableStream) => Promise<unknown>]>([
    ["append", (stream) => stream.append({ id: "1" })],
    ["append of text", (stream) => stream.append('{"id":"1"}')],
    ["append of a promise", (stream) => stream.append(Promise.resolve({ id: "1" }))],
    ["appendWithResult", (stream) => stream.appendWithResult({ id: "1" }, { close: true })],
    ["close", (stream) => stream.close({ body: { id: "1" } })],
    ["create", (stream) => stream.create({ body: { id: "1" } })],
  ])("sends nothing if the body of %s does not match", async (_call, write) => {
    const { fetch, stream } = handle()
    const error = await rejection(write(stream))
    expect(error).toMatchObject({ code: "SCHEMA", details: { index: 0, value: { id: "1" } } })
    const { pathname } = new URL(stream.url)
    expect(String(error)).toMatch(
      /^DurableStreamError: Message 0 for http:\S+ does not match the schema: .*, at id\.$/,
    )
    expect(String(error)).toContain(pathname)
    expect(fetch).not.toHaveBeenCalled()
  })

  it("validates messages as readers will get them: after their way through JSON", async () => {
    const { stream } = handle({ schema: z.object({ sentAt: z.date() }) })
    expect(await rejection(stream.append({ sentAt: new Date() }))).toMatchObject({ code: "SCHEMA" })
    const ofText = handle({ schema: z.object({ sentAt: z.string() }) })
    await ofText.stream.create()
    await ofText.stream.append({ sentAt: new Date(sentAt) })
    expect(await contentOf(ofText.stream)).toEqual([{ sentAt }])
  })

  it("validates each message of a create, and names the one that does not match", async () => {
    const { stream } = handle()
    const bodies = [stored(1), { id: "2" }]
    const error = await rejection(stream.create({ body: bodies }))
    expect(error).toMatchObject({ code: "SCHEMA", details: { index: 1, value: { id: "2" } } })
    await stream.create({ body: [stored(1), stored(2)] })
    expect(await contentOf(stream)).toEqual([read(1), read(2)])
  })

  it("keeps the order of appends while it takes its time", async () => {
    const { stream } = handle({ schema: slow })
    await stream.create()
    const ids = [1, 5, 2, 9, 3]
    await Promise.all(ids.map((id) => stream.append(stored(id))))
    expect(await contentOf(stream)).toEqual(ids.map(read))
  })

  it("rejects the append of a message alone: those beside it are stored", async () => {
    const { stream } = handle({ schema: slow })
    await stream.create()
    const appends = [stored(1), { id: "2" }, stored(3)].map((body) => stream.append(body))
    const settled = await Promise.allSettled(appends)
    expect(settled.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"])
    expect(await contentOf(stream)).toEqual([read(1), read(3)])
  })

  it("takes a message as it is at the call", async () => {
    const { stream } = handle({ schema: slow })
    await stream.create()
    const body = stored(1)
    const appended = stream.append(body)
    body.id = 2
    await appended
    expect(await contentOf(stream)).toEqual([read(1)])
  })

  it("fails for what is no JSON as without a schema", async () => {
    const { stream } = handle()
    expect(await rejection(stream.append("{"))).toMatchObject({ code: "PARSE_ERROR" })
    expect(await rejection(stream.append(new Map()))).toMatchObject({ code: "PARSE_ERROR" })
  })

  it("passes its schema on to forks, and a call can read with another one", async () => {
    const { stream } = handle()
    await stream.create({ body: [stored(1)] })
    const fork = await stream.fork({ url: `${stream.url}-fork` })
    expect(await rejection(fork.append({ id: "2" }))).toMatchObject({ code: "SCHEMA" })
    const ids = await stream.stream({ live: false, schema: z.object({ id: z.number() }) })
    expect(await ids.json()).toEqual([{ id: 1 }])
  })

  it("is rejected by name if it is none", () => {
    // @ts-expect-error -- what JavaScript callers can pass
    expect(() => handle({ schema: "message" })).toThrow(
      'The option schema must be a Standard Schema (zod, valibot, arktype …), not "message".',
    )
  })
})

describe("a producer", () => {
  it("validates by the schema of its handle, or of its own", async () => {
    const { stream } = handle()
    await stream.create()
    const producer = new IdempotentProducer(stream, "writer")
    producer.append(stored(1))
    expect(() => producer.append({ id: "2" })).toThrow(/does not match the schema/)
    expect(await rejection(producer.send({ id: "2" }))).toMatchObject({ code: "SCHEMA" })
    expect(await rejection(producer.close({ id: "2" }))).toMatchObject({ code: "SCHEMA" })
    expect(producer.state).toBe("open")
    await producer.close(stored(3))
    expect(await contentOf(stream)).toEqual([read(1), read(3)])

    const plain = new DurableStream({ url: stream.url })
    const strict = new IdempotentProducer(plain, "strict", { schema: message })
    expect(() => strict.append({ id: "2" })).toThrow(/does not match the schema/)
    await strict.detach()
  })

  it("validates what a writable is given", async () => {
    const { stream } = handle()
    await stream.create()
    const writer = stream.writable().getWriter()
    await writer.write(JSON.stringify(stored(1)))
    expect(await rejection(writer.write('{"id":"2"}'))).toMatchObject({ code: "SCHEMA" })
    await vi.waitFor(async () => expect(await contentOf(stream)).toEqual([read(1)]))
  })

  it("rejects a schema that takes its time: append() does not wait", async () => {
    const { stream } = handle({ schema: slow })
    const producer = new IdempotentProducer(stream, "writer")
    expect(() => producer.append(stored(1))).toThrow(/The option schema must be synchronous/)
    expect(producer.pendingCount).toBe(0)
    await producer.detach()
  })
})
