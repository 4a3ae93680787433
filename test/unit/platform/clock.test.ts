import { afterEach, describe, expect, it, vi } from "vitest"
import { monotonicMs } from "../../../src/platform/clock.ts"

describe("monotonicMs", () => {
  afterEach(() => {
    vi.useRealTimers()
    vi.unstubAllGlobals()
  })

  it("is not moved by the wall clock going back an hour", () => {
    vi.useFakeTimers()
    const startedAtMs = monotonicMs()
    vi.setSystemTime(Date.now() - 3_600_000)
    vi.advanceTimersByTime(250)
    expect(monotonicMs() - startedAtMs).toBe(250)
  })

  it("counts milliseconds on a platform without performance", () => {
    vi.stubGlobal("performance", undefined)
    vi.useFakeTimers({ now: 5_000, toFake: ["Date"] })
    expect(monotonicMs()).toBe(5_000)
  })
})
