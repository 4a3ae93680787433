import { afterAll, beforeAll, describe, expect, it } from "vitest"
import {
  stream,
  type JsonBatch,
  type StreamEvent,
  type StreamOptions,
  type StreamResponse,
} from "../../src/index.ts"
import { ToggledVisibility } from "../simulation/readers/toggled-visibility.ts"
import {
  respond,
  startMisbehavingServer,
  type MisbehavingServer,
} from "../support/misbehaving-server.ts"
import { startReferenceServer, type ReferenceServer } from "../support/reference-server.ts"
import { SeededRandom } from "../support/seeded-random.ts"
import {
  append,
  closeStream,
  consume,
  createStream,
  oneTurn,
  pageHeaders,
  quick,
  Received,
} from "./reading-support.ts"

const json = "application/json"

let server: ReferenceServer
beforeAll(async () => {
  server = await startReferenceServer({ longPollTimeout: 2000 })
})
afterAll(() => server.stop())

/** A session with a visibility of its own, whose events can be waited for. */
class Watched {
  readonly visibility = new ToggledVisibility()
  readonly events: StreamEvent[] = []
  readonly received = new Received()
  readonly #waiting = new Set<() => void>()

  open(options: Omit<StreamOptions, "observe" | "pauseWhenHidden">): Promise<StreamResponse> {
    const observe = (event: StreamEvent): void => {
      this.events.push(event)
      for (const check of [...this.#waiting]) check()
    }
    return stream({ ...quick, ...options, pauseWhenHidden: this.visibility, observe })
  }

  toggle(): void {
    this.visibility.toggle(0)
  }

  get requests(): string[] {
    return this.events.flatMap((event) => (event.kind === "request" ? [event.transport] : []))
  }

  kinds(...kinds: StreamEvent["kind"][]): string[] {
    return this.events.map(({ kind }) => kind).filter((kind) => kinds.includes(kind))
  }

  /** Resolves once an event of these fields has been told. */
  when(fields: Partial<Record<"kind" | "transport", string>>): Promise<void> {
    return new Promise((resolve) => {
      const check = (): void => {
        const last = this.events.at(-1) as Record<string, unknown> | undefined
        if (!Object.entries(fields).every(([key, value]) => last?.[key] === value)) return
        this.#waiting.delete(check)
        resolve()
      }
      this.#waiting.add(check)
      check()
    })
  }
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await oneTurn()
}

describe.each(["sse", "long-poll"] as const)("a live session by %s", (live) => {
  it("pauses while hidden, holds no connection, and resumes with a request that is not live", async () => {
    const url = server.streamUrl()
    await createStream(url, json, "[1]")
    const watched = new Watched()
    const response = await watched.open({ url, live })
    const done = consume(response, "subscribeJson", watched.received)
    await watched.when({ kind: live === "sse" ? "response" : "request", transport: live })
    watched.toggle()
    expect(watched.events.at(-1)).toEqual({ kind: "pause", reason: "hidden" })
    await append(url, json, "2")
    await settle()
    expect(watched.received.content).toBe("1\n")
    expect(watched.events.at(-1)?.kind).toBe("pause")
    watched.toggle()
    await watched.received.whenEndsWith("2\n")
    const resumed = watched.events.slice(watched.events.findIndex(({ kind }) => kind === "resume"))
    expect(resumed[1]).toMatchObject({ kind: "request", transport: "catch-up" })
    await closeStream(url)
    expect(await done).toBe("1\n2\n")
    expect(watched.requests).toEqual(["catch-up", live, "catch-up", live])
    expect(watched.visibility.listenerCount).toBe(0)
  })

  it("is told of nothing new: the resumed request is followed by a live one, without a batch", async () => {
    const url = server.streamUrl()
    await createStream(url, json, "[1]")
    const watched = new Watched()
    const response = await watched.open({ url, live })
    const batches: JsonBatch[] = []
    response.subscribeJson((batch) => batches.push(batch))
    await watched.when({ kind: "request", transport: live })
    watched.toggle()
    watched.toggle()
    await watched.when({ kind: "request", transport: live })
    expect(batches.map(({ items }) => items)).toEqual([[1]])
    expect(watched.requests).toEqual(["catch-up", live, "catch-up", live])
    response.cancel()
    await response.closed
  })

  it("hidden from the start: the first page is there, and then nothing until it is shown", async () => {
    const url = server.streamUrl()
    await createStream(url, json, "[1]")
    const watched = new Watched()
    watched.toggle()
    const response = await watched.open({ url, live })
    const done = consume(response, "subscribeJson", watched.received)
    await watched.when({ kind: "pause" })
    await append(url, json, "2")
    await settle()
    expect(watched.received.content).toBe("1\n")
    expect(watched.requests).toEqual(["catch-up"])
    watched.toggle()
    await watched.received.whenEndsWith("2\n")
    await closeStream(url)
    await done
    expect(watched.requests.slice(0, 2)).toEqual(["catch-up", "catch-up"])
  })

  it("cancelled or aborted while hidden: over at once, and nothing is requested when it is shown", async () => {
    for (const end of ["cancel", "abort"] as const) {
      const url = server.streamUrl()
      await createStream(url, json, "[1]")
      const watched = new Watched()
      const controller = new AbortController()
      const response = await watched.open({ url, live, signal: controller.signal })
      const done = consume(response, "subscribeJson", watched.received)
      await watched.when({ kind: "request", transport: live })
      watched.toggle()
      if (end === "cancel") response.cancel()
      else controller.abort()
      await done
      const { length } = watched.events
      watched.toggle()
      await settle()
      expect(watched.events.length).toBe(length)
      expect(watched.visibility.listenerCount).toBe(0)
    }
  })

  it("any number of toggles, at any speed, while data arrives: nothing twice, nothing missing", async () => {
    const seed = 20_26
    const random = new SeededRandom(seed)
    const url = server.streamUrl()
    await createStream(url, json, "[0]")
    const watched = new Watched()
    const response = await watched.open({ url, live })
    const done = consume(response, "subscribeJson", watched.received)
    let expected = "0\n"
    for (let message = 1; message <= 60; message++) {
      await append(url, json, String(message))
      expected += `${message}\n`
      for (let toggles = random.int(0, 5); toggles > 0; toggles--) {
        watched.toggle()
        for (let turns = random.int(0, 3); turns > 0; turns--) await oneTurn()
      }
    }
    if (watched.visibility.hidden) watched.toggle()
    await closeStream(url)
    expect(await done, `seed ${seed}`).toBe(expected)
    expect(watched.visibility.listenerCount).toBe(0)
  })

  it("goes on while it is hidden for less than hiddenGraceMs", async () => {
    const url = server.streamUrl()
    await createStream(url, json, "[1]")
    const watched = new Watched()
    const response = await watched.open({ url, live, hiddenGraceMs: 600_000 })
    const done = consume(response, "subscribeJson", watched.received)
    await watched.when({ kind: live === "sse" ? "response" : "request", transport: live })
    watched.toggle()
    await append(url, json, "2")
    await watched.received.whenEndsWith("2\n")
    await closeStream(url)
    expect(await done).toBe("1\n2\n")
    expect(watched.kinds("pause", "resume")).toEqual([])
  })

  it("pauseWhenHidden: false leaves it alone", async () => {
    const url = server.streamUrl()
    await createStream(url, json, "[1]")
    const events: StreamEvent[] = []
    const observe = (event: StreamEvent): void => void events.push(event)
    const response = await stream({ ...quick, url, live, pauseWhenHidden: false, observe })
    const done = consume(response, "subscribeJson")
    await append(url, json, "2")
    await closeStream(url)
    expect(await done).toBe("1\n2\n")
    expect(events.some(({ kind }) => kind === "pause")).toBe(false)
  })
})

describe("what does not pause", () => {
  /** Ten pages of one message, the last of them up to date. */
  async function pagedServer(): Promise<MisbehavingServer> {
    return startMisbehavingServer((request, response) => {
      const page =
        request.query.get("offset") === "-1" ? 1 : Number(request.query.get("offset")) + 1
      void respond(
        200,
        pageHeaders(String(page), { upToDate: page === 10 }),
        `[${page}]`,
      )(request, response)
    })
  }

  const all = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n"

  it("a finite read goes on while hidden, and takes no interest in it", async () => {
    await using paged = await pagedServer()
    const watched = new Watched()
    watched.toggle()
    const response = await watched.open({ url: paged.url, live: false })
    expect(watched.visibility.listenerCount).toBe(0)
    expect(await consume(response, "subscribeJson")).toBe(all)
  })

  it("a read that gathers up to the tail goes on while hidden, whatever the live mode", async () => {
    for (const live of [true, "sse", "long-poll"] as const) {
      await using paged = await pagedServer()
      const watched = new Watched()
      watched.toggle()
      const response = await watched.open({ url: paged.url, live })
      expect(await consume(response, "json")).toBe(all)
      expect(watched.visibility.listenerCount).toBe(0)
    }
  })

  it("catching up pauses between two pages, requests nothing ahead, and goes on where it was", async () => {
    await using paged = await pagedServer()
    const watched = new Watched()
    const response = await watched.open({ url: paged.url, live: true, readAhead: 5 })
    const batches = response.jsonBatches()
    await batches.next()
    const hidden = paged.requests.length
    watched.toggle()
    const next = batches.next()
    await settle()
    expect(watched.kinds("pause")).toEqual(["pause"])
    // What was ahead when it was hidden may have been on its way already, and nothing follows it.
    expect(paged.requests.length).toBeLessThanOrEqual(hidden + 1)
    watched.toggle()
    expect((await next).value).toMatchObject({ items: [2] })
    await batches.return?.()
  })
})

describe("a request that fails while hidden", () => {
  it.each([false, true])(
    "is not tried again before it is shown (read ahead: %s)",
    async (ahead) => {
      const first = respond(200, pageHeaders("o1", { upToDate: false }), "[1]")
      const last = respond(200, pageHeaders("o2", { closed: true }), "[2]")
      let broken = true
      await using failing = await startMisbehavingServer((request, response) => {
        if (request.query.get("offset") === "-1") void first(request, response)
        else if (broken) response.writeHead(503).end()
        else void last(request, response)
      })
      const watched = new Watched()
      const response = await watched.open({
        url: failing.url,
        live: true,
        readAhead: ahead ? 1 : 0,
      })
      const batches = response.jsonBatches()
      await batches.next()
      const next = batches.next()
      await failing.whenRequested(6)
      watched.toggle()
      const hidden = failing.requests.length
      await settle()
      expect(watched.kinds("pause")).toEqual(["pause"])
      // One may have been on its way.
      expect(failing.requests.length).toBeLessThanOrEqual(hidden + 1)
      broken = false
      watched.toggle()
      expect((await next).value).toMatchObject({ items: [2] })
      expect(await batches.next()).toMatchObject({ done: true })
    },
  )
})

describe("the pages ahead", () => {
  it("are not begun by responses that come while hidden", async () => {
    const release: Array<() => void> = []
    await using slow = await startMisbehavingServer(async (request, response) => {
      const page =
        request.query.get("offset") === "-1" ? 1 : Number(request.query.get("offset")) + 1
      if (page > 1) await new Promise<void>((resolve) => release.push(resolve))
      void respond(
        200,
        pageHeaders(String(page), { upToDate: false }),
        `[${page}]`,
      )(request, response)
    })
    const watched = new Watched()
    const response = await watched.open({ url: slow.url, live: true, readAhead: 4 })
    const batches = response.jsonBatches()
    await batches.next()
    await slow.whenRequested(2)
    watched.toggle()
    for (const resume of release) resume()
    await settle()
    expect(slow.requests.length).toBe(2)
    response.cancel()
    await response.closed
  })
})

describe("a document", () => {
  it("is the visibility unless told otherwise, and is left without a listener", async () => {
    const document = new EventTarget() as EventTarget & { visibilityState: string }
    document.visibilityState = "hidden"
    Object.defineProperty(globalThis, "document", { value: document, configurable: true })
    const events: StreamEvent[] = []
    try {
      const url = server.streamUrl()
      await createStream(url, json, "[1]")
      const received = new Received()
      const observe = (event: StreamEvent): void => void events.push(event)
      const response = await stream({ ...quick, url, observe })
      const done = consume(response, "subscribeJson", received)
      await received.whenEndsWith("1\n")
      await settle()
      expect(events.at(-1)).toEqual({ kind: "pause", reason: "hidden" })
      document.visibilityState = "visible"
      document.dispatchEvent(new Event("visibilitychange"))
      await append(url, json, "2")
      await closeStream(url)
      expect(await done).toBe("1\n2\n")
    } finally {
      Reflect.deleteProperty(globalThis, "document")
    }
  })
})
