import { afterEach, describe, expect, it, vi } from "vitest"
import { stream } from "../../../src/stream.ts"
import { rejection } from "../../support/rejection.ts"

afterEach(() => {
  vi.restoreAllMocks()
})

/** A stream of pages in memory; the offset behind page n is `p<n>`. */
async function open(pages: readonly (readonly unknown[])[], signal?: AbortSignal) {
  const requested: string[] = []
  const fetch = (url: string | URL | Request) => {
    const offset = new URL(String(url)).searchParams.get("offset") ?? ""
    requested.push(offset)
    const index = offset === "-1" ? 0 : Number(offset.slice(1))
    return Promise.resolve(
      Response.json(pages[index], {
        headers: {
          "Stream-Next-Offset": `p${index + 1}`,
          ...(index + 1 === pages.length && { "Stream-Closed": "true" }),
        },
      }),
    )
  }
  const response = await stream<number>({
    url: "http://stream.test/s",
    fetch,
    readAhead: 0,
    ...(signal && { signal }),
  })
  return { response, requested }
}

const numbers = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i)

const sizes = [1, 2, 3, 1000, 1, 0, 2]
const pages = sizes.map((size, index) =>
  numbers(
    sizes.slice(0, index).reduce((sum, n) => sum + n, 0),
    size,
  ),
)
const all = pages.flat()

/** The offset that holds once so many messages were given: that of the last page they are all of. */
function offsetBehind(given: number): string {
  let end = 0
  let offset = "-1"
  for (const [index, page] of pages.entries()) {
    end += page.length
    if (end > given || (page.length === 0 && end === given)) break
    offset = `p${index + 1}`
  }
  return offset
}

describe("jsonStream", () => {
  it("gives each message once to for await, and moves the offset with the last of a page", async () => {
    const { response } = await open(pages)
    const given: number[] = []
    for await (const message of response.jsonStream()) {
      given.push(message)
      expect(response.offset).toBe(offsetBehind(given.length))
    }
    expect(given).toEqual(all)
    expect(response).toMatchObject({ offset: "p7", streamClosed: true })
    await response.closed
  })

  it("gives each message once to a reader, and moves the offset with the last of a page", async () => {
    const { response } = await open(pages)
    const reader = response.jsonStream().getReader()
    const given: number[] = []
    for (;;) {
      const { done, value } = await reader.read()
      if (done) break
      given.push(value)
      expect(response.offset).toBe(offsetBehind(given.length))
    }
    expect(given).toEqual(all)
    await response.closed
  })

  it.each([1, 5, 300, 700, 1006])("goes on in a loop behind %i reads", async (reads) => {
    const { response } = await open(pages)
    const messages = response.jsonStream()
    const given: number[] = []
    const reader = messages.getReader()
    for (let read = 0; read < reads; read++) given.push((await reader.read()).value ?? NaN)
    reader.releaseLock()
    for await (const message of messages) given.push(message)
    expect(given).toEqual(all)
  })

  it("settles calls that overlap in their order", async () => {
    const { response } = await open(pages)
    const iterator = response.jsonStream()[Symbol.asyncIterator]()
    const results = await Promise.all(numbers(0, all.length + 2).map(() => iterator.next()))
    expect(results.slice(0, all.length).map(({ value }) => value as number)).toEqual(all)
    expect(results.slice(all.length).map(({ done }) => done)).toEqual([true, true])
  })

  it("holds the stream while a loop runs, and not longer", async () => {
    const { response } = await open(pages)
    const messages = response.jsonStream()
    for await (const message of messages) expect(messages.locked, `${message}`).toBe(true)
    expect(messages.locked).toBe(false)
  })

  it("reads no message of a loop through the stream", async () => {
    const read = vi.spyOn(ReadableStreamDefaultReader.prototype, "read")
    const { response } = await open([numbers(0, 5000), numbers(5000, 5000)])
    const before = read.mock.calls.length
    const iterator = response.jsonStream()[Symbol.asyncIterator]()
    for (let index = 0; index < 5000; index++) await iterator.next()
    // The body of the page: one part and its end.
    expect(read.mock.calls.length - before).toBe(2)
    await iterator.return?.()
  })

  it("ends in the middle of a page with an abort", async () => {
    const controller = new AbortController()
    const { response } = await open([numbers(0, 100), numbers(100, 100)], controller.signal)
    const given: number[] = []
    const failure = await rejection(
      (async () => {
        for await (const message of response.jsonStream()) {
          given.push(message)
          if (message === 49) controller.abort("enough")
        }
      })(),
    )
    expect(failure).toMatchObject({ name: "AbortError", cause: "enough" })
    expect(given).toEqual(numbers(0, 50))
    expect(response.offset).toBe("-1")
  })

  it("ends in the middle of a page with a cancel", async () => {
    const { response } = await open([numbers(0, 100), numbers(100, 100)])
    const given: number[] = []
    for await (const message of response.jsonStream()) {
      given.push(message)
      if (message === 49) response.cancel()
    }
    expect(given).toEqual(numbers(0, 50))
    await response.closed
  })

  it("ends the session where a loop is left", async () => {
    const { response, requested } = await open([numbers(0, 100), numbers(100, 100)])
    for await (const message of response.jsonStream()) if (message === 49) break
    await response.closed
    expect(requested).toEqual(["-1"])
    expect(response.offset).toBe("-1")
  })
})
