import { describe, expect, it } from "vitest"
import { DurableStreamError, FetchError, stream, type StreamOptions } from "../../src/index.ts"
import {
  breakOff,
  respond,
  startMisbehavingServer,
  type Misbehavior,
  type MisbehavingServer,
} from "../support/misbehaving-server.ts"
import { rejection } from "../support/rejection.ts"
import { makeResponse, scriptedFetch, type FetchOutcome } from "../support/scripted-fetch.ts"
import { runInVirtualTime } from "../support/virtual-time.ts"
import { consume, pageHeaders, quick, sseControl, sseEvent } from "./reading-support.ts"

/** What a read ends with, and after how many requests. */
async function failure(
  handlers: readonly [Misbehavior, ...Misbehavior[]],
  options: Partial<StreamOptions> = {},
  method: "jsonBatches" | "textStream" | "json" = "jsonBatches",
): Promise<{ error: Error & Record<string, unknown>; server: MisbehavingServer }> {
  await using server = await startMisbehavingServer(...handlers)
  const read = async (): Promise<string> =>
    consume(await stream({ ...quick, url: `${server.url}/s?token=secret`, ...options }), method)
  const error = await rejection(read())
  expect(error).toBeInstanceOf(DurableStreamError)
  expect(error.message).not.toContain("secret")
  return { error, server }
}

/**
 * The same where every response comes at once. In virtual time: a long-poll whose response comes late on a busy machine was held,
 * and does not count.
 */
async function failureAtOnce(
  outcomes: readonly [FetchOutcome, ...FetchOutcome[]],
  live: false | "long-poll",
): Promise<{ error: Error; requests: number }> {
  const { fetch, calls } = scriptedFetch(outcomes)
  const { value: error } = await runInVirtualTime({}, () => {
    const options = { ...quick, url: "https://server.test/s", fetch, live } as const
    return rejection(stream(options).then((response) => consume(response, "jsonBatches")))
  })
  return { error, requests: calls.length }
}

const EVENTS = { "content-type": "text/event-stream" }

const first = respond(200, pageHeaders("o1", { upToDate: false }), "[1]")
const tail = respond(200, pageHeaders("o1"), "[1]")
const stillTail = makeResponse(200, pageHeaders("o1"), "[1]")

describe("a page that does not move", () => {
  it("ends the read after a bounded number of requests, and says that a cache may be stuck", async () => {
    const { error, server } = await failure([first], { live: false })
    expect(error).toMatchObject({ code: "NO_PROGRESS" })
    expect(error.message).toMatch(/cache/)
    expect(server.requests.length).toBe(12)
  })

  it("is waited out where the cache lets go in time, and its data is not taken twice", async () => {
    const stuck = [first, first, first, first]
    const rest = respond(200, pageHeaders("o2"), "[2]")
    await using server = await startMisbehavingServer(first, ...stuck, rest)
    const response = await stream({ ...quick, url: server.url, live: false })
    expect(await consume(response, "jsonBatches")).toBe("1\n2\n")
  })

  it("at the tail, served again and again to live reads, ends the same way", async () => {
    const { error, requests } = await failureAtOnce([stillTail], "long-poll")
    expect(error).toMatchObject({ code: "NO_PROGRESS" })
    expect(error.message).toMatch(/live requests/)
    expect(requests).toBe(22)
  })
})

describe("content that was delivered already", () => {
  it.each(["long-poll", "sse"] as const)(
    "does not come twice with the news that it was the last (%s)",
    async (live) => {
      const more = respond(200, pageHeaders("o1", { upToDate: false }), "[1]")
      const idle = respond(204, pageHeaders("o1", { closed: true }))
      const events =
        sseControl("o1", { upToDate: false }) +
        sseEvent("data", "[1]") +
        sseControl("o1") +
        sseControl("o1", { streamClosed: true })
      const again = live === "sse" ? respond(200, EVENTS, events) : tail
      const caughtUp = respond(200, pageHeaders("o1"), "[]")
      await using server = await startMisbehavingServer(more, caughtUp, again, idle)
      const response = await stream({ ...quick, url: server.url, live, readAhead: 0 })
      expect(await consume(response, "subscribeJson")).toBe("1\n")
    },
  )

  it("does not come twice by catch-up either, where a cache keeps the first page for all", async () => {
    const more = respond(200, pageHeaders("o1", { upToDate: false }), "[1]")
    await using server = await startMisbehavingServer(more, tail)
    const response = await stream({ ...quick, url: server.url, live: false })
    expect(await consume(response, "subscribeJson")).toBe("1\n")
    expect(response).toMatchObject({ offset: "o1", upToDate: true })
  })

  it("does not come twice by SSE from a server that begins further back, all in one piece", async () => {
    const pages = ["o3", "o5", "o6"].map((offset, index) => {
      const data = index === 0 ? "" : sseEvent("data", `[${offset.slice(1)}]`)
      return data + sseControl(offset, { streamClosed: offset === "o6" })
    })
    const stored = respond(200, pageHeaders("o5"), "[1,5]")
    const events = respond(200, EVENTS, pages.join(""))
    await using server = await startMisbehavingServer(stored, events)
    const response = await stream({ ...quick, url: server.url, live: "sse" })
    expect(await consume(response, "subscribeJson")).toBe("1\n5\n6\n")
  })
})

describe("responses that bring nothing", () => {
  it("live ones that come at once and empty are backed off, and end the read after a while", async () => {
    const empty = makeResponse(204, pageHeaders("o1"))
    const { error, requests } = await failureAtOnce([stillTail, empty], "long-poll")
    expect(error).toMatchObject({ code: "NO_PROGRESS" })
    expect(requests).toBe(22)
  })

  it("live ones that come at once with data are no loop", async () => {
    let page = 0
    await using server = await startMisbehavingServer((_request, response) => {
      page++
      response.writeHead(200, pageHeaders(`o${page}`, { closed: page === 200 })).end(`[${page}]`)
    })
    const response = await stream({ ...quick, url: server.url, live: "long-poll" })
    const content = await consume(response, "jsonBatches")
    expect(content.split("\n").length).toBe(201)
  })

  it("pages that move and are empty for ever end the read after a while", async () => {
    for (const live of [false, "long-poll"] as const) {
      let page = 0
      const moving = () => {
        page++
        return makeResponse(200, pageHeaders(`o${page}`, { upToDate: live !== false }), "[]")
      }
      const { error, requests } = await failureAtOnce([moving], live)
      expect(error).toMatchObject({ code: "NO_PROGRESS" })
      expect(requests).toBeLessThan(30)
    }
  })

  it("SSE connections that move, bring nothing and are cut give way to long-poll", async () => {
    let serial = 1
    await using server = await startMisbehavingServer((request, response) => {
      const live = request.query.get("live")
      if (live === "sse") {
        response.writeHead(200, { "content-type": "text/event-stream" })
        response.end(
          sseControl(`o${++serial}`) + sseEvent("data", "[]") + sseControl(`o${++serial}`),
        )
      } else {
        response.writeHead(200, pageHeaders(`o${++serial}`, { closed: live !== null })).end("[1]")
      }
    })
    const response = await stream({ ...quick, url: server.url })
    expect(await consume(response, "jsonBatches")).toBe("1\n1\n")
    const transports = server.requests.map(({ query }) => query.get("live"))
    expect(transports).toEqual([null, "sse", "sse", "sse", "long-poll"])
  })

  it("some pages that move and are empty are passed over", async () => {
    let page = 0
    await using server = await startMisbehavingServer((_request, response) => {
      page++
      const headers = pageHeaders(`o${page}`, { upToDate: page === 20 })
      response.writeHead(200, headers).end(page % 5 === 0 ? `[${page}]` : "[]")
    })
    const response = await stream({ ...quick, url: server.url, live: false })
    expect(await consume(response, "json")).toBe("5\n10\n15\n20\n")
  })
})

describe("responses without what they need", () => {
  it("no Stream-Next-Offset, for ever: PROTOCOL, after a bounded number of requests", async () => {
    const bare = respond(200, { "content-type": "application/json" }, "[1]")
    const { error, server } = await failure([bare])
    expect(error).toMatchObject({ code: "PROTOCOL", status: 200 })
    expect(error.message).toMatch(/Stream-Next-Offset.*proxy.*CORS/s)
    expect(server.requests.length).toBe(5)
  })

  it("no Stream-Next-Offset in the middle: the same, and what came before is delivered", async () => {
    for (const live of [false, "long-poll"] as const) {
      const bare = respond(200, { "content-type": "application/json" }, "[2]")
      const { error, server } = await failure([live === false ? first : tail, bare], { live })
      expect(error).toMatchObject({ code: "PROTOCOL" })
      expect(server.requests.length).toBe(6)
    }
  })

  it("no Stream-Up-To-Date at the tail: NO_PROGRESS instead of a loop", async () => {
    const still = respond(200, { "stream-next-offset": "o1", "content-type": "text/plain" }, "")
    const { error, server } = await failure([still], { live: false }, "textStream")
    expect(error).toMatchObject({ code: "NO_PROGRESS" })
    expect(server.requests.length).toBeLessThan(15)
  })

  it("a long-poll that timed out needs no headers", async () => {
    let polls = 0
    await using server = await startMisbehavingServer(tail, async (_request, response) => {
      await new Promise((resolve) => setTimeout(resolve, 120))
      if (++polls < 3) response.writeHead(204).end()
      else response.writeHead(204, { "stream-closed": "true" }).end()
    })
    const response = await stream({ ...quick, url: server.url, live: "long-poll" })
    expect(await consume(response, "jsonStream")).toBe("1\n")
    expect(response).toMatchObject({ offset: "o1", streamClosed: true })
  })

  it("a page of HTML with status 200 is told as what it is", async () => {
    const html = respond(200, { "content-type": "text/html" }, "<html>Log in</html>")
    const { error, server } = await failure([html], {}, "json")
    expect(error).toMatchObject({ code: "PROTOCOL" })
    expect(error.message).toMatch(/text\/html/)
    expect(server.requests.length).toBe(5)
  })

  it("a page of HTML in the middle (a captive portal) is waited out", async () => {
    const html = respond(200, { "content-type": "text/html" }, "<html>Log in</html>")
    const rest = respond(200, pageHeaders("o2"), "[2]")
    await using server = await startMisbehavingServer(first, html, html, html, rest)
    const response = await stream({ ...quick, url: server.url, live: false })
    expect(await consume(response, "jsonStream")).toBe("1\n2\n")
  })

  it("maxRetries: 0 tries nothing again", async () => {
    const html = respond(200, { "content-type": "text/html" }, "<html>Log in</html>")
    const backoffOptions = { maxRetries: 0 }
    expect((await failure([html], { backoffOptions })).server.requests.length).toBe(1)
    expect((await failure([breakOff()], { backoffOptions })).server.requests.length).toBe(1)
  })
})

describe("pages that are damaged", () => {
  it("JSON that is none: PARSE_ERROR with its cause, after a bounded number of requests", async () => {
    for (const body of ["{", "[1,", "<html>", "[1] [2]"]) {
      const { error, server } = await failure([respond(200, pageHeaders("o1"), body)])
      expect(error).toMatchObject({ code: "PARSE_ERROR", cause: expect.any(SyntaxError) })
      expect(server.requests.length).toBe(5)
    }
  })

  it("JSON that is none once is read again, and nothing of it is delivered", async () => {
    const damaged = respond(200, pageHeaders("o2"), "[2,")
    const whole = respond(200, pageHeaders("o2"), "[2,3]")
    await using server = await startMisbehavingServer(first, damaged, whole)
    const response = await stream({ ...quick, url: server.url, live: false })
    expect(await consume(response, "jsonBatches")).toBe("1\n2\n3\n")
  })

  it("a value that is no array is one message, an empty body none", async () => {
    const value = respond(200, pageHeaders("o1", { upToDate: false }), '{"a":1}')
    const empty = respond(200, pageHeaders("o1"), "\n")
    await using server = await startMisbehavingServer(value, empty)
    const response = await stream({ ...quick, url: server.url, live: false })
    expect(await consume(response, "json")).toBe('{"a":1}\n')
  })

  it("a body shorter than its Content-Length is read again", async () => {
    const short = breakOff({ ...pageHeaders("o2"), "content-length": "5" }, "[2")
    const whole = respond(200, pageHeaders("o2"), "[2,3]")
    await using server = await startMisbehavingServer(first, short, short, whole)
    const response = await stream({ ...quick, url: server.url, live: false })
    expect(await consume(response, "json")).toBe("1\n2\n3\n")
  })

  it("a first JSON page whose body was lost is read again, and none of its messages is skipped", async () => {
    const lost = respond(200, { ...pageHeaders("5"), "content-length": "0" })
    const whole = respond(200, pageHeaders("5"), "[1,2,3,4,5]")
    await using server = await startMisbehavingServer(lost, whole)
    const response = await stream({ ...quick, url: server.url, live: false })
    expect(await response.json()).toEqual([1, 2, 3, 4, 5])
  })

  it("a body that never comes whole ends the read once retries are used up", async () => {
    const short = breakOff({ ...pageHeaders("o2"), "content-length": "5" }, "[2")
    const backoffOptions = { ...quick.backoffOptions, maxRetries: 3 }
    const { error, server } = await failure([first, short], { live: false, backoffOptions })
    expect(error).toBeInstanceOf(FetchError)
    expect(error).toMatchObject({ code: "NETWORK", status: 0 })
    expect(server.requests.length).toBe(5)
  })
})

describe("responses that lead elsewhere", () => {
  it("redirects are followed", async () => {
    await using server = await startMisbehavingServer(
      respond(307, { location: "/elsewhere?offset=-1" }),
      tail,
    )
    const response = await stream({ ...quick, url: server.url, live: false })
    expect(await consume(response, "json")).toBe("1\n")
  })

  it("a redirect loop fails at once and is told as one", async () => {
    const { error, server } = await failure([respond(302, { location: "/s" })])
    expect(error).toMatchObject({ code: "PROTOCOL", status: 0 })
    expect(error.message).toMatch(/redirect/)
    expect(server.requests.length).toBeLessThan(30)
  })

  it("a status that nobody knows is an error at once, with what the response said", async () => {
    for (const status of [299, 499, 599]) {
      const read = failure([respond(status, { "content-type": "application/json" }, '{"a":1}')], {
        backoffOptions: { ...quick.backoffOptions, maxRetries: 1 },
      })
      if (status === 299) expect((await read).error).toMatchObject({ code: "PROTOCOL" })
      else expect((await read).error).toMatchObject({ status, code: "UNKNOWN", json: { a: 1 } })
    }
  })

  it("an error body without end is cut, and its connection released", async () => {
    let released = false
    await using server = await startMisbehavingServer((_request, response) => {
      response.on("close", () => {
        released = true
      })
      response.writeHead(404, { "content-type": "text/plain" })
      const fill = (): void => {
        while (!response.destroyed && response.write("x".repeat(16 * 1024)));
      }
      response.on("drain", fill)
      fill()
    })
    const error = await rejection(stream({ ...quick, url: server.url }))
    expect(error).toMatchObject({ status: 404 })
    expect(String(error["text"]).length).toBeLessThanOrEqual(64 * 1024)
    await expect.poll(() => released, { timeout: 20_000 }).toBe(true)
  })
})

describe("a server that is overwhelmed", () => {
  it("a Retry-After is waited for; a negative or past one is none", async () => {
    const past = new Date(Date.now() - 60_000).toUTCString()
    await using server = await startMisbehavingServer(
      respond(429, { "retry-after": "-5" }),
      respond(503, { "retry-after": past }),
      respond(429, { "retry-after": "1" }),
      tail,
    )
    const delays: number[] = []
    const response = await stream({
      ...quick,
      url: server.url,
      live: false,
      observe: (event) => {
        if (event.kind === "retry") delays.push(event.delayMs)
      },
    })
    expect(await consume(response, "json")).toBe("1\n")
    expect(delays.map((ms) => ms >= 1000)).toEqual([false, false, true])
  })

  it.each(["99999999999", "Fri, 31 Dec 9999 23:59:59 GMT"])(
    "a Retry-After of %s is an hour, and an abort ends it at once",
    async (retryAfter) => {
      await using server = await startMisbehavingServer(respond(503, { "retry-after": retryAfter }))
      const controller = new AbortController()
      const opened = rejection(
        stream({
          ...quick,
          url: server.url,
          signal: controller.signal,
          observe: (event) => {
            if (event.kind !== "retry") return
            expect(event.delayMs).toBe(3_600_000)
            setImmediate(() => controller.abort())
          },
        }),
      )
      expect(await opened).toMatchObject({ code: "ABORTED" })
      expect(server.requests.length).toBe(1)
    },
  )
})
