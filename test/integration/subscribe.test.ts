import { afterEach, describe, expect, it, vi } from "vitest"
import { subscribe, type StreamBatch, type StreamOptions } from "../../src/index.ts"
import { makeResponse, scriptedFetch, type FetchOutcome } from "../support/scripted-fetch.ts"
import { oneTurn, pageHeaders, quick } from "./reading-support.ts"

const url = "https://streams.test/s?token=secret"
const page = makeResponse(200, pageHeaders("o1", { upToDate: false }), "[1]")
const end = makeResponse(200, pageHeaders("o2", { closed: true }), "[2]")

afterEach(() => {
  vi.restoreAllMocks()
})

/** Subscribes to what a script responds with; notes what is called. */
function start(
  outcomes: readonly [FetchOutcome, ...FetchOutcome[]],
  options: Partial<StreamOptions> = {},
  onBatch: (batch: StreamBatch) => unknown = () => undefined,
) {
  const script = scriptedFetch(outcomes)
  const log: unknown[] = []
  const unsubscribe = subscribe(
    { ...quick, url, fetch: script.fetch, readAhead: 0, ...options },
    {
      onBatch(batch) {
        log.push(batch.offset)
        return onBatch(batch)
      },
      onError: (error) => void log.push(error),
      onEnd: () => void log.push("end"),
    },
  )
  return { log, unsubscribe, calls: script.calls }
}

const settle = async () => {
  for (let turn = 0; turn < 20; turn++) await oneTurn()
}

describe("subscribe()", () => {
  it("delivers the batches, one at a time, and then calls onEnd", async () => {
    let busy = 0
    const { log } = start([page, end], {}, async () => {
      expect(++busy).toBe(1)
      await oneTurn()
      busy--
    })
    await expect.poll(() => log).toEqual(["o1", "o2", "end"])
  })

  it.each<[string, [FetchOutcome, ...FetchOutcome[]], unknown[]]>([
    ["its first request is under way", ["hang"], []],
    ["it waits before a retry", [makeResponse(503, { "retry-after": "60" })], []],
    ["it waits for a page", [page, "hang"], ["o1"]],
  ])(
    "calls nothing and leaves no request if it is ended while %s",
    async (_when, outcomes, before) => {
      const { log, unsubscribe, calls } = start(outcomes)
      await expect.poll(() => calls.length).toBe(outcomes.length)
      await settle()
      unsubscribe()
      unsubscribe()
      await settle()
      expect(log).toEqual(before)
      expect(calls.length).toBe(outcomes.length)
    },
  )

  it("calls nothing after it was ended in the callback, or the options' signal was aborted", async () => {
    const subscription = start([page, end], {}, () => {
      subscription.unsubscribe()
    })
    const controller = new AbortController()
    const aborted = start([page, end], { signal: controller.signal }, () => {
      controller.abort()
    })
    await settle()
    expect(subscription.log).toEqual(["o1"])
    expect(aborted.log).toEqual(["o1"])
  })

  it("ends with the error of a request, of the callback, or of an option", async () => {
    const gone = start([page, makeResponse(410)])
    await expect.poll(() => gone.log.at(-1)).toMatchObject({ code: "GONE" })
    const failure = new Error("full")
    const failed = start([page, "hang"], {}, () => Promise.reject(failure))
    await expect.poll(() => failed.log).toEqual(["o1", failure])
    // @ts-expect-error -- what a JavaScript caller can do
    const invalid = start([page], { live: "websocket" })
    await expect.poll(() => invalid.log).toEqual([expect.objectContaining({ code: "BAD_REQUEST" })])
    for (const handlers of [undefined, null, {}, () => undefined]) {
      // @ts-expect-error -- the same
      expect(() => subscribe({ url }, handlers)).toThrow(/onBatch must be a function/)
    }
  })

  it("warns of an error if there is no onError", async () => {
    const warn = vi.spyOn(console, "warn").mockReturnValue(undefined)
    const { fetch } = scriptedFetch([makeResponse(404)])
    subscribe({ ...quick, url, fetch }, { onBatch: () => undefined })
    await expect.poll(() => warn.mock.calls.length).toBe(1)
    expect(String(warn.mock.calls[0])).toMatch(/404/)
    expect(String(warn.mock.calls[0])).not.toMatch(/secret/)
  })
})
