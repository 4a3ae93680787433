import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { DurableStreamError } from "../../../src/errors/durable-stream-error.ts"
import { responseFailure, transferError, withFailure } from "../../../src/http/failure.ts"
import { resolveBackoff } from "../../../src/http/backoff.ts"
import {
  retryLoop,
  type AttemptOutcome,
  type RetryLoopOptions,
  type RetryNotice,
  type RetryPolicy,
} from "../../../src/http/retry-loop.ts"
import { rejection } from "../../support/rejection.ts"

describe("retryLoop", () => {
  beforeEach(() => {
    vi.useFakeTimers()
    vi.spyOn(Math, "random").mockReturnValue(0.5)
  })
  afterEach(() => {
    vi.useRealTimers()
    vi.restoreAllMocks()
  })

  const failed = (failure: number, retryAfterMs = 0): AttemptOutcome<string> => ({
    kind: "failed",
    error: withFailure(new DurableStreamError(`failed with ${failure}`, "BUSY", failure), {
      ...responseFailure({ status: failure, headers: new Headers() }, true),
      retryAfterMs,
    }),
  })
  const { signal } = new AbortController()

  function script(...outcomes: AttemptOutcome<string>[]) {
    const times: number[] = []
    const start = Date.now()
    const attempt = vi.fn((_attempt: number) => {
      times.push(Date.now() - start)
      return Promise.resolve(outcomes.shift() ?? failed(503))
    })
    return { attempt, times }
  }

  const attempts = (loop: RetryLoopOptions<string>) => retryLoop(loop.attempt(1), () => loop)

  it("waits longer after each failure, and as long as the server asks", async () => {
    const { attempt, times } = script(failed(503), failed(503), failed(429, 10_000), failed(500), {
      kind: "response",
      value: "done",
    })
    const notices: RetryNotice[] = []
    const onFailedAttempt = vi.fn()
    const result = attempts({
      attempt,
      policy: "idempotent",
      backoff: resolveBackoff({ initialDelay: 100, multiplier: 2, maxDelay: 400, onFailedAttempt }),
      signal,
      observer: { onRetry: (notice) => void notices.push(notice) },
    })
    await vi.advanceTimersByTimeAsync(60_000)
    expect(await result).toBe("done")
    expect(times).toEqual([0, 50, 150, 10_150, 10_350])
    expect(notices.map((notice) => [notice.attempt, notice.delayMs])).toEqual([
      [1, 50],
      [2, 100],
      [3, 10_000],
      [4, 200],
    ])
    expect(notices[2]?.error).toMatchObject({ status: 429 })
    expect(attempt.mock.calls).toEqual([[1], [2], [3], [4], [5]])
    expect(onFailedAttempt).toHaveBeenCalledTimes(4)
    expect(vi.getTimerCount()).toBe(0)
  })

  it("ends with the last error once the retries are used up", async () => {
    for (const maxRetries of [0, 2]) {
      const { attempt } = script(failed(503), failed(503), failed(500))
      const result = rejection(
        attempts({
          attempt,
          policy: "idempotent",
          backoff: resolveBackoff({ maxRetries }),
          signal,
        }),
      )
      await vi.runAllTimersAsync()
      expect(await result).toMatchObject({ status: maxRetries === 0 ? 503 : 500 })
      expect(attempt).toHaveBeenCalledTimes(maxRetries + 1)
    }
  })

  it("ends at once where the policy forbids another attempt", async () => {
    const { attempt } = script(failed(404))
    const loop = { attempt, policy: "idempotent", backoff: resolveBackoff(), signal } as const
    expect(await rejection(attempts(loop))).toMatchObject({ status: 404 })
    expect(attempt).toHaveBeenCalledOnce()
  })

  const done: AttemptOutcome<string> = { kind: "response", value: "done" }
  const few: AttemptOutcome<string> = {
    kind: "failed",
    error: transferError("http://h/s", { kind: "malformed", reason: "no HTTP", maxRetries: 3 }),
  }
  const run = async (policy: RetryPolicy, ...outcomes: AttemptOutcome<string>[]) => {
    const { attempt } = script(...outcomes)
    const loop = { attempt, policy, backoff: resolveBackoff(), signal }
    const result = attempts(loop).catch((error: unknown) => error)
    await vi.runAllTimersAsync()
    return { result: await result, count: attempt.mock.calls.length }
  }

  it("surfaces what fails again and again in a way that seldom passes", async () => {
    expect(await run("idempotent", few, few, few, done)).toEqual({ result: "done", count: 4 })
    const given = await run("idempotent", few, few, few, few, done)
    expect(given.result).toMatchObject({ code: "PROTOCOL" })
    expect(given.count).toBe(4)
    // In a row: other failures in between may be what caused them.
    const mixed = [few, few, few, failed(503), few, few, few, done]
    expect(await run("idempotent", ...mixed)).toEqual({ result: "done", count: 8 })
  })

  it("retries a write that is not idempotent only if the server certainly did not apply it", async () => {
    const transfer = (effect: "none" | "unknown"): AttemptOutcome<string> => ({
      kind: "failed",
      error: transferError("http://h/s", { kind: "network", reason: "lost", effect }),
    })
    for (const outcome of [failed(429), failed(425), failed(500), failed(503), transfer("none")]) {
      expect(await run("not-processed", outcome, done)).toEqual({ result: "done", count: 2 })
    }
    for (const outcome of [failed(408), failed(502), failed(504), transfer("unknown")]) {
      expect(await run("not-processed", outcome, done)).toMatchObject({ count: 1 })
      expect(await run("idempotent", outcome, done)).toEqual({ result: "done", count: 2 })
    }
  })

  it("never retries a body that can be sent once", async () => {
    for (const outcome of [failed(503), few]) {
      expect(await run("never", outcome, done)).toMatchObject({ count: 1 })
    }
  })

  it("passes on at once what an attempt throws", async () => {
    const failure = new Error("no token")
    const attempt = () => Promise.reject(failure)
    const loop = { attempt, policy: "idempotent", backoff: resolveBackoff(), signal } as const
    expect(await rejection(attempts(loop))).toBe(failure)
  })

  describe("where the platform tells of its network", () => {
    const platform = new EventTarget()
    beforeEach(() => {
      vi.stubGlobal("addEventListener", platform.addEventListener.bind(platform))
      vi.stubGlobal("removeEventListener", platform.removeEventListener.bind(platform))
    })
    afterEach(() => {
      vi.unstubAllGlobals()
    })
    const lost: AttemptOutcome<string> = {
      kind: "failed",
      error: transferError("http://h/s", { kind: "network", reason: "lost" }),
    }
    const backoff = resolveBackoff({ initialDelay: 1000, multiplier: 10, maxDelay: 3_600_000 })

    it("tries again at once when it is back, and from there with short delays again", async () => {
      const { attempt, times } = script(lost, lost, lost, lost, lost, lost, {
        kind: "response",
        value: "done",
      })
      const result = attempts({ attempt, policy: "idempotent", backoff, signal })
      await vi.advanceTimersByTimeAsync(100_000)
      expect(times).toEqual([0, 500, 5_500, 55_500])
      platform.dispatchEvent(new Event("online"))
      await vi.advanceTimersByTimeAsync(10_000)
      expect(await result).toBe("done")
      expect(times.slice(4)).toEqual([100_000, 100_500, 105_500])
    })

    it("does not hurry what the server asked to wait", async () => {
      const { attempt, times } = script(failed(429, 60_000), { kind: "response", value: "done" })
      const result = attempts({ attempt, policy: "idempotent", backoff, signal })
      await vi.advanceTimersByTimeAsync(10)
      platform.dispatchEvent(new Event("online"))
      await vi.advanceTimersByTimeAsync(60_000)
      expect(await result).toBe("done")
      expect(times).toEqual([0, 60_000])
    })

    it("leaves no listener, however the wait ends", async () => {
      const removed = vi.spyOn(platform, "removeEventListener")
      const added = vi.spyOn(platform, "addEventListener")
      vi.stubGlobal("addEventListener", platform.addEventListener.bind(platform))
      vi.stubGlobal("removeEventListener", platform.removeEventListener.bind(platform))
      const leave = new AbortController()
      const { attempt } = script(lost, lost, lost)
      const loop = { attempt, policy: "idempotent", backoff, signal: leave.signal } as const
      const result = rejection(attempts(loop))
      await vi.advanceTimersByTimeAsync(600)
      leave.abort()
      await result
      expect(added).toHaveBeenCalledTimes(2)
      expect(removed.mock.calls).toEqual(added.mock.calls)
      expect(vi.getTimerCount()).toBe(0)
    })
  })

  it("ends its wait with the signal", async () => {
    const controller = new AbortController()
    const { attempt } = script(failed(503, 3_600_000))
    const result = rejection(
      attempts({
        attempt,
        policy: "idempotent",
        backoff: resolveBackoff(),
        signal: controller.signal,
      }),
    )
    await vi.advanceTimersByTimeAsync(1000)
    expect(vi.getTimerCount()).toBe(1)
    controller.abort("why")
    expect(await result).toMatchObject({ code: "ABORTED", cause: "why" })
    expect(vi.getTimerCount()).toBe(0)
  })

  it("goes on where an observer throws, and says so", async () => {
    const complain = vi.spyOn(console, "error").mockReturnValue()
    const { attempt } = script(failed(503), { kind: "response", value: "done" })
    const onFailedAttempt = () => {
      throw new Error("observer")
    }
    const result = attempts({
      attempt,
      policy: "idempotent",
      backoff: resolveBackoff({ onFailedAttempt }),
      signal,
    })
    await vi.runAllTimersAsync()
    expect(await result).toBe("done")
    expect(complain).toHaveBeenCalledOnce()
  })

  it("logs retries where it is asked to", async () => {
    const log = vi.spyOn(console, "debug").mockReturnValue()
    for (const debug of [false, true]) {
      const { attempt } = script(failed(503), { kind: "response", value: "done" })
      const backoff = resolveBackoff({ debug })
      const result = attempts({ attempt, policy: "idempotent", backoff, signal })
      await vi.runAllTimersAsync()
      await result
      expect(log).toHaveBeenCalledTimes(debug ? 1 : 0)
    }
    expect(log.mock.calls[0]?.[0]).toContain("failed with 503")
  })
})
