import { describe, expect, it } from "vitest"
import {
  FetchBackoffAbortError,
  stream,
  type JsonBatch,
  type StreamOptions,
  type StreamResponse,
} from "../../src/index.ts"
import { makeResponse, scriptedFetch, type FetchOutcome } from "../support/scripted-fetch.ts"
import { rejection } from "../support/rejection.ts"
import { oneTurn, pageHeaders, quick, Received, consume } from "./reading-support.ts"

const url = "https://streams.test/s"

/** Three pages of JSON; the last is up to date, or the end. */
function pages(end: { closed?: boolean } = {}): [FetchOutcome, ...FetchOutcome[]] {
  return [
    makeResponse(200, pageHeaders("o1", { upToDate: false, cursor: "c1" }), '["a","b"]'),
    makeResponse(200, pageHeaders("o2", { upToDate: false }), '["c"]'),
    makeResponse(200, pageHeaders("o3", { cursor: "c3", ...end }), '["d"]'),
    "hang",
  ]
}

function open(options: Partial<StreamOptions> = {}, outcomes = pages()): Promise<StreamResponse> {
  const { fetch } = scriptedFetch(outcomes)
  return stream({ ...quick, url, fetch, live: false, ...options })
}

function place({ offset, cursor, upToDate, streamClosed }: StreamResponse | JsonBatch): object {
  return { offset, cursor, upToDate, streamClosed }
}

const start = { offset: "-1", cursor: undefined, upToDate: false, streamClosed: false }
const afterFirst = { ...start, offset: "o1", cursor: "c1" }
const afterSecond = { ...start, offset: "o2", cursor: "c1" }
const afterThird = { offset: "o3", cursor: "c3", upToDate: true, streamClosed: false }

describe("the place of what was delivered", () => {
  it("inside a callback it is the batch's own, before and after its promise", async () => {
    const response = await open()
    const seen: object[] = []
    response.subscribeJson(async (batch) => {
      seen.push(place(response))
      expect(response.offset).toBe(batch.offset)
      await oneTurn()
      expect(response.offset).toBe(batch.offset)
    })
    expect(place(response)).toEqual(start)
    await response.closed
    expect(seen).toEqual([afterFirst, afterSecond, afterThird])
  })

  it("a batch tells its own page's, whose cursor may be missing", async () => {
    const response = await open()
    const batches: JsonBatch[] = []
    for await (const batch of response.jsonBatches()) batches.push(batch)
    expect(batches).toEqual([
      { items: ["a", "b"], offset: "o1", cursor: "c1", upToDate: false, streamClosed: false },
      { items: ["c"], offset: "o2", upToDate: false, streamClosed: false },
      { items: ["d"], offset: "o3", cursor: "c3", upToDate: true, streamClosed: false },
    ])
  })

  it("inside a loop it is the batch's own", async () => {
    const response = await open()
    const seen: object[] = []
    for await (const batch of response.jsonBatches()) {
      seen.push(place(response))
      expect(response.offset).toBe(batch.offset)
    }
    expect(seen).toEqual([afterFirst, afterSecond, afterThird])
  })

  it("it moves with the last message of a page that is read one by one", async () => {
    const response = await open()
    const reader = response.jsonStream().getReader()
    const seen: Array<[unknown, string]> = []
    for (;;) {
      const { done, value } = await reader.read()
      if (done) break
      seen.push([value, response.offset])
    }
    expect(seen).toEqual([
      ["a", "-1"],
      ["b", "o1"],
      ["c", "o2"],
      ["d", "o3"],
    ])
  })

  it("it moves once the bytes of a page have been read, and never before", async () => {
    const outcomes: [FetchOutcome, ...FetchOutcome[]] = [
      makeResponse(200, pageHeaders("o1", { type: "text/plain", upToDate: false }), "first"),
      makeResponse(200, pageHeaders("o2", { type: "text/plain" }), "second"),
    ]
    for (const method of ["bodyStream", "textStream"] as const) {
      const response = await open({}, outcomes)
      const reader = (response[method]() as ReadableStream<unknown>).getReader()
      expect(response.offset).toBe("-1")
      await reader.read()
      expect(response.offset).toBe("-1")
      await reader.read()
      expect(response.offset).toBe("o1")
      expect((await reader.read()).done).toBe(true)
      expect(response).toMatchObject({ offset: "o2", upToDate: true })
    }
  })

  /** An open stream whose second page ends inside a character. */
  const openHalf = () => {
    const type = "text/plain"
    return open({}, [
      makeResponse(200, pageHeaders("o1", { type, upToDate: false }), "a"),
      makeResponse(200, pageHeaders("o2", { type }), new Uint8Array([0x62, 0xe2, 0x82])),
    ])
  }

  it.each(["textChunks", "subscribeText"] as const)(
    "%s of an open stream whose tail is inside a character ends at the last place between two",
    async (method) => {
      const response = await openHalf()
      expect(await consume(response, method)).toBe("a")
      expect(response).toMatchObject({ offset: "o1", upToDate: false, streamClosed: false })
    },
  )

  it.each(["text", "textStream"] as const)(
    "%s of one gives all that is whole, and stays at that place",
    async (method) => {
      const response = await openHalf()
      expect(await consume(response, method)).toBe("ab")
      expect(response).toMatchObject({ offset: "o1", upToDate: false, streamClosed: false })
    },
  )

  it("what is gathered is delivered when the promise resolves", async () => {
    const response = await open()
    const gathered = response.json()
    expect(place(response)).toEqual(start)
    expect(await gathered).toEqual(["a", "b", "c", "d"])
    expect(place(response)).toEqual(afterThird)
  })

  it("a callback that fails has not taken its batch: the place is the one before", async () => {
    for (const failsAsync of [false, true]) {
      const response = await open()
      const failure = new Error("the database is down")
      response.subscribeJson((batch) => {
        if (batch.offset !== "o2") return
        if (!failsAsync) throw failure
        return oneTurn().then(() => Promise.reject(failure))
      })
      expect(await rejection(response.closed)).toBe(failure)
      expect(place(response)).toEqual(afterFirst)
    }
  })

  it("a failing callback ends the session and its connection", async () => {
    const script = scriptedFetch(pages())
    const response = await open({ fetch: script.fetch, live: "long-poll" })
    const failure = new Error("full")
    response.subscribeJson((batch) => {
      if (batch.upToDate) throw failure
    })
    expect(await rejection(response.closed)).toBe(failure)
    const { length } = script.calls
    await oneTurn()
    expect(script.calls.length).toBe(length)
  })

  it("streamClosed is said with the last batch, and of the response with it", async () => {
    const response = await open({ live: true }, pages({ closed: true }))
    const seen: object[] = []
    response.subscribeJson((batch) => seen.push([batch.streamClosed, response.streamClosed]))
    await response.closed
    expect(seen).toEqual([
      [false, false],
      [false, false],
      [true, true],
    ])
  })

  it("an end that comes without content is a batch of its own", async () => {
    const closed = makeResponse(204, pageHeaders("o3", { closed: true }))
    const outcomes = pages()
    const response = await open({ live: "long-poll" }, [
      outcomes[0],
      ...outcomes.slice(1, 3),
      closed,
    ])
    const batches: JsonBatch[] = []
    for await (const batch of response.jsonBatches()) batches.push(batch)
    expect(batches.at(-1)).toMatchObject({ items: [], offset: "o3", streamClosed: true })
    expect(batches.map(({ items }) => items.length)).toEqual([2, 1, 1, 0])
  })

  it("a reader that is told of the tail without content is told once", async () => {
    const outcomes: [FetchOutcome, ...FetchOutcome[]] = [
      makeResponse(200, pageHeaders("o1", { upToDate: false }), '["a"]'),
      makeResponse(200, pageHeaders("o1"), "[]"),
      async () => {
        await new Promise((resolve) => setTimeout(resolve, 60))
        return makeResponse(204, pageHeaders("o1"))
      },
      async () => {
        await new Promise((resolve) => setTimeout(resolve, 60))
        return makeResponse(204, pageHeaders("o1", { closed: true }))
      },
    ]
    const response = await open({ live: "long-poll" }, outcomes)
    const batches: JsonBatch[] = []
    for await (const batch of response.jsonBatches()) batches.push(batch)
    expect(batches.map(({ items, upToDate, streamClosed }) => [items, upToDate, streamClosed]))
      // prettier-ignore
      .toEqual([
        [["a"], false, false],
        [[], true, false],
        [[], true, true],
      ])
  })
})

describe("one batch at a time", () => {
  it("the next callback waits for the promise of the one before", async () => {
    const response = await open()
    const log: string[] = []
    response.subscribeJson(async (batch) => {
      log.push(`begin ${batch.offset}`)
      await oneTurn()
      log.push(`end ${batch.offset}`)
    })
    await response.closed
    expect(log).toEqual(["begin o1", "end o1", "begin o2", "end o2", "begin o3", "end o3"])
  })

  it("next() that is called again before it has settled settles in turn", async () => {
    const batches = (await open()).jsonBatches()
    const results = await Promise.all([1, 2, 3, 4].map(() => batches.next()))
    expect(results.map(({ value, done }) => [value?.offset, done])).toEqual([
      ["o1", false],
      ["o2", false],
      ["o3", false],
      [undefined, true],
    ])
  })
})

describe("how a session ends", () => {
  it("cancel: loops and streams end, what is gathered rejects, closed resolves", async () => {
    for (const method of ["jsonBatches", "byteChunks", "textChunks", "bodyStream"] as const) {
      const response = await open({ live: "long-poll" })
      const received = new Received()
      const done = consume(response, method, received)
      await received.whenEndsWith(method === "jsonBatches" ? '"d"\n' : '["d"]')
      response.cancel("enough")
      await Promise.all([done, response.closed])
    }
    const response = await open({}, [pages()[0], "hang"])
    const gathered = rejection(response.json())
    response.cancel("enough")
    expect(await gathered).toMatchObject({ name: "AbortError", cause: "enough" })
    await response.closed
  })

  it("abort: loops, streams and what is gathered reject with it, closed resolves", async () => {
    const reason = new Error("the user left")
    for (const method of ["jsonBatches", "textStream", "jsonStream", "json"] as const) {
      const controller = new AbortController()
      const response = await open({ signal: controller.signal }, [pages()[0], "hang"])
      const done = rejection(consume(response, method))
      await oneTurn()
      controller.abort(reason)
      const error = await done
      expect(error).toBeInstanceOf(FetchBackoffAbortError)
      expect(error.cause).toBe(reason)
      await response.closed
    }
  })

  it("a request that failed for good rejects the consumer and closed with the same error", async () => {
    for (const method of ["jsonBatches", "textStream", "jsonStream", "json"] as const) {
      const response = await open({}, [pages()[0], makeResponse(410)])
      const error = await rejection(consume(response, method))
      expect(error).toMatchObject({ name: "FetchError", code: "GONE", status: 410 })
      expect(await rejection(response.closed)).toBe(error)
      // What is gathered is with the caller as a whole or not at all.
      expect(response.offset).toBe(method === "json" ? "-1" : "o1")
    }
  })

  it("closed waits for the last callback", async () => {
    const response = await open()
    let finish: () => void = () => undefined
    let over = false
    response.subscribeJson((batch) => {
      if (!batch.upToDate) return
      return new Promise<void>((resolve) => {
        finish = resolve
      })
    })
    void response.closed.then(() => (over = true))
    for (let turns = 0; turns < 10; turns++) await oneTurn()
    expect(over).toBe(false)
    response.cancel()
    await oneTurn()
    expect(over).toBe(false)
    finish()
    await response.closed
  })

  it("unsubscribing ends the session: no callback after it, even for a page that was on its way", async () => {
    for (let hops = 0; hops < 100; hops++) {
      let release: () => void = () => undefined
      const held = new Promise<void>((resolve) => {
        release = resolve
      })
      const second = async (): Promise<Response> => {
        await held
        return makeResponse(200, pageHeaders("o2"), '["c"]')
      }
      const response = await open({}, [pages()[0], second])
      const offsets: string[] = []
      let subscribed = true
      const unsubscribe = response.subscribeJson((batch) => {
        expect(subscribed).toBe(true)
        offsets.push(batch.offset)
      })
      await oneTurn()
      release()
      // The page is on its way through a number of promises; whenever the unsubscription comes, it counts.
      for (let hop = 0; hop < hops; hop++) await Promise.resolve()
      subscribed = false
      unsubscribe()
      await response.closed
      expect(response.offset).toBe(offsets.at(-1))
    }
  })

  it("break ends the session", async () => {
    const script = scriptedFetch(pages())
    const response = await open({ fetch: script.fetch, live: true, readAhead: 0 })
    for await (const batch of response.jsonBatches()) {
      expect(batch.offset).toBe("o1")
      break
    }
    await response.closed
    await oneTurn()
    expect(script.calls.length).toBe(1)
    expect(response.offset).toBe("o1")
  })

  it("disposing waits for the end and never fails", async () => {
    const response = await open({}, [pages()[0], makeResponse(403)])
    await rejection(response.json())
    await response[Symbol.asyncDispose]()
    await expect(response.closed).rejects.toMatchObject({ code: "FORBIDDEN" })
  })

  it("disposing ends an iteration that nobody goes on with", async () => {
    const response = await open({ live: true })
    await response.jsonBatches().next()
    await response[Symbol.asyncDispose]()
  })

  it("closed can be waited for inside a loop that has cancelled", async () => {
    const response = await open({ live: true })
    for await (const batch of response.jsonBatches()) {
      expect(batch.offset).toBe("o1")
      response.cancel()
      await response.closed
    }
  })

  it("await using ends the session with its block", async () => {
    const script = scriptedFetch(pages())
    let closed: Promise<void>
    {
      await using response = await open({ fetch: script.fetch, live: true })
      closed = response.closed
      await response.jsonBatches().next()
    }
    await closed
  })
})
