import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { resolveBackoff } from "../../src/http/backoff.ts"
import type { PageMark } from "../../src/read/page.ts"
import {
  initialState,
  transition,
  type SessionEnvironment,
  type SessionEvent,
  type SessionState,
  type Step,
} from "../../src/read/session-state.ts"
import type { SseEnding } from "../../src/read/sse-health.ts"

const offsets = fc.constantFrom("-1", "now", "a", "b", "c", "d")
const error = new Error("what failed")

const marks: fc.Arbitrary<PageMark> = fc
  .record({
    offset: fc.constantFrom("a", "b", "c", "d"),
    cursor: fc.option(fc.constantFrom("c1", "c2"), { nil: undefined }),
    upToDate: fc.boolean(),
    streamClosed: fc.nat(20).map((draw) => draw === 0),
  })
  .map((mark) => ({ ...mark, upToDate: mark.upToDate || mark.streamClosed }))

const kinds = ["timeout", "suspended", "network", "malformed"] as const

const endings: fc.Arbitrary<SseEnding> = fc.record({
  kind: fc.constantFrom("closed", "unsupported", "lossy-text", ...kinds),
  brought: fc.constantFrom("no-response", "nothing", "events", "content", "burst"),
  livedMs: fc.constantFrom(0, 5, 999, 1000, 60_000),
})

const progress: fc.Arbitrary<SessionEvent> = fc.oneof(
  fc.record({
    kind: fc.constant("page"),
    end: marks,
    elapsedMs: fc.constantFrom(0, 49, 50, 30_000, Infinity),
  }),
  fc.record({ kind: fc.constant("opened") }),
  fc.record({
    kind: fc.constant("committed"),
    end: marks,
    bytes: fc.nat(20),
    empty: fc.boolean(),
  }),
  fc.record({ kind: fc.constant("proceed") }),
)

const trouble: fc.Arbitrary<SessionEvent> = fc.oneof(
  fc.record({
    kind: fc.constant("transfer-failed"),
    failure: fc.record({
      kind: fc.constantFrom(...kinds),
      error: fc.constant(error),
      signature: fc.constantFrom("one", "another"),
    }),
    deliveredBytes: fc.nat(20),
  }),
  fc.record({ kind: fc.constant("sse-closed"), ending: endings }),
  fc.record({ kind: fc.constant("poll-timed-out"), elapsedMs: fc.constantFrom(10, 75_000) }),
  fc.record({ kind: fc.constant("request-failed"), error: fc.constant(error) }),
  fc.record({
    kind: fc.constant("error-handled"),
    error: fc.constant(error),
    offset: fc.option(offsets, { nil: undefined }),
    retryAfterMs: fc.constantFrom(0, 2000),
    sinceLastMs: fc.constantFrom(0, 399, Infinity),
  }),
  fc.record({ kind: fc.constant("timer-fired") }),
  fc.record({
    kind: fc.constant("request-retried"),
    transport: fc.constantFrom("catch-up", "long-poll"),
    attempt: fc.constant(1),
    delayMs: fc.constant(100),
    error: fc.constant(error),
  }),
)

const fromOutside: fc.Arbitrary<SessionEvent> = fc.oneof(
  fc.constantFrom<SessionEvent>(
    { kind: "hidden" },
    { kind: "visible" },
    { kind: "network-changed" },
    { kind: "offline" },
    { kind: "live-changed", live: "long-poll" },
  ),
)

const ends: fc.Arbitrary<SessionEvent> = fc.constantFrom<SessionEvent>(
  { kind: "end", outcome: { kind: "cancelled", reason: "enough" } },
  { kind: "end", outcome: { kind: "aborted", reason: "left" } },
  { kind: "end", outcome: { kind: "failed", error } },
)

const anyEvent = fc.oneof(
  { weight: 10, arbitrary: progress },
  { weight: 5, arbitrary: trouble },
  { weight: 3, arbitrary: fromOutside },
)
const events = fc
  .tuple(fc.array(anyEvent, { maxLength: 60, size: "max" }), fc.option(ends))
  .map(([list, end]) => (end === null ? list : [...list, end]))

const environments: fc.Arbitrary<SessionEnvironment> = fc
  .record({
    random: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    maxRetries: fc.constantFrom(0, 1, 5, Infinity),
    maxShortConnections: fc.constantFrom(1, 3),
  })
  .map(({ random, maxRetries, maxShortConnections }) =>
    environment(random, maxRetries, maxShortConnections),
  )

const starts = fc
  .record({ offset: offsets, live: fc.constantFrom("sse", "long-poll", "none") })
  .map(({ offset, live }): SessionState => initialState(offset, live))

type Watch = (before: SessionState, event: SessionEvent, step: Step) => void

/** Whatever happens in whatever order, every step is watched. */
function always(watch: Watch): void {
  fc.assert(
    fc.property(starts, events, environments, (start, list, env) => {
      let state = start
      for (const event of list) {
        const step = transition(state, event, env)
        watch(state, event, step)
        state = step.state
      }
    }),
    { numRuns: 800 },
  )
}

function has(step: Step, kind: Step["effects"][number]["kind"]): boolean {
  return step.effects.some((effect) => effect.kind === kind)
}

describe("whatever happens to a session", () => {
  it("invariant 1: the offset moves when the consumer proceeds, with now, and where the handler says", () => {
    always((before, event, { state: after }) => {
      const { offset } = before.context
      if (after.context.offset === offset) return
      if (event.kind === "proceed") {
        const committed = before.kind === "delivering" ? before.committed : undefined
        expect(committed?.end.offset).toBe(after.context.offset)
      } else if (event.kind === "page") {
        expect([offset, after.context.offset]).toEqual(["now", event.end.offset])
      } else {
        expect(event.kind).toBe("error-handled")
        expect(event).toMatchObject({ offset: after.context.offset })
      }
    })
  })

  it("invariant 2: a page that does not move is delivered for its news only", () => {
    always((before, event, step) => {
      if (event.kind !== "page") return
      const deliver = step.effects.find((effect) => effect.kind === "deliver")
      if (deliver?.kind !== "deliver") return
      const { offset, upToDate, started, visited } = before.context
      const moves = event.end.offset !== offset
      const news = event.end.streamClosed || (event.end.upToDate && !upToDate)
      expect(moves || news).toBe(true)
      if (started) expect(deliver.hasContent).toBe(moves)
      if (moves) expect([visited.previous, visited.landmark]).not.toContain(event.end.offset)
    })
  })

  it("invariant 4: nothing begins while the page is hidden", () => {
    always((before, _event, step) => {
      if (!before.context.started || !step.state.context.hidden) return
      for (const work of ["request", "receive", "wait", "read-ahead"] as const) {
        expect(has(step, work)).toBe(false)
      }
    })
  })

  it("invariant 5: a pause is followed by a catch-up request", () => {
    always((before, _event, { state: after }) => {
      if (before.kind !== "paused" || after.kind === "paused" || after.kind === "ended") return
      expect(after).toMatchObject({ kind: "requesting", context: { transport: "catch-up" } })
    })
  })

  it("invariant 6: the end is final", () => {
    always((before, _event, step) => {
      if (before.kind === "ended") expect(step).toEqual({ state: before, effects: [] })
    })
  })

  it("what is retried is shown until a response arrives or the session pauses", () => {
    always((before, event, { state: after }) => {
      const { retrying } = before.context
      if (before.kind === "ended" || after.kind === "ended" || retrying === undefined) return
      const isOver = ["page", "opened"].includes(event.kind) || after.kind === "paused"
      if (!isOver) expect(after.context.retrying).toBeDefined()
      if (after.kind === "receiving") expect(after.context.retrying).toBeUndefined()
    })
  })

  it("a session is hidden from the event that says so until the one that says the opposite", () => {
    always((before, event, { state: after }) => {
      if (before.kind === "ended") return
      const { hidden } = before.context
      const expected = event.kind === "hidden" || (hidden && event.kind !== "visible")
      expect(after.context.hidden).toBe(expected)
    })
  })

  it("a finite read requests nothing live, and ends once it has caught up", () => {
    always((before, event, { state: after }) => {
      if (before.context.live.kind !== "none" || event.kind === "live-changed") return
      const isLive = after.kind === "requesting" && after.context.transport !== "catch-up"
      expect(isLive || after.kind === "receiving").toBe(false)
      if (before.kind !== "delivering" || event.kind !== "proceed") return
      if (before.committed?.end.upToDate === true) expect(after.kind).toBe("ended")
    })
  })

  it("SSE that was given up never comes back", () => {
    always((before, event, { state: after }) => {
      if (before.context.live.kind === "sse" || event.kind === "live-changed") return
      expect(after.context.live.kind).toBe(before.context.live.kind)
    })
  })

  it("a wait takes time, and counts never fall below zero", () => {
    always((_before, _event, { state, effects }) => {
      for (const effect of effects) {
        if (effect.kind === "wait") expect(effect.delayMs).toBeGreaterThan(0)
      }
      const { deliveredBytes, retries } = state.context
      const { noProgress, transferErrors, malformed, handler, identical } = retries
      const counts = [deliveredBytes, noProgress, transferErrors, malformed, handler, identical]
      expect(Math.min(...counts)).toBeGreaterThanOrEqual(0)
    })
  })

  it("what was in flight is released before something else begins", () => {
    always((before, _event, step) => {
      const begins = step.effects.findIndex(({ kind }) =>
        ["request", "wait", "handle-error", "end"].includes(kind),
      )
      if (begins === -1 || before.kind === "ended") return
      const released = step.effects.findIndex(({ kind }) => kind === "release")
      expect(released).toBeGreaterThanOrEqual(0)
      expect(released).toBeLessThan(begins)
    })
  })

  it("is pure: the state it is given stays as it is, and the same gives the same", () => {
    fc.assert(
      fc.property(starts, events, environments, (start, list, env) => {
        let state = start
        for (const event of list) {
          const copy = structuredClone(state)
          const once = transition(state, event, env)
          expect(structuredClone(state)).toEqual(copy)
          expect(transition(state, event, env)).toEqual(once)
          state = once.state
        }
      }),
      { numRuns: 300 },
    )
  })
})

/** What a server, or something in front of it, can respond at once and with nothing, whatever the request. */
const mischief = fc.constantFrom(
  "still",
  "still-at-tail",
  "moved",
  "broken",
  "malformed",
  "failed",
  "sse",
  "idle",
) satisfies fc.Arbitrary<string>
type Mischief = typeof mischief extends fc.Arbitrary<infer M> ? M : never

const shortEnding: SseEnding = {
  kind: "closed",
  brought: "events",
  livedMs: 3,
}

/** The event that a piece of mischief is in the state that a session is in. */
function useless(state: SessionState, trick: Mischief, serial: number): SessionEvent {
  const { offset, deliveredBytes, transport } = state.context
  const still = { offset, cursor: undefined, upToDate: false, streamClosed: false }
  const page = (end: PageMark): SessionEvent => ({ kind: "page", end, elapsedMs: 1 })
  const transferFailed = (kind: "network" | "malformed"): SessionEvent => {
    return { kind: "transfer-failed", failure: { kind, error }, deliveredBytes }
  }
  switch (state.kind) {
    case "requesting":
      if (trick === "sse" && transport === "sse") return { kind: "opened" }
      if (trick === "idle" && transport === "long-poll") {
        return { kind: "poll-timed-out", elapsedMs: 1 }
      }
      if (trick === "moved") return page({ ...still, offset: `moved ${serial}` })
      if (trick === "still-at-tail") return page({ ...still, upToDate: true })
      if (trick === "broken") return transferFailed("network")
      if (trick === "malformed") return transferFailed("malformed")
      if (trick === "failed") return { kind: "request-failed", error }
      return page(still)
    case "receiving":
      return {
        kind: "sse-closed",
        ending: trick === "idle" ? { ...shortEnding, kind: "timeout" } : shortEnding,
      }
    case "delivering":
      if (trick === "broken") return transferFailed("network")
      if (trick === "malformed") return transferFailed("malformed")
      if (state.committed !== undefined) return { kind: "proceed" }
      return { kind: "committed", end: state.end, bytes: 0, empty: true }
    case "waiting":
      return { kind: "timer-fired" }
    case "handling-error":
      return {
        kind: "error-handled",
        error,
        offset: undefined,
        retryAfterMs: 0,
        sinceLastMs: Infinity,
      }
    case "paused":
    case "ended":
      return { kind: "visible" }
  }
}

describe("invariant 3: a server that brings nothing makes no loop", () => {
  const tricks = fc.array(mischief, { minLength: 400, maxLength: 400 })

  it("requests for nothing wait for each other, whatever the responses, and a handler that always retries too", () => {
    fc.assert(
      fc.property(starts, tricks, (start, list) => {
        const env = environment(0.5)
        let state = start
        let hurried = 0
        let waits = 0
        let waitedMs = 0
        for (const [serial, trick] of list.entries()) {
          const event = useless(state, trick, serial)
          const step = transition(state, event, env)
          for (const effect of step.effects) {
            if (effect.kind === "wait") {
              waits++
              waitedMs += effect.delayMs
            } else if (effect.kind === "request" && event.kind !== "timer-fired") hurried++
          }
          state = step.state
          if (state.kind === "ended") return
        }
        // At once, a few times: a first retry of the handler, a fallback. A tail that is reached again and again is read
        // live at once each time, but getting there has waited.
        expect(hurried).toBeLessThanOrEqual(waits + 6)
        expect(waitedMs).toBeGreaterThan(waits * 100)
      }),
      { numRuns: 500 },
    )
  })

  it.each<Mischief>(["still", "still-at-tail", "moved", "malformed", "sse"])(
    "%s indefinitely is reported as an error, after a bounded number of requests",
    (trick) => {
      for (const live of ["sse", "long-poll"] as const) {
        const env = environment(0.99)
        let state: SessionState = initialState("start", live)
        let requests = 0
        for (let serial = 0; state.kind !== "handling-error"; serial++) {
          const step = transition(state, useless(state, trick, serial), env)
          if (has(step, "request")) requests++
          state = step.state
          expect(requests).toBeLessThan(60)
        }
        expect(requests).toBeGreaterThan(3)
      }
    },
  )
})

function environment(
  random: number,
  maxRetries = Infinity,
  maxShortConnections = 3,
): SessionEnvironment {
  return {
    url: "https://streams.example.com/s",
    backoff: resolveBackoff({ maxRetries }),
    sse: {
      minConnectionDuration: 1000,
      maxShortConnections,
      backoffBaseDelay: 100,
      backoffMaxDelay: 5000,
      logWarnings: true,
    },
    random,
    nowMs: 1_700_000_000_000,
  }
}
