import { describe, expect, it } from "vitest"
import { TextFidelity } from "../../../src/read/text-fidelity.ts"

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

describe("which text SSE carries as it is", () => {
  it("that without line breaks", () => {
    expect(new TextFidelity().trusts(["a – ", "😀"])).toBe(true)
  })

  it("not that with U+FFFD, which may stand for half a character", () => {
    expect(new TextFidelity().trusts(["a", "\uFFFD"])).toBe(false)
  })

  it("not that with line breaks, however many others were seen to be what they are", () => {
    const fidelity = new TextFidelity()
    expect(fidelity.trusts(["a\nb"])).toBe(false)
    fidelity.scan(bytes("first\nsecond"))
    expect(fidelity.trusts(["a\nb"])).toBe(false)
  })
})

describe("a session leaves SSE for good", () => {
  it("where the stream holds carriage returns", () => {
    const fidelity = new TextFidelity()
    fidelity.scan(bytes("first\nsecond"))
    expect(fidelity.needsBytes).toBe(false)
    fidelity.scan(bytes("first\r\nsecond"))
    expect(fidelity.needsBytes).toBe(true)
  })

  it("where two connections in a row brought nothing but what another transport had to bring", () => {
    const fidelity = new TextFidelity()
    fidelity.trusts(["token"])
    fidelity.trusts(["a\nb"])
    fidelity.scan(bytes("a\nb"))
    expect(fidelity.needsBytes).toBe(false)
    fidelity.trusts([])
    fidelity.trusts(["c\nd"])
    expect(fidelity.needsBytes).toBe(true)
  })

  it("not while connections bring what they can carry, too", () => {
    const fidelity = new TextFidelity()
    for (let lines = 0; lines < 10; lines++) {
      fidelity.trusts(["token"])
      fidelity.trusts(["a\nb"])
      fidelity.scan(bytes("a\nb"))
      expect(fidelity.needsBytes).toBe(false)
    }
  })

  it("not where no other transport brings anything", () => {
    const fidelity = new TextFidelity()
    for (let doubts = 0; doubts < 3; doubts++) fidelity.trusts(["a\nb"])
    fidelity.scan(new Uint8Array())
    expect(fidelity.needsBytes).toBe(false)
  })
})
