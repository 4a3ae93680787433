import { afterEach, describe, expect, it, vi } from "vitest"
import type {
  IdempotentProducerOptions,
  ProducerConnectionState,
  ProducerEvent,
} from "../../../src/index.ts"
import { EmulatedNetwork } from "../../support/emulated-network.ts"
import { appendAll, PostDesk, settled } from "./post-desk.ts"

const quick = { backoffOptions: { initialDelay: 1, maxDelay: 1 } }

/** A producer whose events are noted. */
function watch(options: IdempotentProducerOptions = {}, contentType?: string | null) {
  const desk = new PostDesk()
  const events: ProducerEvent[] = []
  const producer = desk.producer(
    {
      ...quick,
      ...options,
      observe: (event) => {
        events.push(event)
        // Whatever is reported, the producer agrees with it.
        const last = states().at(-1)
        if (last !== undefined) expect(producer.connection).toBe(last)
      },
    },
    contentType,
  )
  const states = (): ProducerConnectionState[] =>
    events.flatMap((event) => (event.kind === "state" ? [event.state] : []))
  const kinds = () => states().map(({ kind }) => kind)
  return { desk, producer, events, states, kinds }
}

afterEach(() => {
  vi.unstubAllGlobals()
})

describe("the connection of a producer", () => {
  it("is idle, sending while something is not acknowledged, and idle again", async () => {
    const { desk, producer, events, kinds } = watch()
    expect(producer.connection).toEqual({ kind: "idle" })
    producer.append("a")
    expect(producer.connection).toEqual({ kind: "sending" })
    appendAll(producer, "bc")
    ;(await desk.post(0)).accept("off")
    await producer.flush()
    expect(kinds()).toEqual(["sending", "idle"])
    expect(events.at(-1)).toEqual({
      kind: "acknowledged",
      messageCount: 3,
      offset: "off",
      duplicate: false,
    })
  })

  it("is retrying, with what failed, how often and until when, until a batch is acknowledged", async () => {
    const { desk, producer, events, states, kinds } = watch()
    const startedAtMs = Date.now()
    appendAll(producer, "a")
    ;(await desk.post(0)).respond(503)
    ;(await desk.post(1)).lose()
    ;(await desk.post(2)).accept()
    await producer.flush()
    expect(kinds()).toEqual(["sending", "retrying", "retrying", "idle"])
    const busy = expect.objectContaining({ code: "BUSY" })
    const network = expect.objectContaining({ code: "NETWORK" })
    expect(states()[1]).toMatchObject({ kind: "retrying", error: busy, attempt: 1 })
    expect(states()[2]).toMatchObject({ kind: "retrying", error: network, attempt: 2 })
    const { retryAtMs } = states()[1] as { readonly retryAtMs: number }
    expect(retryAtMs).toBeGreaterThanOrEqual(startedAtMs)
    expect(events.filter(({ kind }) => kind === "retry")).toEqual([
      { kind: "retry", attempt: 1, delayMs: expect.any(Number), error: busy },
      { kind: "retry", attempt: 2, delayMs: expect.any(Number), error: network },
    ])
  })

  it("is retrying while the HEAD that asks for the content type fails", async () => {
    const { desk, producer, kinds } = watch({}, null)
    appendAll(producer, "a")
    ;(await desk.post(0)).respond(503)
    ;(await desk.post(1)).respond(200, { "content-type": "text/plain" })
    ;(await desk.post(2)).accept()
    await producer.flush()
    expect(desk.posts.map(({ method }) => method)).toEqual(["HEAD", "HEAD", "POST"])
    expect(kinds()).toEqual(["sending", "retrying", "sending", "idle"])
  })

  it("is offline instead of retrying while the browser says that it has no network", async () => {
    const browser = { onLine: false }
    vi.stubGlobal("navigator", browser)
    const { desk, producer, kinds } = watch()
    appendAll(producer, "a")
    ;(await desk.post(0)).refuse()
    const second = await desk.post(1)
    expect(producer.connection).toEqual({ kind: "offline" })
    browser.onLine = true
    second.refuse()
    ;(await desk.post(2)).accept()
    await producer.flush()
    expect(kinds()).toEqual(["sending", "offline", "retrying", "idle"])
  })

  it("is offline as soon as the browser says so while something is not acknowledged, and watches no longer", async () => {
    const network = new EmulatedNetwork()
    const { desk, producer, kinds } = watch()
    network.goOffline()
    expect(producer.connection).toEqual({ kind: "idle" })
    network.goOnline()
    producer.append("a")
    const post = await desk.post(0)
    network.goOffline()
    expect(producer.connection).toEqual({ kind: "offline" })
    network.goOnline()
    expect(producer.connection).toEqual({ kind: "sending" })
    network.goOffline()
    post.accept()
    await producer.flush()
    expect(network.listenerCount).toBe(0)
    expect(kinds()).toEqual(["sending", "offline", "sending", "offline", "idle"])
    producer.append("b")
    await desk.post(1)
    await producer.detach({ signal: AbortSignal.abort() }).catch(() => undefined)
    expect(network.listenerCount).toBe(0)
  })

  it.each(["close", "detach"] as const)("is ended for good after %s()", async (method) => {
    const { desk, producer, states, kinds } = watch()
    desk.reply = (post) => post.accept()
    producer.append("a")
    await producer[method]()
    const reason = method === "close" ? "closed" : "detached"
    expect(states().at(-1)).toEqual({ kind: "ended", reason })
    expect(producer.state).toBe(reason)
    await producer[method]()
    expect(kinds().filter((kind) => kind === "ended")).toHaveLength(1)
  })

  it("is ended with what the producer failed with", async () => {
    const onError = vi.fn()
    const { desk, producer, states } = watch({ onError })
    appendAll(producer, "a")
    ;(await desk.post(0)).fence(5)
    await settled()
    const error = expect.objectContaining({ code: "STALE_EPOCH" })
    expect(states().at(-1)).toEqual({ kind: "ended", reason: "failed", error })
    expect(onError).toHaveBeenCalledOnce()
  })

  it("is idle after a message was rejected and nothing is left", async () => {
    const { desk, producer } = watch()
    appendAll(producer, "a")
    ;(await desk.post(0)).respond(400)
    await settled()
    expect(producer.connection).toEqual({ kind: "idle" })
  })

  it("is unharmed by an observer that throws", async () => {
    const complained = vi.spyOn(console, "error").mockImplementation(() => undefined)
    const desk = new PostDesk()
    const producer = desk.producer({
      observe: () => {
        throw new Error("observer")
      },
    })
    appendAll(producer, "a")
    ;(await desk.post(0)).accept()
    await producer.flush()
    expect(complained).toHaveBeenCalled()
    complained.mockRestore()
  })

  it("is not watched by what is no function", () => {
    // @ts-expect-error -- what JavaScript callers can pass
    expect(() => new PostDesk().producer({ observe: 1 })).toThrow(
      /observe must be a function, not 1/,
    )
  })
})
