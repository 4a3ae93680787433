import { afterEach, beforeEach, describe, expect, it, vi, type MockInstance } from "vitest"
import { callObserver } from "../../../src/platform/console.ts"

let complain: MockInstance<typeof console.error>
beforeEach(() => {
  complain = vi.spyOn(console, "error").mockReturnValue()
})
afterEach(() => complain.mockRestore())

const failure = new Error("the metrics server is down")

describe("what only looks on", () => {
  it("may give back anything", async () => {
    for (const result of [undefined, null, 1, "then", {}, { then: 1 }, Promise.resolve(1)]) {
      callObserver("observe", () => result)
    }
    await Promise.resolve()
    expect(complain).not.toHaveBeenCalled()
  })

  it("may throw", () => {
    callObserver("observe", () => {
      throw failure
    })
    expect(complain.mock.calls).toEqual([["[durable-streams] observe threw", failure]])
  })

  it("may reject: Vitest fails the run for a rejection that nobody handles", async () => {
    callObserver("onFailedAttempt", () => Promise.reject(failure))
    await new Promise(setImmediate)
    expect(complain.mock.calls).toEqual([["[durable-streams] onFailedAttempt threw", failure]])
  })
})
