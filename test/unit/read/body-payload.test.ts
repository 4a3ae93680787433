import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { bodyPayload } from "../../../src/read/body-payload.ts"
import { IdleWatch } from "../../../src/read/idle-watch.ts"
import { readWhole, type Payload } from "../../../src/read/payload.ts"
import { SilentRead } from "../../../src/read/silent-read.ts"

const url = "https://streams.test/s?token=secret"

let controller: AbortController
let watch: IdleWatch
beforeEach(() => {
  vi.useFakeTimers()
  controller = new AbortController()
  watch = new IdleWatch({
    onSilence(silence) {
      controller.abort(new SilentRead(url, silence, 1000))
    },
  })
})
afterEach(() => {
  expect(vi.getTimerCount()).toBe(0)
  vi.useRealTimers()
})

function payloadOf(response: Response): Payload {
  return bodyPayload(response, { url, signal: controller.signal, watch, idleTimeoutMs: 1000 })
}

/** A body that is never whole. */
function endless(
  onCancel: () => void = () => undefined,
  chunk: unknown = new TextEncoder().encode("half"),
): ReadableStream<Uint8Array> {
  const body = new ReadableStream({ start: (stream) => stream.enqueue(chunk), cancel: onCancel })
  // What a fetch of the caller's answers with can hold anything.
  return body as ReadableStream<Uint8Array>
}

/** An answer of a platform without streams: its body comes whole. */
function withoutStream(arrayBuffer: () => Promise<ArrayBuffer>): Response {
  const response = { body: undefined, bodyUsed: false, headers: new Headers(), arrayBuffer }
  // Nothing else of it is looked at.
  return response as unknown as Response
}

describe("a body read as it arrives", () => {
  it("gives its chunks, and its end once and for all", async () => {
    const payload = payloadOf(new Response("hello"))
    const first = await payload.read()
    expect(first.kind === "chunk" && new TextDecoder().decode(first.bytes)).toBe("hello")
    expect(await payload.read()).toEqual({ kind: "end" })
    expect(await payload.read()).toEqual({ kind: "end" })
  })

  it("an answer without a body is empty", async () => {
    expect(await payloadOf(new Response(null, { status: 204 })).read()).toEqual({ kind: "end" })
  })

  it("shorter than its Content-Length, it broke off", async () => {
    const short = new Response("hello", { headers: { "content-length": "6" } })
    const whole = await readWhole(payloadOf(short))
    expect(whole).toMatchObject({ kind: "broken", damage: "cut", error: { code: "NETWORK" } })
  })

  it("a length that says nothing of the bytes given is not looked at", async () => {
    const compressed = { "content-length": "60", "content-encoding": "gzip" }
    for (const headers of [compressed, { "content-length": "nonsense" }]) {
      const whole = await readWhole(payloadOf(new Response("hello", { headers })))
      expect(whole.kind).toBe("whole")
    }
  })

  it.each<[string, (bytes: Uint8Array<ArrayBuffer>) => unknown]>([
    ["an ArrayBuffer", ({ buffer }) => buffer],
    ["a DataView", ({ buffer }) => new DataView(buffer)],
    ["a Buffer", (bytes) => Buffer.from(bytes)],
  ])("takes chunks that are %s", async (_what, chunkOf) => {
    const bytes = new TextEncoder().encode("hello")
    const payload = payloadOf(new Response(endless(() => undefined, chunkOf(bytes))))
    expect(await payload.read()).toEqual({ kind: "chunk", bytes })
    payload.release()
  })

  it.each(["text", null, 7, { byteLength: 4 }])(
    "a chunk that is no bytes is told as what it is: %o",
    async (chunk) => {
      const cancelled = vi.fn()
      const read = await payloadOf(new Response(endless(cancelled, chunk))).read()
      expect(read).toMatchObject({
        kind: "broken",
        damage: "malformed",
        error: { code: "BAD_REQUEST", message: expect.stringContaining("option fetch") as string },
      })
      expect(cancelled).toHaveBeenCalledOnce()
    },
  )

  it("waits for nothing, by no timer, before it is read", () => {
    watch.listen(1000)
    watch.heard()
    const payload = payloadOf(new Response(endless()))
    expect(vi.getTimerCount()).toBe(0)
    payload.release()
  })

  it("an abort ends the wait at once and releases what was not read", async () => {
    const cancelled = vi.fn()
    const payload = payloadOf(new Response(endless(cancelled)))
    await payload.read()
    const waiting = payload.read()
    controller.abort(new Error("left"))
    expect(await waiting).toMatchObject({ kind: "broken" })
    expect(cancelled).toHaveBeenCalledOnce()
  })

  it("a body that breaks off says where it came from, without the query", async () => {
    const broken = new ReadableStream({ pull: (stream) => stream.error(new Error("reset")) })
    const read = await payloadOf(new Response(broken)).read()
    expect(read).toMatchObject({ kind: "broken", damage: "cut" })
    const message = read.kind === "broken" ? read.error.message : ""
    expect(message).toBe("The answer from https://streams.test/s broke off")
  })

  it("silence breaks it, and a chunk in time does not", async () => {
    const payload = payloadOf(new Response(endless()))
    await payload.read()
    vi.advanceTimersByTime(5000)
    const waiting = payload.read()
    vi.advanceTimersByTime(999)
    vi.advanceTimersByTime(1)
    expect(await waiting).toMatchObject({ damage: "cut", error: { code: "TIMEOUT" } })
  })

  it("released, it cancels what was not read and gives nothing more", async () => {
    const cancelled = vi.fn()
    const payload = payloadOf(new Response(endless(cancelled)))
    payload.release()
    payload.release()
    expect(cancelled).toHaveBeenCalledOnce()
    expect(await payload.read()).toEqual({ kind: "end" })
  })

  it("a body that the caller's fetch has used up is told as what it is", async () => {
    const used = new Response("hello")
    await used.text()
    const refused = expect.objectContaining({ code: "BAD_REQUEST" })
    expect(() => payloadOf(used)).toThrow(refused)
    const locked = new Response("hello")
    locked.body?.getReader()
    expect(() => payloadOf(locked)).toThrow(refused)
  })
})

describe("a body that comes whole", () => {
  it("is one chunk", async () => {
    const bytes = new TextEncoder().encode("hello")
    const whole = await readWhole(payloadOf(withoutStream(() => Promise.resolve(bytes.buffer))))
    expect(whole).toEqual({ kind: "whole", bytes })
  })

  it("that cannot be had is told as what it is", () => {
    // @ts-expect-error -- what a mock can leave out
    const withoutMethod = withoutStream(undefined)
    expect(() => payloadOf(withoutMethod)).toThrow(expect.objectContaining({ code: "BAD_REQUEST" }))
  })

  it("that fails is broken", async () => {
    const failing = withoutStream(() => Promise.reject(new Error("reset")))
    expect(await payloadOf(failing).read()).toMatchObject({ kind: "broken", damage: "cut" })
  })

  it("and never comes: an abort and silence end the wait for it", async () => {
    const never = withoutStream(() => new Promise(() => undefined))
    const silent = payloadOf(never).read()
    vi.advanceTimersByTime(1000)
    expect(await silent).toMatchObject({ error: { code: "TIMEOUT" } })
    controller = new AbortController()
    const waiting = payloadOf(never).read()
    controller.abort()
    expect(await waiting).toMatchObject({ kind: "broken" })
  })
})
