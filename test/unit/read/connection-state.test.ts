import { afterEach, describe, expect, it, vi } from "vitest"
import {
  stream,
  type ConnectionState,
  type StreamOptions,
  type StreamResponse,
} from "../../../src/index.ts"
import { ToggledVisibility } from "../../simulation/readers/toggled-visibility.ts"
import { EmulatedNetwork } from "../../support/emulated-network.ts"
import { makeResponse, scriptedFetch, type FetchOutcome } from "../../support/scripted-fetch.ts"

const url = "https://streams.test/s"
const headers = (offset: string, more: Record<string, string> = {}) => ({
  "content-type": "application/json",
  "stream-next-offset": offset,
  ...more,
})
const tail = { "stream-up-to-date": "true" }
const part = makeResponse(200, headers("1"), "[1]")
const last = makeResponse(200, headers("2", tail), "[2]")
const closing = makeResponse(200, headers("3", { ...tail, "stream-closed": "true" }), "[3]")
/** An event stream that stays open and brings nothing new. */
const openEvents = () => {
  const control = `event: control\ndata: {"streamNextOffset":"2","upToDate":true}\n\n`
  const body = new ReadableStream({ start: (to) => to.enqueue(new TextEncoder().encode(control)) })
  return makeResponse(200, { "content-type": "text/event-stream" }, body)
}
const refused = () => Promise.reject(new TypeError("fetch failed"))

/** Reads a script of responses, and notes every state that is reported. */
function watch(
  outcomes: readonly [FetchOutcome, ...FetchOutcome[]],
  options: Partial<StreamOptions> = {},
) {
  const states: ConnectionState[] = []
  const { fetch } = scriptedFetch(outcomes)
  let response: StreamResponse | undefined
  const backoffOptions = { initialDelay: 1, maxDelay: 1 }
  const opened = stream({
    url,
    fetch,
    backoffOptions,
    ...options,
    observe: (event) => {
      if (event.kind === "state") states.push(event.state)
      // Whatever is reported, the response agrees with it.
      if (response !== undefined) expect(response.state).toBe(states.at(-1))
    },
  }).then((value) => (response = value))
  const kinds = () => states.map(({ kind }) => kind)
  const until = (kind: ConnectionState["kind"]) => expect.poll(() => states.at(-1)?.kind).toBe(kind)
  return { opened, states, kinds, until }
}

afterEach(() => {
  vi.unstubAllGlobals()
})

describe("the state of a response", () => {
  it("is connecting, then catching-up until the consumer has what is stored, then ended", async () => {
    const { opened, states } = watch([part, last], { live: false })
    expect(states).toEqual([{ kind: "connecting" }])
    const response = await opened
    expect(response.state).toEqual({ kind: "catching-up" })
    await response.json()
    expect(states.slice(1)).toEqual([
      { kind: "catching-up" },
      { kind: "ended", reason: "up-to-date" },
    ])
    expect(response.state).toBe(states.at(-1))
  })

  it.each([
    ["sse", [last, openEvents] as const],
    ["long-poll", [last, "hang"] as const],
  ] as const)("is live once the consumer has what is stored: by %s", async (live, script) => {
    const { opened, states, kinds, until } = watch(script, { live })
    const response = await opened
    response.subscribeJson(() => {
      expect(response.state.kind).toBe("catching-up")
    })
    await until("live")
    expect(states.at(-1)).toEqual({ kind: "live", transport: live })
    response.cancel()
    expect(kinds()).toEqual(["connecting", "catching-up", "live", "ended"])
  })

  it("stays live while one connection follows another", async () => {
    const ended = () => makeResponse(204, { "stream-next-offset": "2", ...tail })
    const more = makeResponse(200, headers("2b", tail), "[2]")
    const script = [last, ended, more, ended, closing] as const
    const { opened, kinds } = watch(script, { live: "long-poll", readAhead: 0 })
    const response = await opened
    response.subscribeJson(() => undefined)
    await response.closed
    expect(kinds()).toEqual(["connecting", "catching-up", "live", "ended"])
    expect(response.state).toEqual({ kind: "ended", reason: "eof" })
  })

  it("is retrying, with what failed, how often and until when, as long as no response arrives", async () => {
    const startedAtMs = Date.now()
    const { opened, states, kinds } = watch([makeResponse(503), refused, last], { live: false })
    await (await opened).json()
    expect(kinds()).toEqual(["connecting", "retrying", "retrying", "catching-up", "ended"])
    const [, first, second] = states
    const retryAtMs = expect.any(Number)
    const busy = expect.objectContaining({ code: "BUSY" })
    const network = expect.objectContaining({ code: "NETWORK" })
    expect(first).toEqual({ kind: "retrying", error: busy, attempt: 1, retryAtMs })
    expect(second).toEqual({ kind: "retrying", error: network, attempt: 2, retryAtMs })
    if (second?.kind === "retrying") expect(second.retryAtMs).toBeGreaterThanOrEqual(startedAtMs)
  })

  it("is retrying after a body broke, and after an SSE request failed", async () => {
    const broken = () =>
      makeResponse(
        200,
        headers("2", tail),
        new ReadableStream({ start: (to) => to.error(new Error()) }),
      )
    const catchUp = watch([broken, last], { live: false })
    await (await catchUp.opened).json()
    expect(catchUp.kinds()).toEqual([
      "connecting",
      "catching-up",
      "retrying",
      "catching-up",
      "ended",
    ])
    const sse = watch([
      last,
      makeResponse(503),
      makeResponse(503),
      makeResponse(200, headers("2", tail), "[]"),
      "hang",
    ])
    const response = await sse.opened
    response.subscribeJson(() => undefined)
    // A short while only: it may be over.
    await expect.poll(sse.kinds).toContain("retrying")
    await sse.until("live")
    response.cancel()
  })

  it("is retrying while what onError has changed is tried", async () => {
    const { opened, states } = watch([makeResponse(401), last], {
      live: false,
      onError: () => ({ headers: { authorization: "new" } }),
    })
    await (await opened).json()
    const error = expect.objectContaining({ code: "UNAUTHORIZED" })
    expect(states.map(({ kind }) => kind)).toEqual([
      "connecting",
      "retrying",
      "catching-up",
      "ended",
    ])
    expect(states[1]).toMatchObject({ error, attempt: 1 })
  })

  it("is offline instead of retrying while the browser says that it has no network", async () => {
    const browser = { onLine: false }
    vi.stubGlobal("navigator", browser)
    const comesBack = () => {
      browser.onLine = true
      return refused()
    }
    const { opened, kinds } = watch([refused, refused, comesBack, last], { live: false })
    await (await opened).json()
    expect(kinds()).toEqual(["connecting", "offline", "retrying", "catching-up", "ended"])
  })

  it("is offline as soon as the browser says so, without a request, and live again with the network", async () => {
    const network = new EmulatedNetwork()
    const { opened, kinds, until } = watch([last, "hang", "hang"], { live: "long-poll" })
    const response = await opened
    response.subscribeJson(() => undefined)
    await until("live")
    network.goOffline()
    expect(response.state).toEqual({ kind: "offline" })
    network.goOffline()
    network.goOnline()
    expect(response.state).toEqual({ kind: "live", transport: "long-poll" })
    response.cancel()
    expect(network.listenerCount).toBe(0)
    network.goOffline()
    expect(kinds()).toEqual(["connecting", "catching-up", "live", "offline", "live", "ended"])
  })

  it("keeps its connection while it is offline: what arrives there shows that it is live", async () => {
    const network = new EmulatedNetwork()
    let arrive: (response: Response) => void = () => undefined
    const poll = () => new Promise<Response>((resolve) => (arrive = resolve))
    const { opened, kinds, until } = watch([last, poll, "hang"], { live: "long-poll" })
    const response = await opened
    const items: unknown[] = []
    response.subscribeJson((batch) => void items.push(...batch.items))
    await until("live")
    network.goOffline()
    await until("offline")
    arrive(makeResponse(200, headers("3", tail), "[3]"))
    await until("live")
    expect(items).toEqual([2, 3])
    response.cancel()
    expect(kinds()).toEqual(["connecting", "catching-up", "live", "offline", "live", "ended"])
  })

  it("is what it was if the browser says that it has no network and yet nothing fails", async () => {
    vi.stubGlobal("navigator", { onLine: false })
    const { opened, kinds } = watch([last], { live: false })
    await (await opened).json()
    expect(kinds()).toEqual(["connecting", "catching-up", "ended"])
  })

  it("is paused while hidden, and catching up afterwards", async () => {
    const visibility = new ToggledVisibility()
    const { opened, states, kinds, until } = watch([last, "hang", last, "hang"], {
      live: "long-poll",
      pauseWhenHidden: visibility,
    })
    const response = await opened
    response.subscribeJson(() => undefined)
    await until("live")
    visibility.toggle(0)
    expect(states.at(-1)).toEqual({ kind: "paused", reason: "hidden" })
    visibility.toggle(0)
    await until("live")
    response.cancel()
    const shown = ["connecting", "catching-up", "live", "paused", "catching-up", "live", "ended"]
    expect(kinds()).toEqual(shown)
  })

  it("is ended for good, with the reason and what it failed with", async () => {
    const cancelled = watch([part, "hang"])
    const response = await cancelled.opened
    response.cancel()
    response.cancel()
    expect(cancelled.states.at(-1)).toEqual({ kind: "ended", reason: "cancelled" })
    expect(cancelled.kinds().filter((kind) => kind === "ended")).toHaveLength(1)

    const failed = watch([makeResponse(404)])
    const error: unknown = await failed.opened.catch((reason: unknown) => reason)
    expect(failed.states).toEqual([
      { kind: "connecting" },
      { kind: "ended", reason: "failed", error },
    ])

    const controller = new AbortController()
    const aborted = watch([last, "hang"], { signal: controller.signal })
    await aborted.opened
    controller.abort()
    expect(aborted.states.at(-1)).toEqual({ kind: "ended", reason: "aborted" })
  })

  it("is reported before the event that explains it, and nothing after an end by the observer", async () => {
    const controller = new AbortController()
    const seen: string[] = []
    const { fetch } = scriptedFetch([makeResponse(503), last])
    const opened = stream({
      url,
      fetch,
      signal: controller.signal,
      observe(event) {
        seen.push(event.kind === "state" ? event.state.kind : event.kind)
        if (event.kind === "state" && event.state.kind === "retrying") controller.abort()
      },
    })
    await expect(opened).rejects.toMatchObject({ name: "AbortError" })
    expect(seen).toEqual(["connecting", "request", "response", "retrying", "ended", "end"])
  })
})
