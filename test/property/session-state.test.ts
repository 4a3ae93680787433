import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { resolveBackoff } from "../../src/http/backoff.ts"
import type { PageMark } from "../../src/read/page.ts"
import type { SessionEnvironment } from "../../src/read/session-moves.ts"
import { initialState, transition } from "../../src/read/session-state.ts"
import type { SessionEvent, SessionState } from "../../src/read/session-types.ts"
import type { SseEnding } from "../../src/read/sse-health.ts"

const offsets = fc.constantFrom("-1", "a", "b", "c", "d")
const error = new Error("what failed")

const marks: fc.Arbitrary<PageMark> = fc
  .record({
    offset: offsets,
    cursor: fc.option(fc.constantFrom("c1", "c2"), { nil: undefined }),
    upToDate: fc.boolean(),
    streamClosed: fc.nat(20).map((draw) => draw === 0),
  })
  .map((mark) => ({ ...mark, upToDate: mark.upToDate || mark.streamClosed }))

const endings: fc.Arbitrary<SseEnding> = fc.record({
  kind: fc.constantFrom(
    "closed",
    "idle",
    "no-answer",
    "failed",
    "slept",
    "unsupported",
    "malformed",
  ),
  livedMs: fc.constantFrom(0, 5, 999, 1000, 60_000),
  spoke: fc.boolean(),
  progressed: fc.boolean(),
  buffered: fc.boolean(),
})

const progress: fc.Arbitrary<SessionEvent> = fc.oneof(
  fc.record({
    kind: fc.constant("page"),
    mark: marks,
    elapsedMs: fc.constantFrom(0, 49, 50, 30_000, Infinity),
  }),
  fc.record({ kind: fc.constant("opened") }),
  fc.record({ kind: fc.constant("delivered"), bytes: fc.nat(20), empty: fc.boolean() }),
)

const trouble: fc.Arbitrary<SessionEvent> = fc.oneof(
  fc.record({
    kind: fc.constant("broken"),
    error: fc.constant(error),
    handedOnBytes: fc.nat(20),
    damage: fc.constantFrom("cut", "malformed", "stale"),
  }),
  fc.record({ kind: fc.constant("sse-ended"), ending: endings }),
  fc.record({ kind: fc.constant("inexact") }),
  fc.record({ kind: fc.constant("unanswered"), elapsedMs: fc.constantFrom(10, 75_000) }),
  fc.record({ kind: fc.constant("failed"), error: fc.constant(error) }),
  fc.record({
    kind: fc.constant("decided"),
    again: fc.boolean(),
    error: fc.constant(error),
    retryAfterMs: fc.constantFrom(0, 2000),
    sinceLastMs: fc.constantFrom(0, 399, Infinity),
  }),
  fc.record({ kind: fc.constant("woke") }),
)

const fromOutside: fc.Arbitrary<SessionEvent> = fc.oneof(
  fc.record({ kind: fc.constant("pause"), reason: fc.constant("hidden") }),
  fc.record({ kind: fc.constant("resume"), reason: fc.constant("hidden") }),
  fc.record({
    kind: fc.constant("live-transport"),
    transport: fc.constant("long-poll"),
  }),
)

const ends: fc.Arbitrary<SessionEvent> = fc.oneof(
  fc.record({ kind: fc.constant("cancel"), reason: fc.constant("enough") }),
  fc.record({ kind: fc.constant("abort"), reason: fc.constant("left") }),
  fc.record({ kind: fc.constant("fail"), error: fc.constant(error) }),
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
  .map(({ random, maxRetries, maxShortConnections }) => ({
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
  }))

const starts = fc
  .record({
    offset: offsets,
    liveTransport: fc.constantFrom("sse", "long-poll", undefined),
  })
  .map(({ offset, liveTransport }) => initialState(offset, liveTransport))

type Watch = (before: SessionState, event: SessionEvent, after: SessionState) => void

/** Whatever happens in whatever order, every step is watched. */
function always(watch: Watch): void {
  fc.assert(
    fc.property(starts, events, environments, (start, list, env) => {
      let state = start
      for (const event of list) {
        const { state: after } = transition(state, event, env)
        watch(state, event, after)
        state = after
      }
    }),
    { numRuns: 800 },
  )
}

/** A request, or the wait for the next event of a connection, that this step began. */
function begins(before: SessionState, after: SessionState): boolean {
  if (after === before) return false
  if (after.kind === "receiving") return before.kind !== "receiving"
  if (after.kind !== "requesting") return false
  return before.kind !== "requesting" || after.transport !== before.transport
}

describe("whatever happens to a session", () => {
  it("invariant 1: only a delivery moves the offset, and to where the page ends", () => {
    always((before, event, after) => {
      if (after.offset === before.offset) return
      expect(event.kind).toBe("delivered")
      expect(before.kind === "delivering" && before.mark.offset).toBe(after.offset)
    })
  })

  it("invariant 2: a page that does not move is handed on for its news only", () => {
    always((before, event, after) => {
      if (event.kind !== "page" || after === before || after.kind !== "delivering") return
      const { mark } = event
      const moves = mark.offset !== before.offset
      const news = mark.streamClosed || (mark.upToDate && !before.upToDate)
      expect(moves || news).toBe(true)
    })
  })

  it("invariant 4: nothing begins while there is a reason to pause", () => {
    always((before, event, after) => {
      if (!before.answered || after.pausedFor.size === 0 || event.kind === "pause") return
      const connected = event.kind === "opened" && before.kind === "requesting"
      if (!connected) expect(begins(before, after)).toBe(false)
    })
  })

  it("invariant 5: a pause is followed by a catch-up request", () => {
    always((before, _event, after) => {
      if (before.kind !== "paused" || after.kind === "paused" || after.kind === "ended") return
      expect(after).toMatchObject({ kind: "requesting", transport: "catch-up" })
    })
  })

  it("invariant 6: the end is final", () => {
    always((before, _event, after) => {
      if (before.kind === "ended") expect(after).toBe(before)
    })
  })

  it("the pause reasons are those that were given and not taken back", () => {
    always((before, event, after) => {
      if (before.kind === "ended") return
      if (event.kind === "pause") expect(after.pausedFor.has(event.reason)).toBe(true)
      else if (event.kind === "resume") expect(after.pausedFor.has(event.reason)).toBe(false)
      else expect([...after.pausedFor]).toEqual([...before.pausedFor])
    })
  })

  it("a finite read asks for nothing live, and ends once it has caught up", () => {
    always((before, event, after) => {
      if (before.liveTransport !== undefined || event.kind === "live-transport") return
      const live = after.kind === "requesting" && after.transport !== "catch-up"
      expect(live || after.kind === "receiving").toBe(false)
      if (before.kind !== "delivering" || event.kind !== "delivered") return
      if (before.mark.upToDate) expect(after.kind).toBe("ended")
    })
  })

  it("a wait takes time, and counts never fall below nothing", () => {
    always((_before, _event, after) => {
      if (after.kind === "waiting") expect(after.delayMs).toBeGreaterThan(0)
      const { handedOnBytes, stalls, breaks, damages, decisions } = after
      expect(Math.min(handedOnBytes, stalls, breaks, damages, decisions)).toBeGreaterThanOrEqual(0)
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

/** What a server, or something in front of it, can answer at once and with nothing, whatever it is asked. */
const mischief = fc.constantFrom(
  "still",
  "still-at-tail",
  "moved",
  "cut",
  "malformed",
  "failed",
  "sse",
) satisfies fc.Arbitrary<string>
type Mischief = typeof mischief extends fc.Arbitrary<infer M> ? M : never

const shortEnding: SseEnding = {
  kind: "closed",
  livedMs: 3,
  spoke: true,
  progressed: false,
  buffered: false,
}

/** The event that a piece of mischief is in the state that a session is in. */
function useless(state: SessionState, trick: Mischief, serial: number): SessionEvent {
  const still = { offset: state.offset, cursor: undefined, upToDate: false, streamClosed: false }
  const page = (mark: PageMark): SessionEvent => ({ kind: "page", mark, elapsedMs: 1 })
  const broken = (damage: "cut" | "malformed"): SessionEvent => {
    return { kind: "broken", damage, error, handedOnBytes: state.handedOnBytes }
  }
  switch (state.kind) {
    case "requesting":
      if (trick === "sse" && state.transport === "sse") return { kind: "opened" }
      if (trick === "moved") return page({ ...still, offset: `moved ${serial}` })
      if (trick === "still-at-tail") return page({ ...still, upToDate: true })
      if (trick === "cut" || trick === "malformed") return broken(trick)
      if (trick === "failed") return { kind: "failed", error }
      return page(still)
    case "receiving":
      return trick === "moved" ? { kind: "inexact" } : { kind: "sse-ended", ending: shortEnding }
    case "delivering":
      if (trick === "cut" || trick === "malformed") return broken(trick)
      return { kind: "delivered", bytes: 0, empty: true }
    case "waiting":
      return { kind: "woke" }
    case "asking":
      return { kind: "decided", again: true, error, retryAfterMs: 0, sinceLastMs: Infinity }
    case "paused":
    case "ended":
      return { kind: "resume", reason: "hidden" }
  }
}

describe("invariant 3: a server that brings nothing makes no loop", () => {
  const tricks = fc.array(mischief, { minLength: 400, maxLength: 400 })

  it("requests for nothing wait for each other, whatever is answered, and a handler that says go on too", () => {
    fc.assert(
      fc.property(starts, tricks, (start, list) => {
        const env = environment(0.5)
        let state = start
        let hurried = 0
        let waits = 0
        let waitedMs = 0
        for (const [serial, trick] of list.entries()) {
          const event = useless(state, trick, serial)
          const { state: after } = transition(state, event, env)
          if (after.kind === "waiting") {
            waits++
            waitedMs += after.delayMs
          } else if (after.kind === "requesting" && event.kind !== "woke") hurried++
          state = after
          if (state.kind === "ended") return
        }
        // At once, a few times: a first decision, a fallback, text read again. A tail that is reached again and again
        // is read live at once each time, but getting there has waited.
        expect(hurried).toBeLessThanOrEqual(waits + 6)
        expect(waitedMs).toBeGreaterThan(waits * 100)
      }),
      { numRuns: 500 },
    )
  })

  it.each<Mischief>(["still", "still-at-tail", "moved", "malformed", "sse"])(
    "%s for ever is told as an error, after a bounded number of requests",
    (trick) => {
      for (const liveTransport of ["sse", "long-poll"] as const) {
        const env = environment(0.99)
        let state = initialState("start", liveTransport)
        let requests = 0
        for (let serial = 0; state.kind !== "asking"; serial++) {
          const { state: after } = transition(state, useless(state, trick, serial), env)
          if (after.kind === "requesting") requests++
          state = after
          expect(requests).toBeLessThan(60)
        }
        expect(requests).toBeGreaterThan(3)
      }
    },
  )
})

function environment(random: number): SessionEnvironment {
  return {
    url: "https://streams.example.com/s",
    backoff: resolveBackoff(),
    sse: {
      minConnectionDuration: 1000,
      maxShortConnections: 3,
      backoffBaseDelay: 100,
      backoffMaxDelay: 5000,
      logWarnings: true,
    },
    random,
  }
}
