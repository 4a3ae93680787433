import { describe, expect, it } from "vitest"
import { stream, type StreamOptions } from "../../../src/index.ts"
import { runInVirtualTime } from "../../support/virtual-time.ts"

/** What a second may see once a session is backed off. */
const HANDFUL = 5

interface Asked {
  live: string | null
  offset: string
  count: number
  signal: AbortSignal
  sleep: (ms: number) => Promise<void>
}

interface Pace {
  total: number
  /** How the session ended within ten minutes; undefined where it goes on. */
  end: string | undefined
  /** The most requests within a second, once a few seconds have passed. */
  busiestSecond: number
  text: string
  offset: string
}

/** Lets a session read for ten minutes from a server that responds by a rule, and counts what it is asked. */
async function paceOf(
  respond: (asked: Asked) => Response | Promise<Response>,
  options: Partial<StreamOptions> = {},
): Promise<Pace> {
  const times: number[] = []
  let text = ""
  const report = await runInVirtualTime({ seed: 3, maxSteps: 50_000 }, async (clock) => {
    const fetch: typeof globalThis.fetch = async (input, init) => {
      times.push(clock.elapsedMs)
      const { searchParams } = new URL(String(input))
      await clock.sleep(5)
      const signal = init?.signal ?? new AbortController().signal
      return respond({
        live: searchParams.get("live"),
        offset: searchParams.get("offset") ?? "",
        count: times.length,
        signal,
        sleep: (ms) => clock.sleep(ms),
      })
    }
    const response = await stream({ url: "https://example.com/s", fetch, ...options })
    const end = response.closed.then(
      () => "closed",
      (error: unknown) => (error as { code: string }).code,
    )
    response.subscribeText((chunk) => void (text += chunk.text))
    const outcome = await Promise.race([end, clock.sleep(600_000)])
    response.cancel()
    await response.closed.catch(() => undefined)
    return { end: outcome ?? undefined, offset: response.offset }
  })
  const late = times.filter((atMs) => atMs > 10_000)
  const busiest = late.map((atMs) => late.filter((at) => at >= atMs && at < atMs + 1000).length)
  return { ...report.value, total: times.length, busiestSecond: Math.max(0, ...busiest), text }
}

function page(offset: string, text = "", status = 200): Response {
  const headers = {
    "content-type": "text/plain",
    "stream-next-offset": offset,
    "stream-up-to-date": "true",
    "stream-cursor": "c",
  }
  return new Response(status === 204 ? null : text, { status, headers })
}

/** An SSE connection that says one thing at once and ends after a while. */
function events(text: string, lifetime: Promise<void>): Response {
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(new TextEncoder().encode(text))
      void lifetime.then(() => {
        controller.close()
      })
    },
  })
  return new Response(body, { headers: { "content-type": "text/event-stream" } })
}

const control = (offset: string) =>
  `event: control\ndata: ${JSON.stringify({ streamNextOffset: offset, upToDate: true })}\n\n`

describe("a server that never brings anything is left in peace", () => {
  it.each([60, 100, 300, 900])("long-polls held for %i ms, for ever", async (heldMs) => {
    const pace = await paceOf(
      async ({ live, sleep }) => {
        if (live === null) return page("5")
        await sleep(heldMs)
        return page("5", "", 204)
      },
      { live: "long-poll" },
    )
    expect(pace.end).toBeUndefined()
    expect(pace.busiestSecond).toBeLessThanOrEqual(HANDFUL)
    // It is asked all the same: what it gets is there within a second or two.
    expect(pace.total).toBeGreaterThan(300)
  })

  it("long-polls held for 100 ms whose offset moves, for ever", async () => {
    const pace = await paceOf(
      async ({ live, count, sleep }) => {
        if (live !== null) await sleep(100)
        return page(String(count).padStart(9, "0"))
      },
      { live: "long-poll" },
    )
    expect(pace.busiestSecond).toBeLessThanOrEqual(HANDFUL)
  })

  it("long-polls that return at once now, after a while then", async () => {
    const pace = await paceOf(
      async ({ live, count, sleep }) => {
        if (live !== null && count % 2 === 0) await sleep(100)
        return page("5", "", live === null ? 200 : 204)
      },
      { live: "long-poll" },
    )
    expect(pace.busiestSecond).toBeLessThanOrEqual(HANDFUL)
    expect(pace.end).toBe("NO_PROGRESS")
  })

  it("SSE connections that end after 1.1 s, for ever", async () => {
    const pace = await paceOf(
      ({ live, sleep }) => (live === null ? page("5") : events(control("5"), sleep(1_100))),
      { live: "sse" },
    )
    expect(pace.busiestSecond).toBeLessThanOrEqual(HANDFUL)
  })
})

describe("long-polls that something in between ends while nothing is new", () => {
  it.each([
    ["with 504 after a minute", () => new Response("", { status: 504 }), 60_000],
    ["by a cut after 20 seconds", () => Promise.reject(new TypeError("fetch failed")), 20_000],
    ["in silence", undefined, 0],
  ])("%s: the session goes on, as quick as before", async (_how, response, heldMs) => {
    const backoffOptions = { maxRetries: 2, initialDelay: 10_000 }
    const pace = await paceOf(
      async ({ live, sleep, signal }) => {
        if (live === null) return page("5")
        if (response !== undefined) return sleep(heldMs).then(response)
        return new Promise((_resolve, reject) => {
          // What a fetch does.
          signal.addEventListener("abort", () => reject(signal.reason as Error))
        })
      },
      { live: "long-poll", backoffOptions, idleTimeoutMs: 30_000 },
    )
    expect(pace.end).toBeUndefined()
    expect(pace.total).toBeGreaterThan(8)
  })
})

describe("a server that sends its reader in circles", () => {
  it.each([2, 3, 10])("of %i offsets, with data: NO_PROGRESS", async (places) => {
    const pace = await paceOf(
      ({ offset }) => {
        const next = (Number(offset.slice(1)) % places) + 1
        return page(`p${next}`, "text")
      },
      { live: "long-poll" },
    )
    expect(pace.end).toBe("NO_PROGRESS")
    expect(pace.total).toBeLessThan(70)
    expect(pace.busiestSecond).toBeLessThanOrEqual(HANDFUL)
  })
})

describe("a handler that says go on", () => {
  it("is followed with pauses where failures and data take turns", async () => {
    const pace = await paceOf(
      ({ count }) =>
        count % 2 === 0 ? new Response("", { status: 401 }) : page(`p${count}`, "text"),
      { live: "long-poll", onError: () => ({}) },
    )
    expect(pace.end).toBeUndefined()
    expect(pace.busiestSecond).toBeLessThanOrEqual(2 * HANDFUL)
  })

  it.each([
    [429, 0],
    [503, 0],
    [429, 1500],
  ])("waits as long as the server asked: %i, decided in %i ms", async (status, handlerMs) => {
    const times: number[] = []
    await runInVirtualTime({ seed: 3 }, async (clock) => {
      const headers = { "retry-after": "2" }
      const fetch: typeof globalThis.fetch = () => {
        times.push(clock.elapsedMs)
        const refused = times.length < 4
        return Promise.resolve(refused ? new Response("", { status, headers }) : page("o1", "text"))
      }
      const response = await stream({
        url: "https://example.com/s",
        fetch,
        live: false,
        backoffOptions: { maxRetries: 0 },
        onError: () => clock.sleep(handlerMs).then(() => ({})),
      })
      expect(await response.text()).toBe("text")
    })
    const gaps = times.slice(1).map((atMs, index) => atMs - (times[index] ?? 0))
    expect(gaps.map(Math.round)).toEqual([2000, 2000, 2000])
  })
})

describe("a replica that lags behind", () => {
  it.each(["long-poll", "sse"] as const)("moves no %s reader back", async (live) => {
    const seen = new Set<string>()
    const pace = await paceOf(
      async (asked) => {
        seen.add(asked.offset)
        const late = asked.count % 2 === 0
        if (asked.live === "sse") return events(control(late ? "03" : "09"), asked.sleep(2_000))
        if (asked.live !== null) await asked.sleep(2_000)
        if (late) return page("03", "", asked.live === null ? 200 : 204)
        return page("09", asked.offset === "-1" ? "content" : "")
      },
      { live },
    )
    expect(pace).toMatchObject({ end: undefined, text: "content", offset: "09" })
    expect([...seen]).toEqual(["-1", "09"])
  })

  it("moves no reader of bytes back either", async () => {
    const fetch: typeof globalThis.fetch = (input) => {
      const first = new URL(String(input)).searchParams.get("offset") === "-1"
      const response = first ? page("09", "content") : page("03")
      if (first) response.headers.delete("stream-up-to-date")
      return Promise.resolve(response)
    }
    const response = await stream({ url: "https://example.com/s", fetch, live: false })
    const parts: string[] = []
    for await (const part of response.bodyStream()) parts.push(new TextDecoder().decode(part))
    expect([parts, response.offset, response.upToDate]).toEqual([["content"], "09", true])
  })
})
