import { getEventListeners } from "node:events"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import {
  createFetchWithBackoff,
  DurableStream,
  IdempotentProducer,
  stream,
} from "../../src/index.ts"
import { makeResponse, scriptedFetch } from "../support/scripted-fetch.ts"
import { oneTurn, pageHeaders, quick } from "./reading-support.ts"

const url = "https://streams.test/s"
const warnings: Error[] = []
const onWarning = (warning: Error): void => void warnings.push(warning)

beforeEach(() => {
  warnings.length = 0
  process.on("warning", onWarning)
})
afterEach(() => process.off("warning", onWarning))

/** Begin fifty times what one signal ends: Node says of more than ten listeners that they are a leak. */
async function expectOneListener(begin: (signal: AbortSignal) => Promise<unknown>): Promise<void> {
  const controller = new AbortController()
  const begun = Promise.allSettled(Array.from({ length: 50 }, () => begin(controller.signal)))
  for (let turn = 0; turn < 5; turn++) await oneTurn()
  expect(getEventListeners(controller.signal, "abort")).toHaveLength(1)
  controller.abort()
  await begun
  expect(getEventListeners(controller.signal, "abort")).toEqual([])
  await oneTurn()
  expect(warnings).toEqual([])
}

async function* chunks(): AsyncGenerator<string> {
  await oneTurn()
  yield "x"
}

describe("an application's one signal, given to fifty at once, has one listener, and none after", () => {
  it("sessions: live ones, and those that wait for a response", async () => {
    const { fetch } = scriptedFetch(["hang"])
    await expectOneListener((signal) => stream({ ...quick, url, fetch, signal }))
    const live: typeof fetch = (input, init) =>
      String(input).includes("live=")
        ? fetch(input, init)
        : Promise.resolve(makeResponse(200, pageHeaders("o1"), "[1]"))
    await expectOneListener(async (signal) => {
      const response = await stream({ ...quick, url, fetch: live, signal })
      response.subscribeJson(() => undefined)
      await response.closed
    })
  })

  it("handles, their calls and their retries", async () => {
    const contentType = "text/plain"
    for (const outcome of ["hang", () => makeResponse(503, { "retry-after": "60" })] as const) {
      const { fetch } = scriptedFetch([outcome])
      await expectOneListener((signal) => {
        return new DurableStream({ url, fetch, signal, contentType }).append("x")
      })
      const handle = new DurableStream({ url, fetch, contentType })
      await expectOneListener((signal) => handle.append("x", { signal }))
      // A streamed append is not retried, and head() only within a second: there is no wait for a retry.
      if (outcome === "hang") {
        await expectOneListener((signal) => handle.appendStream(chunks(), { signal }))
        await expectOneListener((signal) => handle.head({ signal }))
      }
      await expectOneListener((signal) => handle.create({ signal }))
      await expectOneListener((signal) => handle.close({ signal }))
    }
  })

  it("producers, with as many requests under way as they may have", async () => {
    for (const outcome of ["hang", () => makeResponse(503, { "retry-after": "60" })] as const) {
      const { fetch } = scriptedFetch([outcome])
      const handle = new DurableStream({ url, fetch, contentType: "text/plain" })
      await expectOneListener((signal) => {
        const options = { signal, maxInFlight: 50, maxBatchBytes: 1, lingerMs: 0 }
        const producer = new IdempotentProducer(handle, "p", options)
        for (let message = 0; message < 20; message++) producer.append("x")
        return producer.flush()
      })
    }
  })

  it("calls of a fetch with backoff, and of one that ignores its signal", async () => {
    const { fetch } = scriptedFetch(["hang"], { ignoresAbort: true })
    const patient = createFetchWithBackoff(fetch)
    await expectOneListener((signal) => patient(url, { signal }))
    const busy = createFetchWithBackoff(scriptedFetch([() => makeResponse(503)]).fetch, {
      initialDelay: 1e6,
      maxDelay: 1e6,
    })
    await expectOneListener((signal) => busy(url, { signal }))
  })
})
