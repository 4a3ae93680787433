import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { bodyPayload, type BodyPlatform } from "../../../src/read/body.ts"
import { IdleWatch } from "../../../src/read/idle-watch.ts"
import type { Payload } from "../../../src/read/page.ts"
import { readPayload as readWhole } from "../../support/read-payload.ts"

const url = "https://streams.test/s?token=secret"

let controller: AbortController
let watch: IdleWatch
let platform: BodyPlatform
beforeEach(() => {
  vi.useFakeTimers()
  controller = new AbortController()
  platform = { lacksArrayBuffer: false }
  watch = new IdleWatch(url, {
    onIdle({ error }) {
      controller.abort(error)
    },
  })
})
afterEach(() => {
  expect(vi.getTimerCount()).toBe(0)
  vi.useRealTimers()
})

function payloadOf(response: Response): Payload {
  const { signal } = controller
  return bodyPayload(response, { url, signal, watch, idleTimeoutMs: 1000, platform })
}

/** A response as fetch has it. */
function fromNetwork(body: string, headers: Record<string, string>): Response {
  return Object.defineProperty(new Response(body, { headers }), "url", { value: url })
}

/** A body that is never whole. */
function endless(
  onCancel: () => void = () => undefined,
  chunk: unknown = new TextEncoder().encode("half"),
): ReadableStream<Uint8Array> {
  const body = new ReadableStream({ start: (stream) => stream.enqueue(chunk), cancel: onCancel })
  // What a fetch of the caller's responds with can hold anything.
  return body as ReadableStream<Uint8Array>
}

/** A response of a platform without streams: its body comes whole. */
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

  it("a response without a body is empty", async () => {
    expect(await payloadOf(new Response(null, { status: 204 })).read()).toEqual({ kind: "end" })
  })

  it.each([
    ["shorter", "6", { kind: "network", error: { code: "NETWORK" }, signature: "5 of 6 bytes" }],
    ["longer", "4", { kind: "malformed", error: { code: "PROTOCOL" } }],
  ])("%s than its Content-Length, it failed", async (_what, length, failure) => {
    const response = fromNetwork("hello", { "content-length": length })
    expect(await readWhole(payloadOf(response))).toMatchObject({ kind: "failed", failure })
  })

  it("two bodies that a platform joined are not taken for one (Bun up to 1.3.11)", async () => {
    const joined = fromNetwork("x".repeat(2_700), { "content-length": "2000" })
    const whole = await readWhole(payloadOf(joined))
    expect(whole).toMatchObject({ kind: "failed", failure: { kind: "malformed" } })
  })

  it("the Content-Length of a response that a program constructed is not compared", async () => {
    const made = new Response("hello", { headers: { "content-length": "60" } })
    expect((await readWhole(payloadOf(made))).kind).toBe("whole")
  })

  it("a length that says nothing of the bytes given is not looked at", async () => {
    const compressed = { "content-length": "60", "content-encoding": "gzip" }
    for (const headers of [compressed, { "content-length": "nonsense" }]) {
      const whole = await readWhole(payloadOf(fromNetwork("hello", headers)))
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
        kind: "failed",
        failure: {
          kind: "malformed",
          error: {
            code: "BAD_REQUEST",
            message: expect.stringContaining("option fetch") as string,
          },
        },
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
    expect(await waiting).toMatchObject({ kind: "failed" })
    expect(cancelled).toHaveBeenCalledOnce()
  })

  it("a body that breaks off says where it came from, without the query", async () => {
    const broken = new ReadableStream({ pull: (stream) => stream.error(new Error("reset")) })
    const read = await payloadOf(new Response(broken)).read()
    expect(read).toMatchObject({ kind: "failed", failure: { kind: "network" } })
    const message = read.kind === "failed" ? read.failure.error.message : ""
    expect(message).toContain("https://streams.test/s ")
    expect(message).not.toContain("secret")
  })

  it("silence breaks it, and a chunk in time does not", async () => {
    const payload = payloadOf(new Response(endless()))
    await payload.read()
    vi.advanceTimersByTime(5000)
    const waiting = payload.read()
    vi.advanceTimersByTime(999)
    vi.advanceTimersByTime(1)
    expect(await waiting).toMatchObject({
      failure: { kind: "timeout", error: { code: "TIMEOUT" } },
    })
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
    expect(await payloadOf(failing).read()).toMatchObject({
      kind: "failed",
      failure: { kind: "network", signature: "Error: reset" },
    })
  })

  it("is its text where arrayBuffer() always rejects (React Native before 0.73)", async () => {
    const fail = () => Promise.reject(new Error("FileReader.readAsArrayBuffer is not implemented"))
    const responseOf = (usedByAttempt: boolean) => {
      const response = Object.assign(withoutStream(fail), {
        text: () => Promise.resolve("héllo"),
        headers: new Headers({ "content-type": "application/json" }),
      })
      response.arrayBuffer = () => {
        Object.assign(response, { bodyUsed: usedByAttempt })
        return fail()
      }
      return response
    }
    const whole = { kind: "whole", bytes: new TextEncoder().encode("héllo") }
    expect(await readWhole(payloadOf(responseOf(false)))).toEqual(whole)
    platform = { lacksArrayBuffer: false }
    // Used up by the attempt: the next transfer begins with text().
    expect((await payloadOf(responseOf(true)).read()).kind).toBe("failed")
    expect(await readWhole(payloadOf(responseOf(true)))).toEqual(whole)
  })

  it("and never comes: an abort and silence end the wait for it", async () => {
    const never = withoutStream(() => new Promise(() => undefined))
    const silent = payloadOf(never).read()
    vi.advanceTimersByTime(1000)
    expect(await silent).toMatchObject({ failure: { error: { code: "TIMEOUT" } } })
    controller = new AbortController()
    const waiting = payloadOf(never).read()
    controller.abort()
    expect(await waiting).toMatchObject({ kind: "failed" })
  })
})
