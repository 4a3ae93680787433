import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { DurableStreamError } from "../../../src/errors/durable-stream-error.ts"
import { resolveBackoff } from "../../../src/http/backoff.ts"
import {
  isIndeterminate,
  mayTryAgain,
  retryLoop,
  type AttemptOutcome,
  type RetryLoopOptions,
  type RetryNotice,
} from "../../../src/http/retry-loop.ts"
import { rejection } from "../../support/rejection.ts"

const statuses = [
  400, 401, 403, 404, 405, 408, 409, 410, 413, 415, 422, 425, 429, 500, 501, 502, 503, 504, 505,
  520, 599,
]

describe("mayTryAgain", () => {
  it("allows an idempotent request whatever may pass by itself", () => {
    const allowed = statuses.filter((status) => mayTryAgain("idempotent", status))
    expect(allowed).toEqual([408, 425, 429, 500, 502, 503, 504, 520, 599])
    expect(mayTryAgain("idempotent", "lost")).toBe(true)
    expect(mayTryAgain("idempotent", "refused")).toBe(true)
    expect(mayTryAgain("idempotent", "faulty")).toBe(true)
    expect(mayTryAgain("idempotent", "impossible")).toBe(false)
  })

  it("allows a plain append only what the server says it did not store, or never saw", () => {
    const allowed = statuses.filter((status) => mayTryAgain("unless-stored", status))
    expect(allowed).toEqual([429, 500, 503])
    expect(mayTryAgain("unless-stored", "refused")).toBe(true)
    expect(mayTryAgain("unless-stored", "lost")).toBe(false)
    expect(mayTryAgain("unless-stored", "faulty")).toBe(false)
    expect(mayTryAgain("unless-stored", "impossible")).toBe(false)
  })

  it("allows nothing to a body that can be sent once", () => {
    for (const failure of [...statuses, "lost", "refused", "faulty", "impossible"] as const) {
      expect(mayTryAgain("never", failure)).toBe(false)
    }
  })
})

it("leaves doubt where something in front of the server failed, and where no answer came", () => {
  expect(statuses.filter((status) => isIndeterminate(status))).toEqual([408, 502, 504, 520, 599])
  expect(isIndeterminate("lost")).toBe(true)
  expect(isIndeterminate("faulty")).toBe(true)
  expect(isIndeterminate("refused")).toBe(false)
  expect(isIndeterminate("impossible")).toBe(false)
})

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
    failure,
    error: new DurableStreamError(`failed with ${failure}`, "BUSY", failure),
    retryAfterMs,
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

  it("gives up what a program gets wrong again and again", async () => {
    const faulty = { ...failed(0), failure: "faulty" } as AttemptOutcome<string>
    for (const faultyCount of [5, 6]) {
      const { attempt } = script(...Array.from({ length: faultyCount }, () => faulty), {
        kind: "response",
        value: "done",
      })
      const loop = { attempt, policy: "idempotent", backoff: resolveBackoff(), signal } as const
      const result = attempts(loop).catch(() => "given up")
      await vi.runAllTimersAsync()
      expect(await result).toBe(faultyCount === 5 ? "done" : "given up")
      expect(attempt).toHaveBeenCalledTimes(6)
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
      failure: "lost",
      error: new DurableStreamError("lost", "NETWORK"),
      retryAfterMs: 0,
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
