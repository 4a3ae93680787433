import { afterEach, describe, expect, it, vi } from "vitest"
import { runInNewContext } from "node:vm"
import { byteView, joinBytes } from "../../../src/protocol/bytes.ts"

describe("byteView", () => {
  it("sees the same memory, and only the part that the view shows", () => {
    const buffer = new Uint8Array([1, 2, 3, 4]).buffer
    expect(byteView(new DataView(buffer, 1, 2))).toEqual(new Uint8Array([2, 3]))
    expect(byteView(new Uint16Array(buffer))).toEqual(new Uint8Array([1, 2, 3, 4]))
    const view = byteView(buffer)
    new Uint8Array(buffer)[0] = 9
    expect(view?.[0]).toBe(9)
  })

  it("copies shared memory, which others can change between a check and its use", () => {
    const shared = new SharedArrayBuffer(3)
    const bytes = new Uint8Array(shared)
    const views = [shared, bytes, Buffer.from(shared), new DataView(shared)].map(byteView)
    bytes.fill(9)
    for (const view of views) {
      expect(view).toEqual(new Uint8Array(3))
      expect(view?.buffer).toBeInstanceOf(ArrayBuffer)
    }
  })

  it("gives a plain Uint8Array for a Buffer, whose slice() is no copy", () => {
    const buffer = Buffer.from("abc")
    const view = byteView(buffer)
    expect(Object.getPrototypeOf(view)).toBe(Uint8Array.prototype)
    const copy = view?.slice()
    buffer.fill(0)
    expect(copy).toEqual(new TextEncoder().encode("abc"))
    expect(view).toEqual(new Uint8Array(3))
  })

  it("knows the bytes of another realm", () => {
    const [bytes, buffer]: unknown[] = runInNewContext(
      "const b = new Uint8Array([7, 8]); [b, b.buffer]",
    )
    expect(bytes).not.toBeInstanceOf(Uint8Array)
    expect([...(byteView(bytes) ?? [])]).toEqual([7, 8])
    expect([...(byteView(buffer) ?? [])]).toEqual([7, 8])
  })

  it.each([undefined, null, "text", 1, [1, 2], {}, { length: 1, 0: 1 }, new Blob(["x"])])(
    "sees none in %s",
    (value) => {
      expect(byteView(value)).toBeUndefined()
    },
  )
})

describe("joinBytes", () => {
  afterEach(() => void vi.unstubAllGlobals())

  it.each([
    ["with", Buffer],
    ["without", undefined],
    ["with another kind of", {}],
  ])("gives plain bytes of their own size %s Buffer", (_, given) => {
    vi.stubGlobal("Buffer", given)
    const joined = joinBytes([new Uint8Array([1, 2]), new Uint8Array(0), new Uint8Array([3])])
    expect([...joined]).toEqual([1, 2, 3])
    expect(joined.buffer.byteLength).toBe(3)
    expect(Object.getPrototypeOf(joined)).toBe(Uint8Array.prototype)
  })
})
