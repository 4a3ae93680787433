import { describe, expect, it } from "vitest"
import {
  createFetchWithBackoff,
  DurableStream,
  DurableStreamError,
  IdempotentProducer,
  stream,
} from "../../src/index.ts"
import { makeResponse, scriptedFetch } from "../support/scripted-fetch.ts"
import { pageHeaders } from "./reading-support.ts"

const url = "https://streams.test/s"
const headers = {
  ...pageHeaders("1", { closed: true }),
  "producer-epoch": "0",
  "producer-seq": "0",
}
const fetch = scriptedFetch([
  ({ init }) => makeResponse(200, headers, init.method === "GET" ? "[]" : null),
]).fetch

/** What a JavaScript caller can give; none of it is of use to any option below. */
const oddities: readonly unknown[] = [
  null,
  5n,
  -1,
  Number.NaN,
  "\ud800",
  Symbol("secret"),
  Object.create(null),
  { toString: null, valueOf: null, toJSON: null },
]

/** Whatever it throws or rejects with. */
async function failureOf(call: () => unknown): Promise<unknown> {
  try {
    await call()
    return undefined
  } catch (error) {
    return error
  }
}

/** Hold every option to it: what cannot be is refused by its name, before any request. */
function refuses(options: readonly string[], call: (odd: object) => unknown): void {
  it.each(options)("%s", async (option) => {
    for (const odd of oddities) {
      // An option that is an object takes any; a number may be below 0 nowhere.
      const isObject = typeof odd === "object" && odd !== null
      if (isObject && /^(backoffOptions|sseResilience|headers|params)$/.test(option)) continue
      if (typeof odd === "string" && /^params$/.test(option)) continue
      const error = await failureOf(() => call({ [option]: odd }))
      expect(error, `${option}: ${typeof odd}`).toBeInstanceOf(DurableStreamError)
      const { code, message } = error as DurableStreamError
      expect([code, message]).toEqual(["BAD_REQUEST", expect.stringContaining(option)])
      expect(message).not.toMatch(/secret|a undefined|a object|TypeError/)
    }
  })
}

const endpoint = ["headers", "params", "signal", "fetch", "backoffOptions"]

describe("stream() refuses by name what cannot be", () => {
  const names = ["offset", "live", "json", "onError", "sseResilience", "warnOnHttp"]
  const more = ["idleTimeoutMs", "pauseWhenHidden", "readAhead", "observe"]
  refuses([...endpoint, ...names, ...more], (odd) => stream({ url, fetch, live: false, ...odd }))
  const handle = new DurableStream({ url, fetch })
  refuses([...endpoint, ...names, ...more], (odd) => handle.stream({ live: false, ...odd }))
})

describe("sseResilience refuses by name what cannot be", () => {
  const counts = ["minConnectionDuration", "maxShortConnections"]
  const delays = ["backoffBaseDelay", "backoffMaxDelay", "logWarnings"]
  refuses([...counts, ...delays], (odd) =>
    stream({ url, fetch, live: false, sseResilience: { ...odd } }),
  )
})

describe("counts are whole", () => {
  it.each([
    ["readAhead", { readAhead: 1.5 }],
    ["sseResilience.maxShortConnections", { sseResilience: { maxShortConnections: 1.5 } }],
    ["backoffOptions.maxRetries", { backoffOptions: { maxRetries: 1.5 } }],
  ])("%s", async (name, odd) => {
    const error = await failureOf(() => stream({ url, fetch, live: false, ...odd }))
    const rule = `${name} must be a whole number, 0 or more`
    expect(error).toMatchObject({ code: "BAD_REQUEST", message: expect.stringContaining(rule) })
  })
})

describe("backoffOptions refuse by name what cannot be", () => {
  const names = ["initialDelay", "maxDelay", "multiplier", "maxRetries", "onFailedAttempt", "debug"]
  refuses(names, (odd) => stream({ url, fetch, live: false, backoffOptions: { ...odd } }))
  refuses(names, (odd) => createFetchWithBackoff(fetch, { ...odd }))
})

describe("DurableStream refuses by name what cannot be", () => {
  const own = ["contentType", "onError", "batching", "warnOnHttp", "requestTimeoutMs"]
  refuses([...endpoint, ...own], (odd) => new DurableStream({ url, fetch, ...odd }))
  const created = [...endpoint, "contentType", "ttlSeconds", "expiresAt", "closed"]
  refuses([...created, ...own], (odd) => DurableStream.create({ url, fetch, ...odd }))
  const handle = new DurableStream({ url, fetch, contentType: "text/plain" })
  refuses([...created, "requestTimeoutMs"], (odd) => handle.create({ ...odd }))
  refuses([...created, "offset", "subOffset"], (odd) => handle.fork({ url: "/f", ...odd }))
  const append = ["seq", "contentType", "signal"]
  const producer = { producerId: "p", producerEpoch: 0, producerSeq: 0 }
  refuses(append, (odd) => handle.append("x", { ...odd }))
  refuses(Object.keys(producer), (odd) => handle.append("x", { ...producer, ...odd }))
  refuses(append, (odd) => handle.appendStream(new Blob(["x"]).stream(), { ...odd }))
  refuses(["contentType", "signal"], (odd) => handle.close({ ...odd }))
  refuses(["signal"], (odd) => handle.head({ ...odd }))
  refuses(["signal"], (odd) => handle.delete({ ...odd }))
})

describe("IdempotentProducer refuses by name what cannot be", () => {
  const names = ["epoch", "autoClaim", "maxBatchBytes", "lingerMs", "maxInFlight", "headers"]
  const more = ["signal", "fetch", "onError", "backoffOptions", "deliveryTimeoutMs"]
  const bytes = ["highWaterMarkBytes", "maxBufferedBytes"]
  const handle = new DurableStream({ url, fetch, contentType: "text/plain" })
  const all = [...names, ...more, ...bytes]
  refuses(all, (odd) => new IdempotentProducer(handle, "p", { ...odd }))
  refuses(all, (odd) => handle.writable({ ...odd }))
})

describe("options that are none are refused as such", () => {
  const handle = new DurableStream({ url, fetch, contentType: "text/plain" })
  const none = [null, "text/plain", 7, []]
  const calls: Record<string, (options: never) => unknown> = {
    create: (options) => handle.create(options),
    head: (options) => handle.head(options),
    delete: (options) => handle.delete(options),
    append: (options) => handle.append("x", options),
    appendStream: (options) => handle.appendStream(new Blob(["x"]).stream(), options),
    writable: (options) => handle.writable(options),
    close: (options) => handle.close(options),
    stream: (options) => handle.stream(options),
    fork: (options) => handle.fork(options),
    IdempotentProducer: (options) => new IdempotentProducer(handle, "p", options),
    createFetchWithBackoff: (options) => createFetchWithBackoff(fetch, options),
  }
  it.each(Object.keys(calls))("%s", async (name) => {
    for (const options of none) {
      const error = await failureOf(() => calls[name]?.(options as never))
      expect(error, String(options)).toBeInstanceOf(DurableStreamError)
      expect(error).toMatchObject({ code: "BAD_REQUEST" })
    }
  })
})

describe("a text with half of a character, which has no place in a URL", () => {
  it("is refused as a param and as the name of one", async () => {
    for (const params of [{ a: "\ud800" }, { "\udfff": "a" }, { a: () => "\ud800" }]) {
      const error = await failureOf(() => stream({ url, fetch, params, live: false }))
      expect(error).toMatchObject({ code: "BAD_REQUEST" })
    }
  })
})
