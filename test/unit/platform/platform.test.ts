import { afterEach, describe, expect, it, vi } from "vitest"
import { asAsyncIterableReadableStream } from "../../../src/platform/async-iterable-stream.ts"
import { decodeBase64 } from "../../../src/platform/base64.ts"
import { randomId } from "../../../src/platform/random-id.ts"
import { canStreamRequests } from "../../../src/platform/runtime.ts"
import { rejection } from "../../support/rejection.ts"

afterEach(() => {
  vi.unstubAllGlobals()
  vi.restoreAllMocks()
})

describe("asAsyncIterableReadableStream", () => {
  /** A stream of a platform whose streams do not iterate (Safari). */
  function plainStream(onCancel?: (reason: unknown) => void) {
    let count = 0
    const stream = new ReadableStream<number>(
      {
        pull(controller) {
          if (count < 3) controller.enqueue(++count)
          else controller.close()
        },
        cancel: (reason) => onCancel?.(reason),
      },
      { highWaterMark: 0 },
    )
    return new Proxy(stream, {
      has: (target, key) => key in target && key !== Symbol.asyncIterator,
      get(target, key) {
        const value: unknown = Reflect.get(target, key, target)
        return typeof value === "function" ? (value.bind(target) as unknown) : value
      },
    })
  }

  it("gives a stream back that iterates by itself", () => {
    const stream = new ReadableStream()
    expect(asAsyncIterableReadableStream(stream)).toBe(stream)
    expect(Object.hasOwn(stream, Symbol.asyncIterator)).toBe(false)
  })

  it("teaches one that does not, and lets go of it at the end", async () => {
    const stream = plainStream()
    const chunks: number[] = []
    const iterable = asAsyncIterableReadableStream(stream)
    expect(iterable).toBe(stream)
    for await (const chunk of Object.getOwnPropertyDescriptor(
      iterable,
      Symbol.asyncIterator,
    )?.value() as AsyncIterable<number>) {
      chunks.push(chunk)
    }
    expect(chunks).toEqual([1, 2, 3])
    expect(stream.locked).toBe(false)
  })

  it("cancels one that is left early", async () => {
    const onCancel = vi.fn()
    const stream = asAsyncIterableReadableStream(plainStream(onCancel))
    const taught: unknown = Object.getOwnPropertyDescriptor(stream, Symbol.asyncIterator)?.value
    const iterator = (taught as () => AsyncIterableIterator<number>)()
    expect(iterator[Symbol.asyncIterator]()).toBe(iterator)
    expect(await iterator.next()).toEqual({ done: false, value: 1 })
    expect(await iterator.return?.()).toEqual({ done: true, value: undefined })
    expect(onCancel).toHaveBeenCalledOnce()
    expect(stream.locked).toBe(false)
    expect(await iterator.next()).toEqual({ done: true, value: undefined })
    expect(await iterator.return?.()).toEqual({ done: true, value: undefined })
  })

  it("lets go of one that fails", async () => {
    const failure = new Error("broken")
    const stream = plainStream()
    vi.spyOn(stream, "getReader").mockImplementation(
      ReadableStream.prototype.getReader.bind(
        new ReadableStream({
          pull: (controller) => {
            controller.error(failure)
          },
        }),
      ),
    )
    asAsyncIterableReadableStream(stream)
    const taught: unknown = Object.getOwnPropertyDescriptor(stream, Symbol.asyncIterator)?.value
    const iterator = (taught as () => AsyncIterableIterator<number>)()
    expect(await rejection(iterator.next())).toBe(failure)
    expect(await iterator.next()).toEqual({ done: true, value: undefined })
  })
})

describe("decodeBase64", () => {
  it.each([
    ["", []],
    ["AA==", [0]],
    ["AAE=", [0, 1]],
    ["AAEC", [0, 1, 2]],
    ["+/+/", [0xfb, 0xff, 0xbf]],
  ])("decodes %j", (text, bytes) => {
    expect([...(decodeBase64(text) ?? [])]).toEqual(bytes)
  })

  it.each(["A", "AA", "AAA", "AAEC=", "!!!!", "A-_A", "=AAA"])("refuses %j", (text) => {
    expect(decodeBase64(text)).toBeUndefined()
  })

  it("names the global that a platform lacks, instead of calling the text invalid", () => {
    vi.stubGlobal("atob", undefined)
    vi.stubGlobal("Uint8Array", class extends Uint8Array {})
    expect(() => decodeBase64("AAEC")).toThrow(/atob/)
  })

  it("uses the platform's decoder where there is one", () => {
    const native = vi.fn(() => new Uint8Array([7]))
    vi.stubGlobal("Uint8Array", Object.assign(Uint8Array, { fromBase64: native }))
    try {
      expect(decodeBase64("AAEC")).toEqual(new Uint8Array([7]))
      native.mockImplementation(() => {
        throw new SyntaxError("bad")
      })
      expect(decodeBase64("AAEC")).toBeUndefined()
    } finally {
      // What was put in its place is the real thing with one property more.
      Reflect.deleteProperty(Uint8Array, "fromBase64")
    }
  })
})

describe("randomId", () => {
  it.each(["with crypto", "without"])("makes a new one every time, %s", (which) => {
    if (which === "without") vi.stubGlobal("crypto", undefined)
    const ids = Array.from({ length: 100 }, randomId)
    expect(new Set(ids).size).toBe(100)
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{32}$/)
  })
})

describe("canStreamRequests", () => {
  it("is so on Node, and never in a browser", () => {
    expect(canStreamRequests()).toBe(true)
    for (const userAgent of ["Node.js/22", "Deno/2.1", undefined]) {
      vi.stubGlobal("navigator", { userAgent })
      expect(canStreamRequests()).toBe(true)
    }
    vi.stubGlobal("navigator", { userAgent: "Mozilla/5.0 (X11) Chrome/140" })
    expect(canStreamRequests()).toBe(false)
  })

  it("is not so where a stream becomes text, is not known, or cannot be made", () => {
    class TextRequest {
      readonly headers = new Headers({ "content-type": "text/plain" })
      constructor(_url: string, init: { duplex?: string }) {
        expect(init.duplex).toBe("half")
      }
    }
    class OldRequest {
      readonly headers = new Headers()
    }
    for (const stub of [TextRequest, OldRequest, undefined]) {
      vi.stubGlobal("Request", stub)
      expect(canStreamRequests()).toBe(false)
    }
  })
})
