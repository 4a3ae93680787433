import { describe, expect, it } from "vitest"
import { stream, type StreamOptions, type StreamResponse } from "../../src/index.ts"
import { makeResponse, scriptedFetch, type FetchCall } from "../support/scripted-fetch.ts"
import { rejection } from "../support/rejection.ts"
import { TrackedBody } from "../support/tracked-body.ts"
import { oneTurn, pageHeaders, quick } from "./reading-support.ts"

const url = "https://streams.test/s"
const PAGES = 12

/** A server whose pages' headers and bodies come when they are let go, each by itself. */
class HeldPages {
  readonly asked: number[] = []
  readonly bodies = new Map<number, TrackedBody>()
  readonly #waiting = new Map<number, () => void>()
  readonly #script = scriptedFetch([(call) => this.#respond(call)])

  async open(options: Partial<StreamOptions>): Promise<StreamResponse<number>> {
    const opened = stream<number>({
      ...quick,
      url,
      fetch: this.#script.fetch,
      live: false,
      ...options,
    })
    await turns()
    this.headers(1)
    return opened
  }

  /** Let the headers of a page go. */
  headers(page: number): void {
    this.#waiting.get(page)?.()
    this.#waiting.delete(page)
  }

  /** Let the body of a page go. */
  body(page: number): void {
    const body = this.bodies.get(page)
    body?.write(new TextEncoder().encode(`[${page}]`))
    body?.end()
  }

  /** Let the first page go, to whoever waits for it, and of all others that are asked for the headers. */
  async onlyFirst(taken: Promise<unknown>): Promise<void> {
    await turns()
    this.body(1)
    await taken
    for (let page = 2; page <= PAGES; page++) {
      this.headers(page)
      await turns()
    }
  }

  async #respond({ url: asked }: FetchCall): Promise<Response> {
    const offset = new URL(asked).searchParams.get("offset")
    const page = offset === "-1" ? 1 : Number(offset) + 1
    this.asked.push(page)
    await new Promise<void>((resolve) => void this.#waiting.set(page, resolve))
    const body = new TrackedBody(() => undefined)
    this.bodies.set(page, body)
    return makeResponse(200, pageHeaders(String(page), { upToDate: page === PAGES }), body.stream)
  }
}

async function turns(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await oneTurn()
}

describe("the page ahead", () => {
  it("is requested when the headers of this one are in, before its body", async () => {
    const pages = new HeldPages()
    const response = await pages.open({})
    const batches = response.jsonBatches()
    await turns()
    expect(pages.asked, "not before consumption begins").toEqual([1])
    const first = batches.next()
    await turns()
    expect(pages.asked, "before the body of this one").toEqual([1, 2])
    pages.headers(2)
    await turns()
    expect(pages.asked, "one ahead and no more").toEqual([1, 2])
    pages.body(1)
    expect((await first).value?.items).toEqual([1])
    await turns()
    expect(pages.asked, "a consumer that does not ask for more").toEqual([1, 2])
    void batches.next()
    await turns()
    expect(pages.asked, "this one is read, and its headers were in already").toEqual([1, 2, 3])
    response.cancel()
  })

  it("is not requested with readAhead: 0 before this one has been taken", async () => {
    const pages = new HeldPages()
    const response = await pages.open({ readAhead: 0 })
    const batches = response.jsonBatches()
    const first = batches.next()
    await turns()
    expect(pages.asked).toEqual([1])
    pages.body(1)
    await first
    await turns()
    expect(pages.asked).toEqual([1])
    void batches.next()
    await turns()
    expect(pages.asked).toEqual([1, 2])
    response.cancel()
  })

  it.each([2, 3, 5])("at most %i are ahead of a consumer that has stopped", async (readAhead) => {
    const pages = new HeldPages()
    const response = await pages.open({ readAhead })
    const batches = response.jsonBatches()
    const first = batches.next()
    await pages.onlyFirst(first)
    expect(pages.asked.length).toBe(1 + readAhead)
    response.cancel()
    await turns()
    const states = [...pages.bodies.values()].map(({ state }) => state)
    expect(states.slice(1)).toEqual(Array.from({ length: readAhead }, () => "cancelled"))
  })

  it("is bounded by a slow reader of bytes, whose page is not read to its end", async () => {
    const pages = new HeldPages()
    const response = await pages.open({ readAhead: 2, live: false })
    const reader = response.jsonStream().getReader()
    const first = reader.read()
    await pages.onlyFirst(first)
    expect(pages.asked.length).toBeLessThanOrEqual(1 + 2 + 1)
    await reader.cancel()
  })

  it("that fails is a failure when its turn comes, and not before", async () => {
    const first = makeResponse(200, pageHeaders("1", { upToDate: false }), "[1]")
    const { fetch } = scriptedFetch([first, makeResponse(403)])
    const response = await stream({ ...quick, url, fetch, live: false })
    const batches = response.jsonBatches()
    expect((await batches.next()).value?.items).toEqual([1])
    await turns()
    expect(response.offset).toBe("1")
    expect(await rejection(batches.next())).toMatchObject({ code: "FORBIDDEN" })
  })

  it("comes with the headers that the error handler has given meanwhile", async () => {
    const first = makeResponse(200, pageHeaders("1", { upToDate: false }), "[1]")
    const last = makeResponse(200, pageHeaders("2"), "[2]")
    const { fetch, calls } = scriptedFetch([first, makeResponse(401), last])
    const onError = (): object => ({ headers: { authorization: "new" } })
    const response = await stream({ ...quick, url, fetch, live: false, readAhead: 4, onError })
    expect(await response.json()).toEqual([1, 2])
    expect(calls.map(({ headers }) => headers["authorization"])).toEqual([
      undefined,
      undefined,
      "new",
    ])
  })

  it("is made again where the page before it has to be", async () => {
    const offsets: Array<string | null> = []
    let broken = false
    const { fetch } = scriptedFetch([
      ({ url: asked }) => {
        const offset = new URL(asked).searchParams.get("offset")
        offsets.push(offset)
        const page = offset === "-1" ? 1 : Number(offset) + 1
        const headers = pageHeaders(String(page), { upToDate: page === 4 })
        if (page !== 2 || broken) return makeResponse(200, headers, `[${page}]`)
        broken = true
        return makeResponse(200, { ...headers, "content-length": "99" }, "[")
      },
    ])
    const response = await stream({ ...quick, url, fetch, live: false })
    expect(await response.json()).toEqual([1, 2, 3, 4])
    expect(offsets).toEqual(["-1", "1", "2", "1", "2", "3"])
  })
})
