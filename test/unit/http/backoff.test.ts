import { describe, expect, it } from "vitest"
import { BackoffDefaults, backoffDelayMs, resolveBackoff } from "../../../src/http/backoff.ts"

describe("resolveBackoff", () => {
  it("fills in the defaults", () => {
    expect(resolveBackoff()).toEqual({
      ...BackoffDefaults,
      debug: false,
      onFailedAttempt: undefined,
    })
    expect(BackoffDefaults).toEqual({
      initialDelay: 100,
      maxDelay: 60_000,
      multiplier: 1.3,
      maxRetries: Infinity,
    })
  })

  it("accepts delays of 0, and a limit below the first delay", () => {
    const none = resolveBackoff({ initialDelay: 0, maxDelay: 0 })
    const low = resolveBackoff({ initialDelay: 100, maxDelay: 20 })
    for (const attempt of [1, 2, 10_000]) {
      expect(backoffDelayMs(none, attempt, 1)).toBe(0)
      expect(backoffDelayMs(low, attempt, 1)).toBe(20)
      expect(backoffDelayMs(resolveBackoff({ initialDelay: 0 }), attempt, 1)).toBe(0)
    }
  })

  it.each([
    ["maxDelay", { maxDelay: -5 }],
    ["initialDelay", { initialDelay: -1 }],
    ["initialDelay", { initialDelay: Number.NaN }],
    ["initialDelay", { initialDelay: "100" }],
    ["maxDelay", { maxDelay: Number.NaN }],
    ["multiplier", { multiplier: 0.99 }],
    ["multiplier", { multiplier: Infinity }],
    ["maxRetries", { maxRetries: -1 }],
    ["maxRetries", { maxRetries: 0.5 }],
    ["maxRetries", { maxRetries: Number.NaN }],
  ])("refuses %s: %j", (name, options) => {
    // Options that the types forbid.
    const resolve = () => resolveBackoff(options as object)
    const error = expect.objectContaining({
      code: "BAD_REQUEST",
      message: expect.stringContaining(`backoffOptions.${name}`),
    })
    expect(resolve).toThrow(error)
  })

  it.each([{ maxDelay: Infinity }, { multiplier: 1 }, { maxRetries: 0 }, { initialDelay: 0.5 }])(
    "takes %j",
    (options) => {
      expect(resolveBackoff(options)).toMatchObject(options)
    },
  )
})

describe("backoffDelayMs", () => {
  const backoff = { initialDelay: 100, maxDelay: 1000, multiplier: 2 }

  it.each([
    [1, 1, 100],
    [2, 1, 200],
    [3, 1, 400],
    [4, 1, 800],
    [5, 1, 1000],
    [5000, 1, 1000],
    // Full jitter: anything from 0 to the limit.
    [3, 0.5, 200],
    [3, 0, 0],
  ])("attempt %i at random %d waits %i ms", (attempt, random, expected) => {
    expect(backoffDelayMs(backoff, attempt, random)).toBe(expected)
  })

  it("waits no shorter than the server asks, and no shorter than without", () => {
    expect(backoffDelayMs(backoff, 1, 1, 5000)).toBe(5000)
    expect(backoffDelayMs(backoff, 4, 1, 5)).toBe(800)
  })
})
