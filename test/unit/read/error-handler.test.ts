import { getEventListeners } from "node:events"
import { describe, expect, it } from "vitest"
import { callErrorHandler } from "../../../src/read/error-handler.ts"
import { rejection } from "../../support/rejection.ts"

const error = new Error("refused")
const never = new Promise<undefined>(() => undefined)

describe("callErrorHandler", () => {
  it("gives the handler's changes, now or later, and nothing for what is none", async () => {
    const { signal } = new AbortController()
    const changes = { headers: { a: "1" } }
    expect(await callErrorHandler(() => changes, error, signal)).toBe(changes)
    expect(await callErrorHandler(() => Promise.resolve(changes), error, signal)).toBe(changes)
    expect(await callErrorHandler(() => undefined, error, signal)).toBeUndefined()
    expect(await callErrorHandler(undefined, error, signal)).toBeUndefined()
    expect(getEventListeners(signal, "abort")).toEqual([])
  })

  it("passes on what the handler throws, now or later", async () => {
    const { signal } = new AbortController()
    const thrown = new Error("mine")
    const throwing = () => {
      throw thrown
    }
    expect(await rejection(callErrorHandler(throwing, error, signal))).toBe(thrown)
    expect(await rejection(callErrorHandler(() => Promise.reject(thrown), error, signal))).toBe(
      thrown,
    )
    expect(getEventListeners(signal, "abort")).toEqual([])
  })

  it("waits no longer than for the signal", async () => {
    const controller = new AbortController()
    const asked = callErrorHandler(() => never, error, controller.signal)
    controller.abort()
    expect(await asked).toBeUndefined()
  })

  it("waits for no handler that aborts the signal itself and then never settles", async () => {
    const controller = new AbortController()
    const abortAndHang = () => {
      controller.abort()
      return never
    }
    expect(await callErrorHandler(abortAndHang, error, controller.signal)).toBeUndefined()
  })

  it("lets no late failure of the handler surface", async () => {
    const controller = new AbortController()
    let fail: (reason: Error) => void = () => undefined
    const late = new Promise<undefined>((_resolve, reject) => {
      fail = reject
    })
    const asked = callErrorHandler(() => late, error, controller.signal)
    controller.abort()
    expect(await asked).toBeUndefined()
    // Vitest fails the run for a rejection that nobody handles.
    fail(new Error("late"))
  })
})
