import { describe, expect, it } from "vitest"
import { resolveBackoff } from "../../../src/http/backoff.ts"
import { MAX_PASSED, noteMove, untrodden } from "../../../src/read/offset-loop.ts"
import type { PageMark } from "../../../src/read/page.ts"
import {
  MAX_HELD_MS,
  MAX_LIVE_STALLS,
  MAX_STALLS,
  MIN_HELD_MS,
} from "../../../src/read/session-moves.ts"
import { initialState, MAX_MALFORMED, transition } from "../../../src/read/session-state.ts"
import type { SessionEvent, SessionState } from "../../../src/read/session-types.ts"
import type { SseEnding } from "../../../src/read/sse-health.ts"
import type { Transport } from "../../../src/read/stream-event.ts"

/** A state by its kind and, where it has one, its transport. */
type StateName = {
  [K in SessionState["kind"]]: Extract<SessionState, { kind: K }> extends { transport: Transport }
    ? `${K} ${Transport}`
    : K
}[SessionState["kind"]]

const env = {
  url: "https://streams.example.com/s?token=secret",
  backoff: resolveBackoff(),
  sse: {
    minConnectionDuration: 1000,
    maxShortConnections: 3,
    backoffBaseDelay: 100,
    backoffMaxDelay: 5000,
    logWarnings: true,
  },
  random: 0.5,
}

/** Where every state of the table stands: at "here", which was the tail when the session got there. */
const here = {
  ...initialState("here", "sse"),
  answered: true,
  upToDate: true,
}

/** The same of a session that is live by long-poll. */
const polling = { ...here, liveTransport: "long-poll" } as const

const still: PageMark = { offset: "here", cursor: "c2", upToDate: false, streamClosed: false }
const stillAtTail: PageMark = { ...still, upToDate: true }
const forward: PageMark = { ...still, offset: "there" }
const closing: PageMark = { ...forward, upToDate: true, streamClosed: true }

const healthy: SseEnding = {
  kind: "closed",
  livedMs: 60_000,
  spoke: true,
  progressed: false,
  buffered: false,
}
const error = new Error("what failed")

/** One event of every kind, and the variants that lead elsewhere. */
const events = {
  "page forward": { kind: "page", mark: forward, elapsedMs: 1000 },
  "page closing": { kind: "page", mark: closing, elapsedMs: 1000 },
  "page still": { kind: "page", mark: still, elapsedMs: 1000 },
  "page still, at once": { kind: "page", mark: still, elapsedMs: 1 },
  "page still at the tail": { kind: "page", mark: stillAtTail, elapsedMs: 1000 },
  opened: { kind: "opened" },
  "live-transport": { kind: "live-transport", transport: "long-poll" },
  delivered: { kind: "delivered", bytes: 7, empty: false },
  "delivered nothing": { kind: "delivered", bytes: 0, empty: true },
  "broken cut": { kind: "broken", damage: "cut", error, handedOnBytes: 0 },
  "broken stale": { kind: "broken", damage: "stale", error, handedOnBytes: 0 },
  "broken malformed": { kind: "broken", damage: "malformed", error, handedOnBytes: 0 },
  "sse-ended healthy": { kind: "sse-ended", ending: healthy },
  "sse-ended short": { kind: "sse-ended", ending: { ...healthy, livedMs: 3 } },
  "sse-ended unsupported": { kind: "sse-ended", ending: { ...healthy, kind: "unsupported" } },
  unanswered: { kind: "unanswered", elapsedMs: 75_000 },
  inexact: { kind: "inexact" },
  failed: { kind: "failed", error },
  "decided again": {
    kind: "decided",
    again: true,
    error,
    retryAfterMs: 0,
    sinceLastMs: Infinity,
  },
  "decided end": { kind: "decided", again: false, error, retryAfterMs: 0, sinceLastMs: Infinity },
  woke: { kind: "woke" },
  pause: { kind: "pause", reason: "hidden" },
  resume: { kind: "resume", reason: "hidden" },
  "live-transport: none": { kind: "live-transport", transport: undefined },
  cancel: { kind: "cancel", reason: "enough" },
  abort: { kind: "abort", reason: "left" },
  fail: { kind: "fail", error },
} as const satisfies Record<string, SessionEvent>

type EventName = keyof typeof events
type Unnamed = Exclude<SessionEvent["kind"], (typeof events)[EventName]["kind"]>
// Does not compile where an event has no name above.
const everyEventIsNamed: [Unnamed] extends [never] ? true : Unnamed = true

const states: { [S in StateName]: SessionState } = {
  "requesting catch-up": { ...here, kind: "requesting", transport: "catch-up" },
  "requesting long-poll": { ...polling, kind: "requesting", transport: "long-poll" },
  "requesting sse": { ...here, kind: "requesting", transport: "sse" },
  receiving: { ...here, kind: "receiving" },
  "delivering catch-up": delivering("catch-up"),
  "delivering long-poll": delivering("long-poll"),
  "delivering sse": delivering("sse"),
  "waiting catch-up": { ...here, kind: "waiting", transport: "catch-up", delayMs: 5 },
  "waiting long-poll": { ...polling, kind: "waiting", transport: "long-poll", delayMs: 5 },
  "waiting sse": { ...here, kind: "waiting", transport: "sse", delayMs: 5 },
  "asking catch-up": { ...here, kind: "asking", transport: "catch-up", error },
  "asking long-poll": { ...polling, kind: "asking", transport: "long-poll", error },
  "asking sse": { ...here, kind: "asking", transport: "sse", error },
  paused: { ...here, kind: "paused", pausedFor: new Set(["hidden"] as const) },
  ended: { ...here, kind: "ended", outcome: { kind: "eof" } },
}

function delivering(transport: Transport, mark = forward): SessionState {
  const reading = transport === "long-poll" ? polling : here
  return { ...reading, kind: "delivering", transport, mark, elapsedMs: 1000 }
}

/** The event changes nothing. */
const stays = "stays"
type Cell = StateName | typeof stays

/** What is not expected in a state changes nothing; what comes from outside ends or pauses it wherever it is. */
const unexpected = {
  "page forward": stays,
  "page closing": stays,
  "page still": stays,
  "page still, at once": stays,
  "page still at the tail": stays,
  opened: stays,
  delivered: stays,
  "delivered nothing": stays,
  "broken cut": stays,
  "broken stale": stays,
  "broken malformed": stays,
  "sse-ended healthy": stays,
  "sse-ended short": stays,
  "sse-ended unsupported": stays,
  unanswered: stays,
  inexact: stays,
  failed: stays,
  "decided again": stays,
  "decided end": stays,
  woke: stays,
} as const

const endings = { cancel: "ended", abort: "ended", fail: "ended" } as const

/** Every state × event. A state or an event that is added does not compile before its cells are here. */
const table: { [S in StateName]: { [E in EventName]: Cell } } = {
  "requesting catch-up": {
    "page forward": "delivering catch-up",
    "page closing": "delivering catch-up",
    "page still": "waiting catch-up",
    "page still, at once": "waiting catch-up",
    "page still at the tail": "requesting sse",
    opened: stays,
    "live-transport": "requesting catch-up",
    "live-transport: none": "requesting catch-up",
    delivered: stays,
    "delivered nothing": stays,
    "broken cut": "waiting catch-up",
    "broken stale": "requesting catch-up",
    "broken malformed": "waiting catch-up",
    "sse-ended healthy": stays,
    "sse-ended short": stays,
    "sse-ended unsupported": stays,
    unanswered: stays,
    inexact: stays,
    failed: "asking catch-up",
    "decided again": stays,
    "decided end": stays,
    woke: stays,
    pause: "paused",
    resume: "requesting catch-up",
    ...endings,
  },
  "requesting long-poll": {
    "page forward": "delivering long-poll",
    "page closing": "delivering long-poll",
    "page still": "requesting long-poll",
    "page still, at once": "waiting long-poll",
    "page still at the tail": "requesting long-poll",
    opened: stays,
    "live-transport": "requesting long-poll",
    "live-transport: none": "requesting long-poll",
    delivered: stays,
    "delivered nothing": stays,
    "broken cut": "waiting long-poll",
    "broken stale": "requesting catch-up",
    "broken malformed": "waiting long-poll",
    "sse-ended healthy": stays,
    "sse-ended short": stays,
    "sse-ended unsupported": stays,
    unanswered: "requesting long-poll",
    inexact: stays,
    failed: "asking long-poll",
    "decided again": stays,
    "decided end": stays,
    woke: stays,
    pause: "paused",
    resume: "requesting long-poll",
    ...endings,
  },
  "requesting sse": {
    "page forward": "delivering sse",
    "page closing": "delivering sse",
    "page still": "receiving",
    "page still, at once": "receiving",
    "page still at the tail": "receiving",
    opened: "receiving",
    "live-transport": "requesting sse",
    "live-transport: none": "requesting sse",
    delivered: stays,
    "delivered nothing": stays,
    "broken cut": "waiting sse",
    "broken stale": "requesting catch-up",
    "broken malformed": "waiting sse",
    "sse-ended healthy": "requesting sse",
    "sse-ended short": "waiting sse",
    "sse-ended unsupported": "requesting long-poll",
    unanswered: stays,
    inexact: stays,
    failed: "asking sse",
    "decided again": stays,
    "decided end": stays,
    woke: stays,
    pause: "paused",
    resume: "requesting sse",
    ...endings,
  },
  receiving: {
    ...unexpected,
    "page forward": "delivering sse",
    "page closing": "delivering sse",
    "page still": "receiving",
    "page still, at once": "receiving",
    "page still at the tail": "receiving",
    "live-transport": "receiving",
    "live-transport: none": "receiving",
    "sse-ended healthy": "requesting sse",
    "sse-ended short": "waiting sse",
    "sse-ended unsupported": "requesting long-poll",
    inexact: "requesting catch-up",
    pause: "paused",
    resume: "receiving",
    ...endings,
  },
  "delivering catch-up": {
    ...unexpected,
    "live-transport": "delivering catch-up",
    "live-transport: none": "delivering catch-up",
    delivered: "requesting catch-up",
    "delivered nothing": "waiting catch-up",
    "broken cut": "waiting catch-up",
    "broken stale": "requesting catch-up",
    "broken malformed": "waiting catch-up",
    pause: "delivering catch-up",
    resume: "delivering catch-up",
    ...endings,
  },
  "delivering long-poll": {
    ...unexpected,
    "live-transport": "delivering long-poll",
    "live-transport: none": "delivering long-poll",
    delivered: "requesting long-poll",
    "delivered nothing": "requesting long-poll",
    "broken cut": "waiting catch-up",
    "broken stale": "requesting catch-up",
    "broken malformed": "waiting catch-up",
    pause: "delivering long-poll",
    resume: "delivering long-poll",
    ...endings,
  },
  "delivering sse": {
    ...unexpected,
    "live-transport": "delivering sse",
    "live-transport: none": "delivering sse",
    delivered: "receiving",
    "delivered nothing": "receiving",
    "broken cut": "waiting sse",
    "broken stale": "waiting sse",
    "broken malformed": "waiting sse",
    pause: "delivering sse",
    resume: "delivering sse",
    ...endings,
  },
  "waiting catch-up": {
    ...unexpected,
    "live-transport": "waiting catch-up",
    "live-transport: none": "waiting catch-up",
    woke: "requesting catch-up",
    pause: "paused",
    resume: "waiting catch-up",
    ...endings,
  },
  "waiting long-poll": {
    ...unexpected,
    "live-transport": "waiting long-poll",
    "live-transport: none": "waiting long-poll",
    woke: "requesting long-poll",
    pause: "paused",
    resume: "waiting long-poll",
    ...endings,
  },
  "waiting sse": {
    ...unexpected,
    "live-transport": "waiting sse",
    "live-transport: none": "waiting sse",
    woke: "requesting sse",
    pause: "paused",
    resume: "waiting sse",
    ...endings,
  },
  "asking catch-up": {
    ...unexpected,
    "live-transport": "asking catch-up",
    "live-transport: none": "asking catch-up",
    "decided again": "requesting catch-up",
    "decided end": "ended",
    pause: "asking catch-up",
    resume: "asking catch-up",
    ...endings,
  },
  "asking long-poll": {
    ...unexpected,
    "live-transport": "asking long-poll",
    "live-transport: none": "asking long-poll",
    "decided again": "requesting long-poll",
    "decided end": "ended",
    pause: "asking long-poll",
    resume: "asking long-poll",
    ...endings,
  },
  "asking sse": {
    ...unexpected,
    "live-transport": "asking sse",
    "live-transport: none": "asking sse",
    "decided again": "requesting sse",
    "decided end": "ended",
    pause: "asking sse",
    resume: "asking sse",
    ...endings,
  },
  paused: {
    ...unexpected,
    "live-transport": "paused",
    "live-transport: none": "paused",
    pause: "paused",
    resume: "requesting catch-up",
    ...endings,
  },
  ended: {
    ...unexpected,
    "live-transport": stays,
    "live-transport: none": stays,
    pause: stays,
    resume: stays,
    cancel: stays,
    abort: stays,
    fail: stays,
  },
}

function nameOf(state: SessionState): string {
  const hasTransport = /requesting|delivering|waiting|asking/.test(state.kind)
  return hasTransport && "transport" in state ? `${state.kind} ${state.transport}` : state.kind
}

/** The keys of an object literal whose type names them all. */
function namesOf<K extends string>(record: Record<K, unknown>): K[] {
  return Object.keys(record) as K[]
}

describe("every state × event", () => {
  it("names every event", () => expect(everyEventIsNamed).toBe(true))

  describe.each(namesOf(table))("%s", (stateName) => {
    it.each(namesOf(events))("%s", (eventName) => {
      const state = states[stateName]
      const { state: after } = transition(state, events[eventName], env)
      const cell = table[stateName][eventName]
      if (cell === stays) expect(after).toBe(state)
      else expect(nameOf(after)).toBe(cell)
    })
  })
})

describe("what a page leads to", () => {
  const requesting = states["requesting catch-up"]

  it("news without movement is delivered: the tail is reached, or the end", () => {
    const before = { ...requesting, upToDate: false }
    const atTail = transition(before, events["page still at the tail"], env).state
    expect(nameOf(atTail)).toBe("delivering catch-up")
    const closed = { ...stillAtTail, streamClosed: true }
    const atEnd = transition(requesting, { kind: "page", mark: closed, elapsedMs: 1 }, env).state
    expect(nameOf(atEnd)).toBe("delivering catch-up")
  })

  it("keeps the cursor until a page brings another", () => {
    const first = transition(requesting, events["page forward"], env).state
    expect(first.cursor).toBe("c2")
    const delivered = transition(first, events.delivered, env).state
    const mark = { ...forward, offset: "further", cursor: undefined }
    const second = transition(delivered, { kind: "page", mark, elapsedMs: 1 }, env).state
    expect(second.cursor).toBe("c2")
  })

  it("knows how far away the server is by its quickest catch-up answer", () => {
    let state: SessionState = requesting
    for (const [elapsedMs, roundTripMs] of [
      [300, 300],
      [90, 90],
      [200, 90],
    ] as const) {
      const event = { kind: "page", mark: forward, elapsedMs } as const
      const { state: after } = transition(state, event, env)
      expect(after.roundTripMs).toBe(roundTripMs)
      state = { ...requesting, roundTripMs: after.roundTripMs }
    }
    const polled = transition(
      { ...states["requesting long-poll"], roundTripMs: 90 },
      events["page forward"],
      env,
    ).state
    expect(polled.roundTripMs).toBe(90)
  })

  it.each([
    [10, MIN_HELD_MS - 1, true],
    [10, MIN_HELD_MS, false],
    [100, 199, true],
    [100, 200, false],
    [10_000, MAX_HELD_MS - 1, true],
    [10_000, MAX_HELD_MS, false],
  ])("%i ms away, a long-poll answered after %i ms: at once is %s", (trip, elapsedMs, hasty) => {
    const before = { ...states["requesting long-poll"], roundTripMs: trip, stalls: 3 }
    const after = transition(before, { kind: "page", mark: stillAtTail, elapsedMs }, env).state
    expect(after.stalls).toBe(hasty ? 4 : 3)
  })

  it.each([
    [60, "waiting", 340],
    [399, "waiting", 1],
    [400, "requesting", undefined],
    [30_000, "requesting", undefined],
  ])("an empty long-poll that was held for %i ms is followed by %s (%s)", (elapsedMs, kind, ms) => {
    for (const before of [
      { ...states["requesting long-poll"], roundTripMs: 10 },
      { ...delivering("long-poll"), roundTripMs: 10, elapsedMs, upToDate: true },
    ]) {
      const event =
        before.kind === "delivering"
          ? events["delivered nothing"]
          : ({ kind: "page", mark: stillAtTail, elapsedMs } as const)
      const after = transition(before, event, env).state
      expect(nameOf(after)).toBe(`${kind} long-poll`)
      expect("delayMs" in after ? after.delayMs : undefined).toBe(ms)
    }
  })

  it("a page that leads back to where the session was is no page: A, B, A with data", () => {
    for (const transport of ["catch-up", "long-poll", "sse"] as const) {
      let state: SessionState = { ...initialState("A", "sse"), answered: true }
      for (const offset of ["B", "A"]) {
        const requesting = { ...state, kind: "requesting", transport } as const
        const page = { kind: "page", mark: { ...still, offset }, elapsedMs: 1000 } as const
        state = transition(requesting, page, env).state
        expect(nameOf(state)).toBe(`${offset === "B" ? "delivering" : "waiting"} ${transport}`)
        state = transition(state, events.delivered, env).state
      }
      expect(state).toMatchObject({ offset: "B", stalls: 1 })
    }
  })

  it.each([
    [2, false, 2],
    [3, false, 3],
    [100, false, 100],
    [MAX_PASSED, false, MAX_PASSED],
    // Greater ones, and those that begin at the tail, are noticed in the second or third round.
    [MAX_PASSED + 1, false, 3 * MAX_PASSED],
    [100, true, 300],
  ])(
    "of a circle of %i pages (up to date: %s) no more than %i are given",
    (pages, atTail, most) => {
      const live = atTail ? "long-poll" : undefined
      let state: SessionState = { ...initialState("0", live), answered: true }
      let given = 0
      while (state.kind === "requesting" && given < 10_000) {
        const mark = { ...still, offset: `page ${given % pages}`, upToDate: atTail }
        state = transition(state, { kind: "page", mark, elapsedMs: 5 }, env).state
        if (state.kind === "delivering") given++
        state = transition(state, events.delivered, env).state
      }
      expect(state).toMatchObject({ kind: "waiting", stalls: 1 })
      expect(given).toBeLessThanOrEqual(most)
    },
  )

  it("what was passed is remembered no longer than until the tail, and no more than a thousand", () => {
    let track = untrodden("-1")
    for (let move = 0; move < 2 * MAX_PASSED; move++) {
      track = noteMove(track, `o${move}`, `o${move + 1}`, false)
    }
    expect(track.passed).toHaveLength(MAX_PASSED)
    const end = `o${2 * MAX_PASSED}`
    expect(noteMove(track, end, end, false)).toBe(track)
    expect(noteMove(track, end, end, true).passed).toEqual([])
    expect(noteMove(track, end, "tail", true).passed).toEqual([])
  })

  it("a long-poll that was held forgives what came before it", () => {
    const before = {
      ...states["requesting long-poll"],
      stalls: 5,
      breaks: 2,
      damages: 1,
      decisions: 1,
    }
    const after = transition(before, events["page still at the tail"], env).state
    expect(after).toMatchObject({ stalls: 0, breaks: 0, damages: 0, decisions: 0 })
  })
})

describe("what text that SSE cannot carry leads to", () => {
  const aside = { ...states["requesting long-poll"], liveTransport: "sse", roundTripMs: 5 } as const

  it("is asked for by catch-up, then by long-poll", () => {
    const first = transition(states.receiving, events.inexact, env).state
    expect(first).toMatchObject({ kind: "requesting", transport: "catch-up", inexact: 1 })
    const unmoved = transition(first, events["page still at the tail"], env).state
    expect(unmoved).toMatchObject({ kind: "requesting", transport: "sse", inexact: 1 })
    const receiving = transition(unmoved, events.opened, env).state
    const second = transition(receiving, events.inexact, env).state
    expect(second).toMatchObject({ kind: "requesting", transport: "long-poll", inexact: 2 })
  })

  it("goes back to SSE with what the long-poll brought", () => {
    const mark = { ...forward, upToDate: true }
    const page = transition(aside, { kind: "page", mark, elapsedMs: 3 }, env).state
    const after = transition({ ...page, inexact: 2 }, events.delivered, env).state
    expect(nameOf(after)).toBe("requesting sse")
    expect(after.inexact).toBe(0)
  })

  it.each(["page still at the tail", "unanswered", "failed", "broken malformed"] as const)(
    "goes back to SSE where the long-poll brings nothing: %s",
    (event) => {
      const after = transition({ ...aside, inexact: 2 }, events[event], env).state
      expect(nameOf(after)).toBe("requesting sse")
      expect(after.inexact).toBe(2)
    },
  )
})

describe("what a delivery leads to", () => {
  it.each<[PageMark, Transport, "sse" | "long-poll" | undefined, string]>([
    [closing, "catch-up", "sse", "ended"],
    [closing, "long-poll", "long-poll", "ended"],
    [closing, "sse", "sse", "ended"],
    [{ ...forward, upToDate: true }, "catch-up", undefined, "ended"],
    [{ ...forward, upToDate: true }, "catch-up", "sse", "requesting sse"],
    [{ ...forward, upToDate: true }, "catch-up", "long-poll", "requesting long-poll"],
    [{ ...forward, upToDate: true }, "long-poll", "long-poll", "requesting long-poll"],
    [forward, "catch-up", undefined, "requesting catch-up"],
  ])("%j by %s, then %s: %s", (mark, transport, liveTransport, expected) => {
    const before = { ...delivering(transport, mark), liveTransport }
    const after = transition(before, events.delivered, env).state
    expect(nameOf(after)).toBe(expected)
    expect(after).toMatchObject({ offset: "there", upToDate: mark.upToDate })
  })

  it("tells the end of the stream from having caught up", () => {
    const eof = transition(delivering("catch-up", closing), events.delivered, env).state
    expect(eof).toMatchObject({ outcome: { kind: "eof" }, streamClosed: true })
    const tail = { ...delivering("catch-up", { ...forward, upToDate: true }) }
    const caughtUp = transition({ ...tail, liveTransport: undefined }, events.delivered, env).state
    expect(caughtUp).toMatchObject({ outcome: { kind: "up-to-date" }, streamClosed: false })
  })

  it("content forgives what came before it, nothing does not", () => {
    const worn = { ...delivering("catch-up"), stalls: 3, breaks: 2, decisions: 1 }
    const fed = transition(worn, events.delivered, env).state
    expect(fed).toMatchObject({ stalls: 0, breaks: 0, decisions: 0 })
    const empty = transition(worn, events["delivered nothing"], env).state
    expect(empty).toMatchObject({ stalls: 4, breaks: 2, decisions: 1 })
  })

  it("nothing leads nowhere back: a replica that lags behind moves nobody", () => {
    for (const transport of ["catch-up", "long-poll", "sse"] as const) {
      const older = { ...delivering(transport, { ...stillAtTail, offset: "back" }) }
      expect(transition(older, events["delivered nothing"], env).state.offset).toBe("here")
      // Whatever the order says, content is what the server has for this offset.
      expect(transition(older, events.delivered, env).state.offset).toBe("back")
      const first = { ...older, offset: "now" }
      expect(transition(first, events["delivered nothing"], env).state.offset).toBe("back")
      // A server that counts without padding: 9, 10.
      const counted = { ...stillAtTail, offset: "x10" }
      const longer = { ...delivering(transport, counted), offset: "x9" }
      expect(transition(longer, events["delivered nothing"], env).state.offset).toBe("x10")
    }
  })

  it("counts what was handed on down by what the page held", () => {
    const before = { ...delivering("catch-up"), handedOnBytes: 10 }
    expect(transition(before, events.delivered, env).state.handedOnBytes).toBe(3)
    const beyond = { ...delivering("catch-up"), handedOnBytes: 4 }
    expect(transition(beyond, events.delivered, env).state.handedOnBytes).toBe(0)
  })

  it("pauses in the place of the next request, and drops an SSE connection for it", () => {
    const pausedFor = new Set(["hidden"] as const)
    for (const transport of ["catch-up", "long-poll", "sse"] as const) {
      const before = { ...delivering(transport), pausedFor }
      expect(transition(before, events.delivered, env).state.kind).toBe("paused")
    }
  })
})

describe("what a break leads to", () => {
  it("goes on behind the bytes that were handed on, as far as any attempt got", () => {
    let state: SessionState = delivering("catch-up")
    for (const [handedOnBytes, expected] of [
      [5, 5],
      [3, 5],
      [8, 8],
    ] as const) {
      const broken = { ...events["broken cut"], handedOnBytes }
      state = { ...transition(state, broken, env).state, ...deliveringFields() }
      expect(state.handedOnBytes).toBe(expected)
    }
  })

  it("counts breaks in a row, anew where more was handed on", () => {
    const before = { ...delivering("catch-up"), breaks: 6, handedOnBytes: 5 }
    expect(transition(before, events["broken cut"], env).state.breaks).toBe(7)
    const further = { ...events["broken cut"], handedOnBytes: 6 }
    expect(transition(before, further, env).state.breaks).toBe(1)
  })

  it("asks once retries are used up", () => {
    const impatient = { ...env, backoff: resolveBackoff({ maxRetries: 2 }) }
    const twice = { ...delivering("catch-up"), breaks: 1 }
    expect(transition(twice, events["broken cut"], impatient).state.kind).toBe("waiting")
    const thrice = { ...delivering("catch-up"), breaks: 2 }
    const after = transition(thrice, events["broken cut"], impatient).state
    expect(after).toMatchObject({ kind: "asking", transport: "catch-up", error })
  })

  it("asks sooner where pages are damaged, however patient the retries are", () => {
    const patient = { ...env, backoff: resolveBackoff({ maxRetries: Infinity }) }
    let state: SessionState = delivering("catch-up")
    for (let times = 1; times <= MAX_MALFORMED; times++) {
      state = transition(state, events["broken malformed"], patient).state
      expect(state.kind).toBe("waiting")
      state = { ...state, ...deliveringFields() }
    }
    expect(transition(state, events["broken malformed"], patient).state.kind).toBe("asking")
  })

  it("a day of bad network does not use up the patience for damaged pages", () => {
    let state: SessionState = delivering("catch-up")
    for (let times = 0; times < 100; times++) {
      state = { ...transition(state, events["broken cut"], env).state, ...deliveringFields() }
    }
    expect(transition(state, events["broken malformed"], env).state.kind).toBe("waiting")
  })

  it("a clock that jumped is nobody's failure", () => {
    const before = { ...states["requesting long-poll"], breaks: 4 }
    const after = transition(before, events["broken stale"], env).state
    expect(after).toMatchObject({ kind: "requesting", transport: "catch-up", breaks: 4 })
  })

  function deliveringFields() {
    return { kind: "delivering", transport: "catch-up", mark: forward, elapsedMs: 1000 } as const
  }
})

describe("what no progress leads to", () => {
  it.each([
    ["catch-up", MAX_STALLS, "page still", /same pages again and again.*cache may be stuck/],
    ["long-poll", MAX_LIVE_STALLS, "page still, at once", /at once with nothing/],
  ] as const)("%s: waits %i times, then says so", (transport, limit, event, words) => {
    let state = states[`requesting ${transport}`]
    for (let stalls = 1; stalls <= limit; stalls++) {
      state = transition(state, events[event], env).state
      expect(state).toMatchObject({ kind: "waiting", stalls })
      state = transition(state, events.woke, env).state
    }
    state = transition(state, events[event], env).state
    expect(state).toMatchObject({ kind: "asking", error: { code: "NO_PROGRESS" } })
    if (state.kind !== "asking") return
    expect((state.error as Error).message).toMatch(words)
    expect((state.error as Error).message).not.toContain("secret")
  })

  it("pages that move and bring nothing wait as those that stand still", () => {
    let state: SessionState = states["requesting catch-up"]
    for (let page = 1; page <= MAX_STALLS + 1; page++) {
      const mark = { ...forward, offset: `page ${page}` }
      state = transition(state, { kind: "page", mark, elapsedMs: 1000 }, env).state
      state = transition(state, events["delivered nothing"], env).state
      expect(state.kind).toBe(page <= MAX_STALLS ? "waiting" : "asking")
      state = transition(state, events.woke, env).state
    }
  })
})

describe("what a decision leads to", () => {
  it("tries at once the first time and waits ever longer after that", () => {
    let state: SessionState = states["asking long-poll"]
    const delays: number[] = []
    for (let decisions = 1; decisions <= 5; decisions++) {
      state = transition(state, events["decided again"], env).state
      expect(state.decisions).toBe(decisions)
      delays.push(state.kind === "waiting" ? state.delayMs : 0)
      if (state.kind === "waiting") state = transition(state, events.woke, env).state
      state = transition(state, events.failed, env).state
    }
    expect(delays[0]).toBe(0)
    expect(delays.slice(1)).toEqual([50, 65, 84.5, 109.85].map((ms) => expect.closeTo(ms)))
  })

  it("waits no less than the server asked for, also the first time", () => {
    const decided = { ...events["decided again"], retryAfterMs: 2000 }
    for (const decisions of [0, 1, 3]) {
      const asking = { ...states["asking catch-up"], decisions }
      expect(transition(asking, decided, env).state).toMatchObject({
        kind: "waiting",
        transport: "catch-up",
        delayMs: 2000,
      })
    }
  })

  it("follows a decision with something new behind it at once, unless that was a moment ago", () => {
    const delayMs = (sinceLastMs: number): number => {
      const decided = { ...events["decided again"], sinceLastMs }
      const after = transition(states["asking catch-up"], decided, env).state
      return after.kind === "waiting" ? after.delayMs : 0
    }
    expect([0, 100, 400, 60_000].map(delayMs)).toEqual([400, 300, 0, 0])
  })

  it("ends with the error that the handler left it at", () => {
    const after = transition(states["asking sse"], events["decided end"], env).state
    expect(after).toMatchObject({ kind: "ended", outcome: { kind: "failed", error } })
  })
})

describe("what the end of an SSE connection leads to", () => {
  it("damaged events in a delivery are the connection's failure", () => {
    let state = states["delivering sse"]
    for (let failures = 1; failures <= 2; failures++) {
      state = transition(state, events["broken malformed"], env).state
      expect(state).toMatchObject({ kind: "waiting", transport: "sse", sse: { failures } })
      state =
        states["delivering sse"].kind === "delivering"
          ? { ...delivering("sse"), sse: state.sse }
          : state
    }
    const step = transition(state, events["broken malformed"], env)
    expect(step.fellBack).toBe("malformed")
    expect(step.state).toMatchObject({ kind: "requesting", transport: "long-poll" })
  })

  it("long-poll takes over for good, and the step says why", () => {
    const step = transition(states.receiving, events["sse-ended unsupported"], env)
    expect(step.fellBack).toBe("unsupported")
    expect(step.state.liveTransport).toBe("long-poll")
    const resumed = transition(
      { ...step.state, kind: "paused", pausedFor: new Set(["hidden"] as const) },
      events.resume,
      env,
    ).state
    const caughtUp = transition(resumed, events["page still at the tail"], env).state
    expect(nameOf(caughtUp)).toBe("requesting long-poll")
  })
})
