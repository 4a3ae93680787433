import { describe, expect, it } from "vitest"
import { TextFidelity } from "../../../src/read/text-fidelity.ts"

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

describe("which text SSE carries as it is", () => {
  it("that without line ends", () => {
    expect(new TextFidelity().trusts("a – 😀")).toBe(true)
  })

  it("not that with U+FFFD, which may stand for half a character", () => {
    const fidelity = new TextFidelity()
    fidelity.scan(bytes("a\nb"))
    expect(fidelity.trusts("a\uFFFD")).toBe(false)
  })

  it("that with line feeds once others were seen to be what they are", () => {
    const fidelity = new TextFidelity()
    expect(fidelity.trusts("a\nb")).toBe(false)
    fidelity.scan(bytes("first\nsecond"))
    expect(fidelity.trusts("a\nb")).toBe(true)
    expect(fidelity.needsBytes).toBe(false)
  })

  it("none of a stream with carriage returns", () => {
    const fidelity = new TextFidelity()
    fidelity.scan(bytes("first\r\nsecond"))
    expect(fidelity.needsBytes).toBe(true)
  })
})
