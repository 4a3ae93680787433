import { describe, expect, it } from "vitest"
import { TextFidelity } from "../../../src/read/text-fidelity.ts"

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

describe("which text SSE carries as it is", () => {
  it("that without line breaks", () => {
    expect(new TextFidelity(true).trusts(["a – ", "😀"])).toBe(true)
  })

  it("not that with U+FFFD, which may stand for half a character", () => {
    expect(new TextFidelity(true).trusts(["a", "\uFFFD"])).toBe(false)
  })

  it("not that with line breaks, however many others were seen to be what they are", () => {
    const fidelity = new TextFidelity(true)
    expect(fidelity.trusts(["a\nb"])).toBe(false)
    fidelity.scan(bytes("first\nsecond"))
    expect(fidelity.trusts(["a\nb"])).toBe(false)
  })
})

describe("a session leaves SSE for good", () => {
  it("where the stream holds carriage returns", () => {
    for (const leavesSse of [true, false]) {
      const fidelity = new TextFidelity(leavesSse)
      fidelity.scan(bytes("first\nsecond"))
      expect(fidelity.needsBytes).toBe(false)
      fidelity.scan(bytes("first\r\nsecond"))
      expect(fidelity.needsBytes).toBe(true)
    }
  })

  it("where another transport has brought what SSE brought in doubt, if it may", () => {
    for (const leavesSse of [true, false]) {
      const fidelity = new TextFidelity(leavesSse)
      fidelity.trusts(["a\nb"])
      expect(fidelity.needsBytes).toBe(false)
      fidelity.scan(new Uint8Array())
      expect(fidelity.needsBytes).toBe(false)
      fidelity.scan(bytes("a\nb"))
      expect(fidelity.needsBytes).toBe(leavesSse)
    }
  })
})
