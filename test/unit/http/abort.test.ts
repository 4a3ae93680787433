import { getEventListeners } from "node:events"
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import {
  onAbort,
  LinkedAbortController,
  raceAbort,
  throwIfAborted,
  sleep,
} from "../../../src/http/abort.ts"
import { rejection } from "../../support/rejection.ts"

function listenersOn(signal: AbortSignal): number {
  return getEventListeners(signal, "abort").length
}

describe("onAbort", () => {
  it("calls back once, with one listener for all, and leaves none", () => {
    const controller = new AbortController()
    const { signal } = controller
    const callbacks = Array.from({ length: 50 }, () => vi.fn())
    const ends = callbacks.map((callback) => onAbort(signal, callback))
    expect(listenersOn(signal)).toBe(1)
    ends[0]?.()
    controller.abort()
    expect(callbacks[0]).not.toHaveBeenCalled()
    for (const callback of callbacks.slice(1)) expect(callback).toHaveBeenCalledOnce()
    expect(listenersOn(signal)).toBe(0)
  })

  it("leaves no listener once nobody waits, and starts again after", () => {
    const controller = new AbortController()
    const { signal } = controller
    const ends = [onAbort(signal, () => undefined), onAbort(signal, () => undefined)]
    for (const end of [...ends, ...ends]) end()
    expect(listenersOn(signal)).toBe(0)
    const callback = vi.fn()
    onAbort(signal, callback)
    for (const end of ends) end()
    controller.abort()
    expect(callback).toHaveBeenCalledOnce()
  })

  it("does not call what an earlier callback has ended", () => {
    const controller = new AbortController()
    const callback = vi.fn()
    let end: () => void = () => undefined
    onAbort(controller.signal, () => end())
    end = onAbort(controller.signal, callback)
    controller.abort()
    expect(callback).not.toHaveBeenCalled()
  })
})

describe("LinkedAbortController", () => {
  it("follows any of its parents, with the reason", () => {
    for (const index of [0, 1]) {
      const parents = [new AbortController(), new AbortController()]
      const scope = new LinkedAbortController(parents[0]?.signal, undefined, parents[1]?.signal)
      expect(scope.signal.aborted).toBe(false)
      parents[index]?.abort("why")
      expect(scope.signal.reason).toBe("why")
      for (const { signal } of parents) expect(listenersOn(signal)).toBe(0)
    }
  })

  it("is aborted from the start where a parent is", () => {
    const scope = new LinkedAbortController(new AbortController().signal, AbortSignal.abort("why"))
    expect(scope.signal.reason).toBe("why")
  })

  it("leaves its parents alone, and nothing on them once it has ended", () => {
    const parent = new AbortController()
    const scope = new LinkedAbortController(parent.signal)
    scope.abort("own")
    expect(scope.signal.reason).toBe("own")
    expect(parent.signal.aborted).toBe(false)
    const other = new LinkedAbortController(parent.signal)
    expect(listenersOn(parent.signal)).toBe(1)
    other.end()
    expect(listenersOn(parent.signal)).toBe(0)
    parent.abort()
    expect(other.signal.aborted).toBe(false)
  })
})

it("throwIfAborted throws the reason, wrapped", () => {
  expect(() => throwIfAborted(new AbortController().signal)).not.toThrow()
  const error = expect.objectContaining({ code: "ABORTED", cause: "why" })
  expect(() => throwIfAborted(AbortSignal.abort("why"))).toThrow(error)
})

describe("raceAbort", () => {
  it("gives what the promise gives, and leaves no listener", async () => {
    const { signal } = new AbortController()
    expect(await raceAbort(Promise.resolve(1), signal)).toBe(1)
    const failure = new Error("failed")
    expect(await rejection(raceAbort(Promise.reject(failure), signal))).toBe(failure)
    await Promise.resolve()
    expect(listenersOn(signal)).toBe(0)
  })

  it("rejects at once on abort, and hands over what comes late", async () => {
    const controller = new AbortController()
    let settle: (value: string) => void = () => undefined
    const late = vi.fn()
    const race = rejection(
      raceAbort(new Promise<string>((resolve) => (settle = resolve)), controller.signal, late),
    )
    controller.abort("why")
    expect(await race).toMatchObject({ code: "ABORTED", cause: "why" })
    settle("late")
    await vi.waitFor(() => expect(late).toHaveBeenCalledWith("late"))
  })

  it("lets no late failure surface, aborted before or after", async () => {
    const controller = new AbortController()
    let fail: (error: Error) => void = () => undefined
    const doomed = new Promise<never>((_resolve, reject) => (fail = reject))
    const race = rejection(raceAbort(doomed, controller.signal))
    controller.abort()
    await race
    fail(new Error("late"))
    const again = raceAbort(Promise.reject(new Error("late")), controller.signal, () => undefined)
    expect(await rejection(again)).toMatchObject({ code: "ABORTED" })
    const quiet = raceAbort(Promise.reject(new Error("late")), controller.signal)
    expect(await rejection(quiet)).toMatchObject({ code: "ABORTED" })
    // An unhandled rejection would fail the run.
    await new Promise((resolve) => setImmediate(resolve))
  })
})

describe("sleep", () => {
  beforeEach(() => vi.useFakeTimers())
  afterEach(() => vi.useRealTimers())

  it("waits, and leaves nothing behind", async () => {
    const { signal } = new AbortController()
    const done = vi.fn()
    void sleep(1000, signal).then(done)
    await vi.advanceTimersByTimeAsync(999)
    expect(done).not.toHaveBeenCalled()
    await vi.advanceTimersByTimeAsync(1)
    expect(done).toHaveBeenCalledOnce()
    expect(listenersOn(signal)).toBe(0)
  })

  it("ends with the signal, before or in the middle", async () => {
    const controller = new AbortController()
    const slept = rejection(sleep(1000, controller.signal))
    controller.abort("why")
    expect(await slept).toMatchObject({ code: "ABORTED", cause: "why" })
    expect(await rejection(sleep(1000, controller.signal))).toMatchObject({ code: "ABORTED" })
    expect(vi.getTimerCount()).toBe(0)
  })

  it("does not overflow the timer", async () => {
    const controller = new AbortController()
    const done = vi.fn()
    void sleep(Infinity, controller.signal).then(done, () => undefined)
    void sleep(2 ** 31, controller.signal).then(done, () => undefined)
    await vi.advanceTimersByTimeAsync(3_600_000)
    expect(done).not.toHaveBeenCalled()
    controller.abort()
  })
})
