import { spawn } from "node:child_process"
import { getEventListeners } from "node:events"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { stream, type StreamOptions, type StreamResponse } from "../../src/index.ts"
import { ToggledVisibility } from "../simulation/readers/toggled-visibility.ts"
import { startMisbehavingServer } from "../support/misbehaving-server.ts"
import { startReferenceServer } from "../support/reference-server.ts"
import { makeResponse, scriptedFetch, type FetchOutcome } from "../support/scripted-fetch.ts"
import { TrackedBody } from "../support/tracked-body.ts"
import {
  closeStream,
  consume,
  createStream,
  oneTurn,
  pageHeaders,
  quick,
  sseControl,
} from "./reading-support.ts"

const url = "https://streams.test/s"
const unhandled: unknown[] = []
const onUnhandled = (reason: unknown): void => void unhandled.push(reason)

beforeEach(() => {
  unhandled.length = 0
  process.on("unhandledRejection", onUnhandled)
  clientTimers.clear()
  watchTimers()
})
afterEach(() => {
  process.off("unhandledRejection", onUnhandled)
  Object.assign(globalThis, { setTimeout: realSetTimeout, clearTimeout: realClearTimeout })
})

/** Timers that the client has set and that have neither fired nor been cleared; others' are of no interest. */
const clientTimers = new Set<unknown>()
const { setTimeout: realSetTimeout, clearTimeout: realClearTimeout } = globalThis

function watchTimers(): void {
  const set = (callback: (...args: unknown[]) => void, delayMs?: number, ...args: unknown[]) => {
    const timer: unknown = realSetTimeout(() => {
      clientTimers.delete(timer)
      callback(...args)
    }, delayMs)
    if (new Error().stack?.includes("/src/")) clientTimers.add(timer)
    return timer
  }
  const clear = (timer: ReturnType<typeof setTimeout>): void => {
    clientTimers.delete(timer)
    realClearTimeout(timer)
  }
  Object.assign(globalThis, { setTimeout: set, clearTimeout: clear })
}

/** A session in some phase of its life, and what it holds then. */
class Stage {
  readonly controller = new AbortController()
  readonly visibility = new ToggledVisibility()
  readonly bodies: TrackedBody[] = []
  readonly settled: string[] = []
  response: StreamResponse | undefined
  #calls: readonly unknown[] = []

  /** A response whose body is written by hand and known to the stage. */
  body(headers: Record<string, string>, text = ""): () => Response {
    return () => {
      const tracked = new TrackedBody(() => undefined)
      this.bodies.push(tracked)
      if (text !== "") tracked.write(new TextEncoder().encode(text))
      return makeResponse(200, headers, tracked.stream)
    }
  }

  /** Start a read and consume it; what comes of either is noted in `settled`. */
  start(
    outcomes: readonly [FetchOutcome, ...FetchOutcome[]],
    options: Partial<StreamOptions> = {},
    use: (response: StreamResponse) => Promise<unknown> = (response) =>
      consume(response, "jsonBatches"),
  ): void {
    const script = scriptedFetch(outcomes, { ignoresAbort: true })
    this.#calls = script.calls
    const opened = stream({
      ...quick,
      url,
      fetch: script.fetch,
      signal: this.controller.signal,
      pauseWhenHidden: this.visibility,
      ...options,
    })
    this.#note("opened", opened)
    void opened.then(
      (response) => {
        this.response = response
        this.#note("closed", response.closed)
        this.#note("used", use(response))
      },
      () => undefined,
    )
  }

  #note(what: string, promise: Promise<unknown>): void {
    promise.then(
      () => this.settled.push(what),
      (error: unknown) => this.settled.push(`${what}: ${(error as Error).name}`),
    )
  }

  async reached(calls: number, condition: () => boolean = () => true): Promise<void> {
    await expect.poll(() => this.#calls.length >= calls && condition()).toBe(true)
    for (let turn = 0; turn < 5; turn++) await oneTurn()
  }

  /** One turn after the end: everything is settled, and nothing is left or begun again. */
  async expectQuiet(...settled: string[]): Promise<void> {
    await oneTurn()
    expect([...this.settled].sort()).toEqual(settled.sort())
    expect(clientTimers.size).toBe(0)
    expect(getEventListeners(this.controller.signal, "abort")).toEqual([])
    expect(this.visibility.listenerCount).toBe(0)
    expect(this.bodies.filter(({ state }) => state === "open")).toEqual([])
    const { length } = this.#calls
    for (let turn = 0; turn < 5; turn++) await oneTurn()
    expect(this.#calls.length).toBe(length)
    expect(unhandled).toEqual([])
  }
}

const page = (): Response => makeResponse(200, pageHeaders("o1", { upToDate: false }), "[1]")
const tail = (): Response => makeResponse(200, pageHeaders("o1"), "[1]")

/** Phases of a session, each set up so that nothing happens any more by itself. */
const phases: Record<string, (stage: Stage) => Promise<void>> = {
  "waiting for the headers of a page": async (stage) => {
    stage.start([page, "hang"])
    await stage.reached(2)
  },
  "in the body of a page": async (stage) => {
    stage.start([stage.body(pageHeaders("o1"), "[1,")], { readAhead: 0 })
    await stage.reached(1, () => stage.response !== undefined)
  },
  "in the body of a page, with pages ahead": async (stage) => {
    const more = stage.body(pageHeaders("o2", { upToDate: false }), "[2,")
    stage.start([stage.body(pageHeaders("o1", { upToDate: false }), "[1,"), more], { readAhead: 3 })
    await stage.reached(2)
  },
  "waiting for a long-poll": async (stage) => {
    stage.start([tail, "hang"], { live: "long-poll" })
    await stage.reached(2)
  },
  "in the body of a long-poll": async (stage) => {
    stage.start([tail, stage.body(pageHeaders("o2"), "[2,")], { live: "long-poll" })
    await stage.reached(2)
  },
  "waiting for the headers of SSE": async (stage) => {
    stage.start([tail, "hang"], { live: "sse" })
    await stage.reached(2)
  },
  "on an SSE connection": async (stage) => {
    const events = stage.body({ "content-type": "text/event-stream" }, sseControl("o1"))
    stage.start([tail, events], { live: "sse" })
    await stage.reached(2)
  },
  "waiting after a failure": async (stage) => {
    const backoffOptions = { initialDelay: 60_000, maxDelay: 60_000 }
    stage.start([page, makeResponse(503, { "retry-after": "3600" })], { backoffOptions })
    await stage.reached(2)
  },
  "waiting after a body that broke off": async (stage) => {
    const backoffOptions = { initialDelay: 600_000, maxDelay: 600_000 }
    stage.start([page, stage.body(pageHeaders("o2"), "[2,")], { backoffOptions, readAhead: 0 })
    await stage.reached(2, () => stage.bodies.length === 1)
    stage.bodies[0]?.fail(new Error("reset"))
    await oneTurn()
  },
  "asking the error handler": async (stage) => {
    let asked = false
    const onError = (): Promise<void> => {
      asked = true
      return new Promise(() => undefined)
    }
    stage.start([page, makeResponse(401)], { onError })
    await stage.reached(2, () => asked)
  },
  "waiting for a header function": async (stage) => {
    let calls = 0
    const authorization = (): Promise<string> | string =>
      ++calls === 1 ? "" : new Promise(() => 0)
    stage.start([tail, "hang"], { headers: { authorization }, live: "long-poll" })
    await stage.reached(1, () => calls === 2)
  },
  paused: async (stage) => {
    stage.start([tail, "hang"], { live: "long-poll" })
    await stage.reached(2)
    stage.visibility.toggle(0)
  },
  "between two reads of a slow consumer": async (stage) => {
    const half = stage.body(pageHeaders("o1", { type: "text/plain" }), "half")
    stage.start([half], { readAhead: 0 }, async (response) => {
      await response.bodyStream().getReader().read()
      // It never comes back for more.
      await response.closed
    })
    await stage.reached(1, () => stage.response !== undefined)
  },
  "not consumed at all": async (stage) => {
    stage.start([stage.body(pageHeaders("o1"), "[1]")], {}, (response) => response.closed)
    await stage.reached(1, () => stage.response !== undefined)
  },
}

describe.each(Object.keys(phases))("a session %s", (name) => {
  const endsQuietly = /slow consumer|not consumed/.test(name)

  it("is over one turn after an abort, and nothing is left", async () => {
    const stage = new Stage()
    await phases[name]?.(stage)
    // Else the test would not see what it looks for.
    if (/^waiting (for the|after)/.test(name)) expect(clientTimers.size).toBeGreaterThan(0)
    stage.controller.abort()
    const used = endsQuietly ? "used" : "used: AbortError"
    await stage.expectQuiet("opened", "closed", used)
  })

  it("is over one turn after a cancel, and nothing is left", async () => {
    const stage = new Stage()
    await phases[name]?.(stage)
    stage.response?.cancel()
    await stage.expectQuiet("opened", "closed", "used")
  })
})

describe("a session that has no response yet", () => {
  it.each<[string, FetchOutcome, Partial<StreamOptions>]>([
    ["waiting for the headers", "hang", {}],
    ["waiting after a failure", makeResponse(503, { "retry-after": "60" }), {}],
    [
      "asking the error handler",
      makeResponse(404),
      { onError: () => new Promise(() => undefined) },
    ],
    ["waiting for a param", "hang", { params: { a: () => new Promise(() => undefined) } }],
  ])("%s: over one turn after an abort", async (_what, outcome, options) => {
    const stage = new Stage()
    stage.start([outcome], options)
    for (let turn = 0; turn < 10; turn++) await oneTurn()
    stage.controller.abort()
    await stage.expectQuiet("opened: AbortError")
  })

  it("aborted before it began, it requests nothing", async () => {
    const stage = new Stage()
    stage.controller.abort()
    stage.start([page])
    await stage.expectQuiet("opened: AbortError")
  })

  it("that fails leaves nothing", async () => {
    const stage = new Stage()
    stage.start([makeResponse(404, {}, "no such stream")])
    await stage.reached(1, () => stage.settled.length > 0)
    await stage.expectQuiet("opened: FetchError")
  })
})

describe("ends from within", () => {
  const ways: Record<string, (response: StreamResponse) => Promise<unknown>> = {
    break: async (response) => {
      for await (const batch of response.jsonBatches()) if (batch.offset === "o1") break
    },
    "a loop that throws": async (response) => {
      for await (const batch of response.byteChunks()) throw new RangeError(batch.offset)
    },
    "break out of a stream": async (response) => {
      for await (const item of response.jsonStream()) if (item === 1) break
    },
    "a reader's cancel": async (response) => {
      const reader = response.textStream().getReader()
      await reader.read()
      await reader.cancel("enough")
    },
    "unsubscribing in the callback": async (response) => {
      const unsubscribe = response.subscribeJson(() => {
        unsubscribe()
      })
      await response.closed
    },
    "a callback that throws": async (response) => {
      response.subscribeText(() => {
        throw new RangeError("full")
      })
      await response.closed
    },
    "an abort in the callback": async (response) => {
      response.subscribeBytes(() => response.cancel())
      await response.closed
    },
  }

  it.each(Object.keys(ways))("%s leaves nothing", async (name) => {
    for (const live of ["long-poll", "sse"] as const) {
      const stage = new Stage()
      const more = stage.body(pageHeaders("o2"), "[2,")
      stage.start(
        [stage.body(pageHeaders("o1", { upToDate: false }), "[1]"), more],
        { live },
        ways[name],
      )
      await stage.reached(1, () => stage.bodies.length > 0)
      for (const body of stage.bodies.slice(0, 1)) body.end()
      await expect.poll(() => stage.settled.length).toBe(3)
      const thrown = name.includes("throw")
      const closed = name === "a callback that throws" ? "closed: RangeError" : "closed"
      await stage.expectQuiet("opened", closed, thrown ? "used: RangeError" : "used")
    }
  })

  it("the end of the stream and a failed request leave nothing", async () => {
    for (const last of [
      makeResponse(204, pageHeaders("o1", { closed: true })),
      makeResponse(410),
    ]) {
      const stage = new Stage()
      stage.start([tail, last], { live: "long-poll" })
      await stage.reached(2, () => stage.settled.length === 3)
      const failed = last.status === 410 ? ": FetchError" : ""
      await stage.expectQuiet("opened", `closed${failed}`, `used${failed}`)
    }
  })

  it("a failure that nobody looks at raises no unhandled rejection", async () => {
    const { fetch } = scriptedFetch([page, makeResponse(410)])
    const response = await stream({ ...quick, url, fetch, live: false })
    response.subscribeJson(() => undefined)
    for (let turn = 0; turn < 20; turn++) await oneTurn()
    expect(unhandled).toEqual([])
    await expect(response.closed).rejects.toMatchObject({ code: "GONE" })
  })
})

describe("return() on an iterator whose next() is pending", () => {
  const iterators = {
    bodyStream: (response) => response.bodyStream()[Symbol.asyncIterator](),
    textStream: (response) => response.textStream()[Symbol.asyncIterator](),
    jsonStream: (response) => response.jsonStream()[Symbol.asyncIterator](),
    "values() of bodyStream": (response) => response.bodyStream().values(),
    jsonBatches: (response) => response.jsonBatches(),
    byteChunks: (response) => response.byteChunks(),
    textChunks: (response) => response.textChunks(),
    "the response": (response) => response[Symbol.asyncIterator](),
  } as const satisfies Record<string, (response: StreamResponse) => AsyncIterator<unknown>>

  it.each(Object.keys(iterators) as (keyof typeof iterators)[])(
    "of %s ends the session at once, and next() with done",
    async (name) => {
      for (const live of ["long-poll", "sse"] as const) {
        const stage = new Stage()
        stage.start([tail, "hang"], { live }, async (response) => {
          const iterator = iterators[name](response)
          await iterator.next()
          const pending = iterator.next()
          await stage.reached(2)
          expect(await iterator.return?.()).toEqual({ done: true, value: undefined })
          expect(await pending).toEqual({ done: true, value: undefined })
          expect(await iterator.next()).toEqual({ done: true, value: undefined })
        })
        await expect.poll(() => stage.settled.length).toBe(3)
        await stage.expectQuiet("opened", "closed", "used")
      }
    },
  )

  it.each(["bodyStream", "textStream"] as const)(
    "of %s in the middle of a page ends the session, too",
    async (method) => {
      const stage = new Stage()
      const half = stage.body(pageHeaders("o1", { type: "text/plain" }), "half")
      stage.start([half], { readAhead: 0 }, async (response) => {
        const iterator: AsyncIterator<unknown> = response[method]()[Symbol.asyncIterator]()
        await iterator.next()
        const pending = iterator.next()
        await oneTurn()
        await iterator.return?.()
        expect(await pending).toEqual({ done: true, value: undefined })
      })
      await expect.poll(() => stage.settled.length).toBe(3)
      await stage.expectQuiet("opened", "closed", "used")
    },
  )
})

describe("on the wire", () => {
  it("the server sees the end of every response that was not read", async () => {
    for (const end of ["abort", "cancel"] as const) {
      const ended: string[] = []
      await using server = await startMisbehavingServer((request, response) => {
        const live = request.query.get("live") ?? "catch-up"
        response.on("close", () => ended.push(live))
        if (live === "catch-up") response.writeHead(200, pageHeaders("o1")).end("[1]")
        else if (live === "sse") {
          response.writeHead(200, { "content-type": "text/event-stream" }).write(sseControl("o1"))
        }
      })
      for (const live of ["sse", "long-poll"] as const) {
        const controller = new AbortController()
        const response = await stream({
          ...quick,
          url: server.url,
          live,
          signal: controller.signal,
        })
        response.subscribeJson(() => undefined)
        await expect.poll(() => server.requests.at(-1)?.query.get("live")).toBe(live)
        if (end === "abort") controller.abort()
        else response.cancel()
        await response.closed
        await expect.poll(() => ended.at(-1)).toBe(live)
      }
    }
  })

  it("a process that has ended its sessions exits by itself", async () => {
    const server = await startReferenceServer()
    const target = server.streamUrl()
    const closed = server.streamUrl()
    await createStream(target, "application/json", "[1]")
    await createStream(closed, "application/json", "[1]")
    await closeStream(closed)
    const script = new URL("./quiet-exit.ts", import.meta.url).pathname
    const child = spawn(process.execPath, ["--import", "tsx", script, target, closed])
    let output = ""
    child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()))
    child.stderr.on("data", (chunk: Buffer) => (output += chunk.toString()))
    const code = await new Promise((resolve) => child.on("exit", resolve))
    await server.stop()
    expect(output.trim()).toBe("timers left: 0")
    expect(code).toBe(0)
  })
})
