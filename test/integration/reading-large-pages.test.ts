import { once } from "node:events"
import { Worker } from "node:worker_threads"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { DurableStream, stream, type StreamOptions, type StreamResponse } from "../../src/index.ts"
import { rejection } from "../support/rejection.ts"
import { makeResponse, scriptedFetch } from "../support/scripted-fetch.ts"
import { consume, METHODS, pageHeaders, quick } from "./reading-support.ts"

const url = "https://streams.test/s"
const CHUNK_BYTES = 64 << 20
const chunk = new Uint8Array(CHUNK_BYTES).fill(0x61)

/** V8's longest string has 2^29 - 24 characters. */
const TOO_LONG = 9 * CHUNK_BYTES

/** A page of many bytes that takes the memory of one chunk. */
function largePage(type: string, pageBytes = TOO_LONG): () => Response {
  return () => {
    let left = pageBytes
    const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
      pull(controller) {
        if (left === 0) controller.close()
        else controller.enqueue(chunk.subarray(0, Math.min(left, CHUNK_BYTES)))
        left -= Math.min(left, CHUNK_BYTES)
      },
    })
    return makeResponse(200, pageHeaders("o2", { type, closed: true }), body)
  }
}

function open(type: string, page: () => Response, options: Partial<StreamOptions> = {}) {
  const first = makeResponse(200, pageHeaders("o1", { type, upToDate: false }), "[]")
  const { fetch } = scriptedFetch([first, page])
  return stream({ ...quick, url, fetch, ...options })
}

/** Sizes of what is delivered, with the offset of the response after each. */
async function sizes(response: StreamResponse, method: string): Promise<[number, string][]> {
  const seen: [number, string][] = []
  const add = (size: number, offset = response.offset) => void seen.push([size, offset])
  if (method === "textChunks") {
    for await (const { text, offset } of response.textChunks()) add(text.length, offset)
  } else if (method === "byteChunks") {
    for await (const { data, offset } of response.byteChunks()) add(data.byteLength, offset)
  } else if (method === "textStream") {
    for await (const text of response.textStream()) add(text.length)
  } else if (method === "bodyStream") {
    for await (const data of response.bodyStream()) add(data.byteLength)
  }
  return seen
}

describe("a page that is longer than the engine's strings", () => {
  it.each(["json", "subscribeJson"] as const)(
    "ends %s with PAGE_TOO_LARGE, and does not hang",
    async (method) => {
      const response = await open("application/json", largePage("application/json"))
      const error = await rejection(consume(response, method))
      expect(error).toMatchObject({ code: "PAGE_TOO_LARGE" })
      expect(error.cause).toBeInstanceOf(RangeError)
      expect(await rejection(response.closed)).toBe(error)
      expect(response.offset).toBe(method === "json" ? "-1" : "o1")
    },
    60_000,
  )

  it("ends text() with PAGE_TOO_LARGE", async () => {
    const response = await open("text/plain", largePage("text/plain"))
    expect(await rejection(response.text())).toMatchObject({ code: "PAGE_TOO_LARGE" })
  }, 60_000)

  it.each(["textChunks", "byteChunks"])(
    "is delivered by %s in parts, whose offset is the one before the page",
    async (method) => {
      const seen = await sizes(await open("text/plain", largePage("text/plain")), method)
      expect(seen.shift()).toEqual([2, "o1"])
      expect(seen.reduce((sum, [size]) => sum + size, 0)).toBe(TOO_LONG)
      expect(seen.map(([, offset]) => offset)).toEqual(["o1", "o1", "o2"])
    },
    60_000,
  )

  it.each(["textStream", "bodyStream"])(
    "is delivered by %s as it arrives",
    async (method) => {
      const seen = await sizes(await open("text/plain", largePage("text/plain")), method)
      expect(seen.reduce((sum, [size]) => sum + size, 0)).toBe(2 + TOO_LONG)
      expect(seen.every(([size]) => size <= CHUNK_BYTES)).toBe(true)
    },
    60_000,
  )

  it("is delivered in parts if its body is one chunk", async () => {
    const whole = new Uint8Array(TOO_LONG).fill(0x61)
    const response = await open("text/plain", () => {
      const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
        start(controller) {
          controller.enqueue(whole)
          controller.close()
        },
      })
      return makeResponse(200, pageHeaders("o2", { type: "text/plain", closed: true }), body)
    })
    const seen = await sizes(response, "textChunks")
    expect(seen.reduce((sum, [size]) => sum + size, 0)).toBe(2 + TOO_LONG)
  }, 60_000)
})

describe("a page of 160 MiB, as the reference server sends it", () => {
  const PART_BYTES = 16 << 20
  const PAGE_BYTES = 10 * PART_BYTES
  let server: Worker
  let streamUrl: string

  beforeAll(async () => {
    // In a thread, whose memory is its own.
    server = new Worker(
      `import("@durable-streams/server").then(async ({ DurableStreamTestServer }) =>
         require("node:worker_threads").parentPort.postMessage(await new DurableStreamTestServer({ port: 0 }).start()))`,
      { eval: true },
    )
    const [origin] = (await once(server, "message")) as [string]
    streamUrl = `${origin}/large`
    const handle = await DurableStream.create({ url: streamUrl, contentType: "text/plain" })
    for (let sent = 0; sent < PAGE_BYTES; sent += PART_BYTES) {
      await handle.append(chunk.subarray(0, PART_BYTES))
    }
  }, 60_000)
  afterAll(() => server.terminate())

  it.each(["textStream", "bodyStream"] as const)(
    "is delivered by %s as it arrives, in a part of its memory",
    async (method) => {
      const response = await stream({ url: streamUrl, live: false, warnOnHttp: false })
      const before = memoryBytes()
      const delivered = { bytes: 0, chunks: 0, memoryBytes: 0 }
      for await (const part of response[method]()) {
        delivered.bytes += part.length
        if (++delivered.chunks % 100 > 0) continue
        delivered.memoryBytes = Math.max(delivered.memoryBytes, memoryBytes() - before)
      }
      expect(delivered.bytes).toBe(PAGE_BYTES)
      expect(delivered.chunks).toBeGreaterThan(1_000)
      expect(delivered.memoryBytes).toBeLessThan(PAGE_BYTES / 2)
    },
    60_000,
  )

  it("is one chunk of byteChunks(), and moves the offset behind it", async () => {
    const response = await stream({ url: streamUrl, live: false, warnOnHttp: false })
    const [first, ...more] = await sizes(response, "byteChunks")
    expect([first, more]).toEqual([[PAGE_BYTES, response.offset], []])
    const rest = await stream({ url: streamUrl, offset: response.offset, live: false })
    expect(await rest.text()).toBe("")
  }, 60_000)

  function memoryBytes(): number {
    const { heapUsed, arrayBuffers } = process.memoryUsage()
    return heapUsed + arrayBuffers
  }
})

describe("an exception while a page is processed", () => {
  const methods = [...METHODS.json, ...METHODS.text] as const

  it.each(methods)("of the decoder ends %s with that exception", async (method) => {
    const failure = new RangeError("out of memory")
    const response = await open("application/json", () =>
      makeResponse(200, pageHeaders("o2", { closed: true }), "[1]"),
    )
    const { decode } = TextDecoder.prototype
    TextDecoder.prototype.decode = () => {
      throw failure
    }
    try {
      const error = await rejection(consume(response, method))
      expect(error.cause).toBe(failure)
      expect(await rejection(response.closed)).toBe(error)
    } finally {
      TextDecoder.prototype.decode = decode
    }
  })

  it.each(METHODS.json)("of JSON.parse ends %s with that exception", async (method) => {
    const failure = new RangeError("Maximum call stack size exceeded")
    const response = await open("application/json", () =>
      makeResponse(200, pageHeaders("o2", { closed: true }), "[1]"),
    )
    const { parse } = JSON
    JSON.parse = () => {
      throw failure
    }
    try {
      expect(await rejection(consume(response, method))).toBe(failure)
      expect(await rejection(response.closed)).toBe(failure)
    } finally {
      JSON.parse = parse
    }
  })
})
