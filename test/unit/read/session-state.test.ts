import { describe, expect, it } from "vitest"
import { resolveBackoff } from "../../../src/http/backoff.ts"
import type { PageMark } from "../../../src/read/page.ts"
import {
  initialState,
  MAX_HELD_MS,
  MAX_IDENTICAL,
  MAX_LIVE_STALLS,
  MAX_MALFORMED,
  MAX_STALLS,
  MIN_HELD_MS,
  NO_RETRIES,
  transition,
  type Effect,
  type Live,
  type SessionContext,
  type SessionEvent,
  type SessionState,
  type Step,
} from "../../../src/read/session-state.ts"
import type { SseEnding } from "../../../src/read/sse-health.ts"
import type { Transport } from "../../../src/read/stream-options.ts"

/** A state by its kind and, if it matters, the transport of its request, or of the next one. */
type StateName = Exclude<SessionState["kind"], TransportKind> | `${TransportKind} ${Transport}`
type TransportKind = "requesting" | "delivering" | "waiting" | "handling-error"
type Delivering = Extract<SessionState, { kind: "delivering" }>

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
  nowMs: 1_700_000_000_000,
}

/** Where every state of the table is: at "here", which was the tail when the session got there. */
const here: SessionContext = {
  ...initialState("here", "sse").context,
  started: true,
  upToDate: true,
}

function contextOf(transport: Transport, changes: Partial<SessionContext> = {}): SessionContext {
  const live: Live = transport === "long-poll" ? { kind: "long-poll" } : here.live
  return { ...here, transport, live, ...changes }
}

function requesting(transport: Transport, changes: Partial<SessionContext> = {}) {
  const context = contextOf(transport, changes)
  return { kind: "requesting", context } satisfies SessionState
}

function delivering(
  transport: Transport,
  end = forward,
  changes: Partial<SessionContext> = {},
): Delivering {
  const context = contextOf(transport, changes)
  const page = { end, elapsedMs: 1000, committed: undefined, isInterrupted: false }
  return { kind: "delivering", context, ...page }
}

/** The consumer commits the page of a state and goes on. */
function deliver(state: SessionState, { empty = false, bytes = 7, end = endOf(state) } = {}): Step {
  const committed = transition(state, { kind: "committed", end, empty, bytes }, env).state
  return transition(committed, { kind: "proceed" }, env)
}

function endOf(state: SessionState): PageMark {
  return state.kind === "delivering" ? state.end : forward
}

const still: PageMark = { offset: "here", cursor: "c2", upToDate: false, streamClosed: false }
const stillAtTail: PageMark = { ...still, upToDate: true }
const forward: PageMark = { ...still, offset: "there" }
const closing: PageMark = { ...forward, upToDate: true, streamClosed: true }

const healthy: SseEnding = {
  kind: "closed",
  brought: "events",
  livedMs: 60_000,
}
const error = new Error("what failed")
const failed = (kind: "network" | "timeout" | "suspended" | "malformed", signature?: string) =>
  ({
    kind: "transfer-failed",
    failure: { kind, error, ...(signature !== undefined && { signature }) },
    deliveredBytes: 0,
  }) as const

/** One event of every kind, and the variants that lead elsewhere. */
const events = {
  "page forward": { kind: "page", end: forward, elapsedMs: 1000 },
  "page closing": { kind: "page", end: closing, elapsedMs: 1000 },
  "page still": { kind: "page", end: still, elapsedMs: 1000 },
  "page still, at once": { kind: "page", end: still, elapsedMs: 1 },
  "page still at the tail": { kind: "page", end: stillAtTail, elapsedMs: 1000 },
  opened: { kind: "opened" },
  committed: { kind: "committed", end: forward, empty: false, bytes: 7 },
  proceed: { kind: "proceed" },
  "transfer failed: network": failed("network"),
  "transfer failed: timeout": failed("timeout"),
  "transfer failed: suspended": failed("suspended"),
  "transfer failed: malformed": failed("malformed"),
  "sse-closed healthy": { kind: "sse-closed", ending: healthy },
  "sse-closed short": { kind: "sse-closed", ending: { ...healthy, livedMs: 3 } },
  "sse-closed unsupported": { kind: "sse-closed", ending: { ...healthy, kind: "unsupported" } },
  "request-retried": {
    kind: "request-retried",
    transport: "catch-up",
    attempt: 2,
    delayMs: 100,
    error,
  },
  "poll-timed-out": { kind: "poll-timed-out", elapsedMs: 75_000 },
  "request-failed": { kind: "request-failed", error },
  "error-handled: retry": {
    kind: "error-handled",
    error,
    offset: undefined,
    retryAfterMs: 0,
    sinceLastMs: Infinity,
  },
  "error-handled: elsewhere": {
    kind: "error-handled",
    error,
    offset: "-1",
    retryAfterMs: 0,
    sinceLastMs: Infinity,
  },
  "timer-fired": { kind: "timer-fired" },
  hidden: { kind: "hidden" },
  visible: { kind: "visible" },
  "network-changed": { kind: "network-changed" },
  offline: { kind: "offline" },
  "live-changed: long-poll": { kind: "live-changed", live: "long-poll" },
  "live-changed: none": { kind: "live-changed", live: "none" },
  cancel: { kind: "end", outcome: { kind: "cancelled", reason: "enough" } },
  abort: { kind: "end", outcome: { kind: "aborted", reason: "left" } },
  fail: { kind: "end", outcome: { kind: "failed", error } },
} as const satisfies Record<string, SessionEvent>

type EventName = keyof typeof events
type Unnamed = Exclude<SessionEvent["kind"], (typeof events)[EventName]["kind"]>
// Does not compile if an event has no name above.
const everyEventIsNamed: [Unnamed] extends [never] ? true : Unnamed = true

const end = { kind: "ended", reason: "eof" } as const

const states: { [S in StateName]: SessionState } = {
  "requesting catch-up": requesting("catch-up"),
  "requesting long-poll": requesting("long-poll"),
  "requesting sse": requesting("sse"),
  receiving: { kind: "receiving", context: contextOf("sse") },
  "delivering catch-up": delivering("catch-up"),
  "delivering long-poll": delivering("long-poll"),
  "delivering sse": delivering("sse"),
  "waiting catch-up": { kind: "waiting", next: "catch-up", context: contextOf("catch-up") },
  "waiting long-poll": { kind: "waiting", next: "long-poll", context: contextOf("long-poll") },
  "waiting sse": { kind: "waiting", next: "sse", context: contextOf("sse") },
  "handling-error catch-up": {
    kind: "handling-error",
    next: "catch-up",
    context: contextOf("catch-up"),
  },
  "handling-error long-poll": {
    kind: "handling-error",
    next: "long-poll",
    context: contextOf("long-poll"),
  },
  "handling-error sse": { kind: "handling-error", next: "sse", context: contextOf("sse") },
  paused: { kind: "paused", context: { ...here, hidden: true } },
  ended: { kind: "ended", context: here, outcome: { kind: "eof" }, shown: end },
}

/** The event changes nothing. */
const stays = "stays"
type Cell = StateName | typeof stays

/** What is not expected in a state changes nothing. */
const unexpected = {
  "page forward": stays,
  "page closing": stays,
  "page still": stays,
  "page still, at once": stays,
  "page still at the tail": stays,
  opened: stays,
  committed: stays,
  proceed: stays,
  "transfer failed: network": stays,
  "transfer failed: timeout": stays,
  "transfer failed: suspended": stays,
  "transfer failed: malformed": stays,
  "sse-closed healthy": stays,
  "sse-closed short": stays,
  "sse-closed unsupported": stays,
  "poll-timed-out": stays,
  "request-failed": stays,
  "error-handled: retry": stays,
  "error-handled: elsewhere": stays,
  "timer-fired": stays,
  "network-changed": stays,
} as const

/** What comes from outside ends a session wherever it is, or changes its context. */
function fromOutside<S extends StateName, H extends StateName>(state: S, hidden: H) {
  return {
    hidden,
    visible: state,
    offline: state,
    // Of a request that was made ahead, if this state makes none.
    "request-retried": state,
    "live-changed: long-poll": state,
    "live-changed: none": state,
    cancel: "ended",
    abort: "ended",
    fail: "ended",
  } as const
}

/** Every state × event. A state or an event that is added does not compile before its cells are here. */
const table: { [S in StateName]: { [E in EventName]: Cell } } = {
  "requesting catch-up": {
    ...unexpected,
    ...fromOutside("requesting catch-up", "paused"),
    "page forward": "delivering catch-up",
    "page closing": "delivering catch-up",
    "page still": "waiting catch-up",
    "page still, at once": "waiting catch-up",
    "page still at the tail": "requesting sse",
    "transfer failed: network": "waiting catch-up",
    "transfer failed: timeout": "waiting catch-up",
    "transfer failed: suspended": "requesting catch-up",
    "transfer failed: malformed": "waiting catch-up",
    "request-failed": "handling-error catch-up",
    "network-changed": "requesting catch-up",
  },
  "requesting long-poll": {
    ...unexpected,
    ...fromOutside("requesting long-poll", "paused"),
    "page forward": "delivering long-poll",
    "page closing": "delivering long-poll",
    "page still": "requesting long-poll",
    "page still, at once": "waiting long-poll",
    "page still at the tail": "requesting long-poll",
    "transfer failed: network": "waiting long-poll",
    "transfer failed: timeout": "waiting long-poll",
    "transfer failed: suspended": "requesting catch-up",
    "transfer failed: malformed": "waiting long-poll",
    "poll-timed-out": "requesting long-poll",
    "request-failed": "handling-error long-poll",
    "network-changed": "requesting long-poll",
  },
  "requesting sse": {
    ...unexpected,
    ...fromOutside("requesting sse", "paused"),
    "page forward": "delivering sse",
    "page closing": "delivering sse",
    "page still": "receiving",
    "page still, at once": "receiving",
    "page still at the tail": "receiving",
    opened: "receiving",
    "transfer failed: network": "waiting sse",
    "transfer failed: timeout": "waiting sse",
    "transfer failed: suspended": "requesting catch-up",
    "transfer failed: malformed": "waiting sse",
    "sse-closed healthy": "requesting sse",
    "sse-closed short": "waiting sse",
    "sse-closed unsupported": "requesting long-poll",
    "request-failed": "handling-error sse",
    "network-changed": "requesting sse",
  },
  receiving: {
    ...unexpected,
    ...fromOutside("receiving", "paused"),
    "page forward": "delivering sse",
    "page closing": "delivering sse",
    "page still": "receiving",
    "page still, at once": "receiving",
    "page still at the tail": "receiving",
    "sse-closed healthy": "requesting sse",
    "sse-closed short": "waiting sse",
    "sse-closed unsupported": "requesting long-poll",
    "network-changed": "requesting sse",
  },
  "delivering catch-up": {
    ...unexpected,
    ...fromOutside("delivering catch-up", "delivering catch-up"),
    "network-changed": "delivering catch-up",
    committed: "delivering catch-up",
    "transfer failed: network": "waiting catch-up",
    "transfer failed: timeout": "waiting catch-up",
    "transfer failed: suspended": "requesting catch-up",
    "transfer failed: malformed": "waiting catch-up",
  },
  "delivering long-poll": {
    ...unexpected,
    ...fromOutside("delivering long-poll", "delivering long-poll"),
    "network-changed": "delivering long-poll",
    committed: "delivering long-poll",
    "transfer failed: network": "waiting catch-up",
    "transfer failed: timeout": "waiting catch-up",
    "transfer failed: suspended": "requesting catch-up",
    "transfer failed: malformed": "waiting catch-up",
  },
  "delivering sse": {
    ...unexpected,
    ...fromOutside("delivering sse", "delivering sse"),
    "network-changed": "delivering sse",
    committed: "delivering sse",
    "transfer failed: network": "waiting sse",
    "transfer failed: timeout": "waiting sse",
    "transfer failed: suspended": "waiting sse",
    "transfer failed: malformed": "waiting sse",
  },
  "waiting catch-up": {
    ...unexpected,
    ...fromOutside("waiting catch-up", "paused"),
    "timer-fired": "requesting catch-up",
    "network-changed": "requesting catch-up",
  },
  "waiting long-poll": {
    ...unexpected,
    ...fromOutside("waiting long-poll", "paused"),
    "timer-fired": "requesting long-poll",
    "network-changed": "requesting long-poll",
  },
  "waiting sse": {
    ...unexpected,
    ...fromOutside("waiting sse", "paused"),
    "timer-fired": "requesting sse",
    "network-changed": "requesting sse",
  },
  "handling-error catch-up": {
    ...unexpected,
    ...fromOutside("handling-error catch-up", "handling-error catch-up"),
    "error-handled: retry": "requesting catch-up",
    "error-handled: elsewhere": "requesting catch-up",
  },
  "handling-error long-poll": {
    ...unexpected,
    ...fromOutside("handling-error long-poll", "handling-error long-poll"),
    "error-handled: retry": "requesting long-poll",
    "error-handled: elsewhere": "requesting catch-up",
  },
  "handling-error sse": {
    ...unexpected,
    ...fromOutside("handling-error sse", "handling-error sse"),
    "error-handled: retry": "requesting sse",
    "error-handled: elsewhere": "requesting catch-up",
  },
  paused: {
    ...unexpected,
    ...fromOutside("paused", "paused"),
    visible: "requesting catch-up",
  },
  ended: {
    ...unexpected,
    hidden: stays,
    visible: stays,
    offline: stays,
    "request-retried": stays,
    "live-changed: long-poll": stays,
    "live-changed: none": stays,
    cancel: stays,
    abort: stays,
    fail: stays,
  },
}

function nameOf(state: SessionState): string {
  switch (state.kind) {
    case "requesting":
    case "delivering":
      return `${state.kind} ${state.context.transport}`
    case "waiting":
    case "handling-error":
      return `${state.kind} ${state.next}`
    default:
      return state.kind
  }
}

/** The keys of an object literal whose type names them all. */
function namesOf<K extends string>(record: Record<K, unknown>): K[] {
  return Object.keys(record) as K[]
}

function effectOf<K extends Effect["kind"]>(step: Step, kind: K) {
  return step.effects.find((effect): effect is Extract<Effect, { kind: K }> => effect.kind === kind)
}

/** How long a step waits. */
function delayOf(step: Step): number {
  return effectOf(step, "wait")?.delayMs ?? 0
}

/** What a step reports to `observe`. */
function reportsOf(step: Step) {
  return step.effects.flatMap((effect) => (effect.kind === "notify" ? [effect.event] : []))
}

describe("every state × event", () => {
  it("names every event", () => expect(everyEventIsNamed).toBe(true))

  describe.each(namesOf(table))("%s", (stateName) => {
    it.each(namesOf(events))("%s", (eventName) => {
      const state = states[stateName]
      const step = transition(state, events[eventName], env)
      const cell = table[stateName][eventName]
      if (cell === stays) expect(step).toEqual({ state, effects: [] })
      else expect(nameOf(step.state)).toBe(cell)
    })
  })
})

describe("effects", () => {
  /** What a session does while it is in a state. */
  const works = ["request", "receive", "deliver", "wait", "handle-error", "end"]
  const workOf: Partial<Record<SessionState["kind"], string>> = {
    requesting: "request",
    receiving: "receive",
    delivering: "deliver",
    waiting: "wait",
    "handling-error": "handle-error",
    ended: "end",
  }

  it("a step into another state has the work of that state, and no other", () => {
    for (const [name, state] of Object.entries(states)) {
      for (const [eventName, event] of Object.entries(events)) {
        const step = transition(state, event, env)
        const work = step.effects.map(({ kind }) => kind).filter((kind) => works.includes(kind))
        if (nameOf(step.state) === name && step.state.kind !== "receiving" && work.length === 0) {
          continue
        }
        const isSame = step.state.kind === state.kind && work.length === 0
        if (isSame) continue
        const expected = workOf[step.state.kind]
        expect(work, `${name} + ${eventName}`).toEqual(expected === undefined ? [] : [expected])
      }
    }
  })

  it("calls the caller's code after everything else: it can cancel the session", () => {
    for (const state of Object.values(states)) {
      for (const event of Object.values(events)) {
        const kinds = transition(state, event, env).effects.map(({ kind }) => kind)
        const callsBack = (kind: string) => kind === "notify"
        const first = kinds.findIndex(callsBack)
        if (first !== -1) expect(kinds.slice(first).every(callsBack)).toBe(true)
      }
    }
  })

  it("requests the next catch-up page ahead as soon as the headers name it, unless hidden or at the tail", () => {
    const step = transition(requesting("catch-up"), events["page forward"], env)
    expect(effectOf(step, "read-ahead")).toMatchObject({ transport: "catch-up", offset: "there" })
    const hidden = requesting("catch-up", { hidden: true })
    expect(effectOf(transition(hidden, events["page forward"], env), "read-ahead")).toBeUndefined()
    const atTail = { ...events["page forward"], end: { ...forward, upToDate: true } }
    expect(effectOf(transition(requesting("catch-up"), atTail, env), "read-ahead")).toBeUndefined()
  })

  it("requests the next long-poll ahead while the callback runs, with the cursor", () => {
    const page = transition(requesting("long-poll"), events["page forward"], env)
    expect(effectOf(page, "read-ahead")).toBeUndefined()
    const step = transition(page.state, events.committed, env)
    expect(effectOf(step, "read-ahead")).toMatchObject({
      transport: "long-poll",
      offset: "there",
      cursor: "c2",
    })
  })

  it.each<[string, SessionState, { empty?: boolean; end?: PageMark }]>([
    ["an empty page", delivering("long-poll"), { empty: true }],
    ["the last page", delivering("long-poll", closing), { end: closing }],
    ["a hidden session", delivering("long-poll", forward, { hidden: true }), {}],
    ["a read to the tail", delivering("long-poll", forward, { live: { kind: "none" } }), {}],
    ["SSE", delivering("sse"), {}],
  ])("requests nothing ahead behind %s", (_what, state, changes) => {
    const step = transition(state, { ...events.committed, ...changes }, env)
    expect(effectOf(step, "read-ahead")).toBeUndefined()
  })
})

describe("what a page leads to", () => {
  const catchUp = requesting("catch-up")

  it("delivers news without movement: the tail is reached, or the end", () => {
    const before = requesting("catch-up", { upToDate: false })
    const atTail = transition(before, events["page still at the tail"], env)
    expect(nameOf(atTail.state)).toBe("delivering catch-up")
    // The content at an offset where the session is was delivered before.
    expect(effectOf(atTail, "deliver")).toMatchObject({ hasContent: false, visible: false })
    const closed = { ...stillAtTail, streamClosed: true }
    const atEnd = transition(catchUp, { kind: "page", end: closed, elapsedMs: 1 }, env).state
    expect(nameOf(atEnd)).toBe("delivering catch-up")
  })

  it("keeps the cursor until a page brings another", () => {
    const first = transition(catchUp, events["page forward"], env).state
    expect(first.context.cursor).toBe("c2")
    const end = { ...forward, offset: "further", cursor: undefined }
    const next = deliver(first).state
    const second = transition(next, { kind: "page", end, elapsedMs: 1 }, env).state
    expect(second.context.cursor).toBe("c2")
  })

  it("knows how distant the server is by its fastest catch-up response", () => {
    let roundTripMs = Infinity
    for (const [elapsedMs, expected] of [
      [300, 300],
      [90, 90],
      [200, 90],
    ] as const) {
      const event = { kind: "page", end: forward, elapsedMs } as const
      const { context } = transition(requesting("catch-up", { roundTripMs }), event, env).state
      expect(context.roundTripMs).toBe(expected)
      roundTripMs = context.roundTripMs
    }
    const poll = requesting("long-poll", { roundTripMs: 90 })
    expect(transition(poll, events["page forward"], env).state.context.roundTripMs).toBe(90)
  })

  it.each([
    [10, MIN_HELD_MS - 1, true],
    [10, MIN_HELD_MS, false],
    [100, 199, true],
    [100, 200, false],
    [10_000, MAX_HELD_MS - 1, true],
    [10_000, MAX_HELD_MS, false],
  ])(
    "%i ms away, a long-poll with a response after %i ms: at once is %s",
    (trip, elapsedMs, hasty) => {
      const retries = { ...NO_RETRIES, noProgress: 3 }
      const before = requesting("long-poll", { roundTripMs: trip, retries })
      const after = transition(before, { kind: "page", end: stillAtTail, elapsedMs }, env).state
      expect(after.context.retries.noProgress).toBe(hasty ? 4 : 3)
    },
  )

  it.each([
    [60, "waiting", 340],
    [399, "waiting", 1],
    [400, "requesting", 0],
    [30_000, "requesting", 0],
  ])("an empty long-poll that was held for %i ms is followed by %s (%s)", (elapsedMs, kind, ms) => {
    const page = { kind: "page", end: stillAtTail, elapsedMs } as const
    const still = transition(requesting("long-poll", { roundTripMs: 10 }), page, env)
    const moved = deliver(
      {
        ...delivering("long-poll", { ...forward, upToDate: true }, { roundTripMs: 10 }),
        elapsedMs,
      },
      { empty: true },
    )
    for (const step of [still, moved]) {
      expect(nameOf(step.state)).toBe(`${kind} long-poll`)
      expect(delayOf(step)).toBe(ms)
    }
  })

  it.each([
    [30, 370],
    [399, 1],
  ])(
    "spaces long-polls that the client gave up after %i ms, and blames nobody",
    (elapsedMs, ms) => {
      const step = transition(requesting("long-poll"), { kind: "poll-timed-out", elapsedMs }, env)
      expect(delayOf(step)).toBe(ms)
      expect(step.state.context.retries.noProgress).toBe(0)
    },
  )

  it("does not deliver a page that leads back to where the session was: A, B, A with data", () => {
    for (const transport of ["catch-up", "long-poll", "sse"] as const) {
      let { context } = initialState("A", "sse")
      for (const offset of ["B", "A"]) {
        const before = requesting(transport, { ...context, transport, started: true })
        const page = { kind: "page", end: { ...still, offset }, elapsedMs: 1000 } as const
        const state = transition(before, page, env).state
        expect(nameOf(state)).toBe(`${offset === "B" ? "delivering" : "waiting"} ${transport}`)
        context = deliver(state).state.context
        if (offset === "A") context = state.context
      }
      expect(context).toMatchObject({ offset: "B", retries: { noProgress: 1 } })
    }
  })

  it.each([2, 3, 7, 100, 3000])(
    "notices a circle of %i pages in constant space, in the third round at the latest",
    (pages) => {
      let state: SessionState = requesting("catch-up", initialState("0", "none").context)
      let given = 0
      while (state.kind === "requesting" && given < 10_000) {
        const end = { ...still, offset: `page ${given % pages}` }
        state = transition(state, { kind: "page", end, elapsedMs: 5 }, env).state
        if (state.kind !== "delivering") break
        given++
        state = deliver(state).state
      }
      expect(state).toMatchObject({ kind: "waiting", context: { retries: { noProgress: 1 } } })
      expect(given).toBeLessThanOrEqual(3 * pages)
      expect(Object.keys(state.context.visited)).toHaveLength(4)
    },
  )

  it("a long-poll that was held resets what came before it", () => {
    const retries = { ...NO_RETRIES, noProgress: 5, transferErrors: 2, malformed: 1, handler: 1 }
    const after = transition(
      requesting("long-poll", { retries }),
      events["page still at the tail"],
      env,
    ).state
    expect(after.context.retries).toEqual(NO_RETRIES)
  })
})

describe("the first response", () => {
  const page = (offset: string, elapsedMs = 5): SessionEvent => ({
    kind: "page",
    end: { ...stillAtTail, offset },
    elapsedMs,
  })

  it("to now names the tail: a body that breaks skips nothing", () => {
    const step = transition(initialState("now", "sse"), page("tail"), env)
    expect(step.state.context.offset).toBe("tail")
    expect(effectOf(step, "deliver")).toMatchObject({ start: "now", visible: true })
    const again = transition(step.state, events["transfer failed: suspended"], env)
    expect(effectOf(again, "request")).toMatchObject({ transport: "catch-up", offset: "tail" })
  })

  it("that does not move is visible at once, one that moves is not", () => {
    const unmoved = transition(initialState("here", "sse"), page("here"), env)
    expect(effectOf(unmoved, "deliver")).toMatchObject({ hasContent: true, visible: true })
    const moved = transition(initialState("here", "sse"), page("there"), env)
    expect(effectOf(moved, "deliver")).toMatchObject({ hasContent: true, visible: false })
  })

  it("to a stored offset that is empty, up to date and ends elsewhere is a mismatch, reported once", () => {
    const first = transition(initialState("here", "long-poll"), page("er0"), env).state
    const committed = { ...events.committed, end: endOf(first), empty: true }
    const step = transition(first, committed, env)
    expect(reportsOf(step)).toEqual([
      { kind: "offset-mismatch", offset: "here", nextOffset: "er0" },
    ])
    expect(reportsOf(transition(step.state, committed, env))).toEqual([])
  })

  it("to an offset that the stream does not know leads anywhere: the stream may grow to that offset later", () => {
    const first = transition(initialState("er8", "long-poll"), page("er3"), env).state
    const clamped = { ...endOf(first), offset: "er8" }
    const atTail = deliver(first, { empty: true, bytes: 0, end: clamped }).state
    expect(atTail).toMatchObject({ kind: "requesting", context: { offset: "er8" } })
    const back = transition(atTail, page("er7", 900), env).state
    const next = transition(deliver(back).state, page("er8", 900), env)
    expect(next.state).toMatchObject({ kind: "delivering", context: { offset: "er7" } })
    // Once: a server that goes on like this is a loop.
    const again = transition(deliver(next.state).state, page("er7", 900), env)
    expect(again.state).toMatchObject({ kind: "waiting", context: { retries: { noProgress: 1 } } })
  })

  it.each([
    ["the start", "-1", "er0", true],
    ["now", "now", "er0", true],
    ["a stored offset with content behind it", "here", "er0", false],
    ["the tail", "here", "here", true],
  ])("to %s is none", (_what, start, offset, empty) => {
    const first = transition(initialState(start, "long-poll"), page(offset), env).state
    const step = transition(first, { ...events.committed, end: endOf(first), empty }, env)
    expect(reportsOf(step)).toEqual([])
  })
})

describe("a page whose transfer was aborted because the network changed", () => {
  it("is requested again at once, whatever failed before, and the failure does not count", () => {
    const retries = { ...NO_RETRIES, transferErrors: 20 }
    const state = delivering("catch-up", forward, { retries })
    const changed = transition(state, events["network-changed"], env).state
    const step = transition(changed, events["transfer failed: network"], env)
    expect(effectOf(step, "request")).toMatchObject({ offset: "here" })
    expect(step.state.context.retries).toEqual(retries)
  })
})

describe("what a delivery leads to", () => {
  it.each<[PageMark, Transport, Live["kind"], string]>([
    [closing, "catch-up", "sse", "ended"],
    [closing, "long-poll", "long-poll", "ended"],
    [closing, "sse", "sse", "ended"],
    [{ ...forward, upToDate: true }, "catch-up", "none", "ended"],
    [{ ...forward, upToDate: true }, "catch-up", "sse", "requesting sse"],
    [{ ...forward, upToDate: true }, "catch-up", "long-poll", "requesting long-poll"],
    [{ ...forward, upToDate: true }, "long-poll", "long-poll", "requesting long-poll"],
    [forward, "catch-up", "none", "requesting catch-up"],
  ])("%j by %s, then %s: %s", (end, transport, kind, expected) => {
    const live: Live = kind === "sse" ? { kind, failures: 0 } : { kind }
    const after = deliver(delivering(transport, end, { live })).state
    expect(nameOf(after)).toBe(expected)
    expect(after.context).toMatchObject({ offset: "there", upToDate: end.upToDate })
  })

  it("moves nothing before the consumer proceeds", () => {
    const committed = transition(delivering("sse"), events.committed, env).state
    expect(committed.context.offset).toBe("here")
    expect(transition(delivering("sse"), events.proceed, env).state.kind).toBe("delivering")
  })

  it("distinguishes the end of the stream from having caught up", () => {
    const eof = deliver(delivering("catch-up", closing)).state
    expect(eof).toMatchObject({ outcome: { kind: "eof" } })
    const tail = { ...forward, upToDate: true }
    const caughtUp = deliver(delivering("catch-up", tail, { live: { kind: "none" } })).state
    expect(caughtUp).toMatchObject({ outcome: { kind: "up-to-date" } })
  })

  it("content resets what came before it, an empty page does not", () => {
    const retries = { ...NO_RETRIES, noProgress: 3, transferErrors: 2, handler: 1 }
    const worn = delivering("catch-up", forward, { retries })
    expect(deliver(worn).state.context.retries).toEqual(NO_RETRIES)
    const { context } = deliver(worn, { empty: true }).state
    expect(context.retries).toMatchObject({ noProgress: 4, transferErrors: 2, handler: 1 })
  })

  it("moves to the clamped end", () => {
    for (const transport of ["catch-up", "long-poll", "sse"] as const) {
      const older = delivering(transport, { ...stillAtTail, offset: "back" })
      const after = deliver(older, { empty: true, end: stillAtTail }).state
      expect(after.context.offset).toBe("here")
    }
  })

  it("counts delivered bytes down by what the page held", () => {
    const before = delivering("catch-up", forward, { deliveredBytes: 10 })
    expect(deliver(before).state.context.deliveredBytes).toBe(3)
    const beyond = delivering("catch-up", forward, { deliveredBytes: 4 })
    expect(deliver(beyond).state.context.deliveredBytes).toBe(0)
  })

  it("pauses instead of the next request, and drops an SSE connection for it", () => {
    for (const transport of ["catch-up", "long-poll", "sse"] as const) {
      const step = deliver(delivering(transport, forward, { hidden: true }))
      expect(step.state.kind).toBe("paused")
      expect(effectOf(step, "release")).toBeDefined()
    }
  })
})

describe("what a failed transfer leads to", () => {
  it("continues behind the bytes that were delivered, as far as any attempt got", () => {
    let deliveredBytes = 0
    for (const [bytes, expected] of [
      [5, 5],
      [3, 5],
      [8, 8],
    ] as const) {
      const event = { ...failed("network"), deliveredBytes: bytes }
      const { context } = transition(
        delivering("catch-up", forward, { deliveredBytes }),
        event,
        env,
      ).state
      expect(context.deliveredBytes).toBe(expected)
      deliveredBytes = context.deliveredBytes
    }
  })

  it("counts failures in a row, anew if more was delivered", () => {
    const retries = { ...NO_RETRIES, transferErrors: 6 }
    const before = delivering("catch-up", forward, { retries, deliveredBytes: 5 })
    const count = (event: SessionEvent) =>
      transition(before, event, env).state.context.retries.transferErrors
    expect(count(failed("network"))).toBe(7)
    expect(count({ ...failed("network"), deliveredBytes: 6 })).toBe(1)
  })

  it("lets the handler decide after the last retry", () => {
    const impatient = { ...env, backoff: resolveBackoff({ maxRetries: 2 }) }
    const after = (transferErrors: number) => {
      const retries = { ...NO_RETRIES, transferErrors }
      return transition(delivering("catch-up", forward, { retries }), failed("network"), impatient)
    }
    expect(after(1).state.kind).toBe("waiting")
    expect(nameOf(after(2).state)).toBe("handling-error catch-up")
    expect(effectOf(after(2), "handle-error")).toEqual({ kind: "handle-error", error })
  })

  const fails = (times: number, event: SessionEvent, before: SessionContext = here) => {
    let state: SessionState = { ...delivering("catch-up"), context: before }
    for (let time = 0; time < times; time++) {
      state = transition({ ...delivering("catch-up"), context: state.context }, event, env).state
    }
    return state
  }

  it("surfaces malformed pages soon, however patient the retries are", () => {
    expect(fails(MAX_MALFORMED, failed("malformed")).kind).toBe("waiting")
    expect(fails(MAX_MALFORMED + 1, failed("malformed")).kind).toBe("handling-error")
  })

  it("surfaces a failure that repeats in the same way without progress", () => {
    const same = failed("network", "not implemented at 0")
    expect(fails(MAX_IDENTICAL, same).kind).toBe("waiting")
    expect(fails(MAX_IDENTICAL + 1, same).kind).toBe("handling-error")
    const interrupted = fails(1, failed("network", "another"), fails(MAX_IDENTICAL, same).context)
    expect(fails(MAX_IDENTICAL, same, interrupted.context).kind).toBe("waiting")
    const lost = fails(1, failed("timeout"), fails(MAX_IDENTICAL, same).context)
    expect(fails(1, same, lost.context).kind).toBe("handling-error")
  })

  it("a day of bad network does not use up the patience for malformed pages", () => {
    const day = fails(100, failed("network"))
    expect(day.kind).toBe("waiting")
    expect(fails(1, failed("malformed"), day.context).kind).toBe("waiting")
  })

  it("a suspension counts as no failure", () => {
    const retries = { ...NO_RETRIES, transferErrors: 4 }
    const after = transition(requesting("long-poll", { retries }), failed("suspended"), env).state
    expect(nameOf(after)).toBe("requesting catch-up")
    expect(after.context.retries).toEqual(retries)
  })
})

describe("what no progress leads to", () => {
  it.each([
    ["catch-up", MAX_STALLS, "page still", /same pages again and again.*stuck cache/],
    ["long-poll", MAX_LIVE_STALLS, "page still, at once", /at once with nothing/],
  ] as const)("%s: waits %i times, then says so", (transport, limit, event, words) => {
    let state: SessionState = requesting(transport)
    for (let times = 1; times <= limit; times++) {
      state = transition(state, events[event], env).state
      expect(state).toMatchObject({ kind: "waiting", context: { retries: { noProgress: times } } })
      state = transition(state, events["timer-fired"], env).state
    }
    const step = transition(state, events[event], env)
    expect(step.state.kind).toBe("handling-error")
    const reason = effectOf(step, "handle-error")?.error as Error & { code: string }
    expect(reason.code).toBe("NO_PROGRESS")
    expect(reason.message).toMatch(words)
    expect(reason.message).not.toContain("secret")
  })

  it("pages that move and hold nothing wait as those that do not move", () => {
    let state: SessionState = requesting("catch-up")
    for (let page = 1; page <= MAX_STALLS + 1; page++) {
      const end = { ...forward, offset: `page ${page}` }
      state = transition(state, { kind: "page", end, elapsedMs: 1000 }, env).state
      state = deliver(state, { empty: true }).state
      expect(state.kind).toBe(page <= MAX_STALLS ? "waiting" : "handling-error")
      state = transition(state, events["timer-fired"], env).state
    }
  })
})

describe("what the error handler's decision leads to", () => {
  const handling = (transport: Transport, handler = 0): SessionState => ({
    kind: "handling-error",
    next: transport,
    context: contextOf(transport, { retries: { ...NO_RETRIES, handler } }),
  })

  it("tries at once the first time and waits ever longer after that", () => {
    const delays = [0, 1, 2, 3, 4].map((handler) => {
      const step = transition(handling("long-poll", handler), events["error-handled: retry"], env)
      expect(step.state.context.retries.handler).toBe(handler + 1)
      return delayOf(step)
    })
    expect(delays[0]).toBe(0)
    expect(delays.slice(1)).toEqual([50, 65, 84.5, 109.85].map((ms) => expect.closeTo(ms)))
  })

  it("waits no less than the server asked for, also the first time", () => {
    const event = { ...events["error-handled: retry"], retryAfterMs: 2000 }
    for (const handler of [0, 1, 3]) {
      expect(delayOf(transition(handling("catch-up", handler), event, env))).toBe(2000)
    }
  })

  it("retries at once after content, unless the last retry was a moment ago", () => {
    const delays = [0, 100, 400, 60_000].map((sinceLastMs) => {
      const event = { ...events["error-handled: retry"], sinceLastMs }
      return delayOf(transition(handling("catch-up"), event, env))
    })
    expect(delays).toEqual([400, 300, 0, 0])
  })

  it("ends with the error that the handler left it at", () => {
    const after = transition(handling("sse"), events.fail, env).state
    expect(after).toMatchObject({ kind: "ended", outcome: { kind: "failed", error } })
  })

  it("continues from an offset that the handler chose, and says so with the next page", () => {
    const step = transition(handling("sse"), events["error-handled: elsewhere"], env)
    expect(effectOf(step, "request")).toMatchObject({
      transport: "catch-up",
      offset: "-1",
      cursor: undefined,
    })
    const page = transition(step.state, events["page forward"], env)
    expect(effectOf(page, "deliver")).toMatchObject({ start: "-1", restarted: true })
    const next = transition(deliver(page.state).state, events["page closing"], env)
    expect(next.state.context.restarted).toBe(false)
  })
})

describe("what the end of an SSE connection leads to", () => {
  it("malformed events in a delivery are the connection's failure", () => {
    let context = contextOf("sse")
    for (let failures = 1; failures <= 2; failures++) {
      const after = transition({ ...delivering("sse"), context }, failed("malformed"), env).state
      expect(nameOf(after)).toBe("waiting sse")
      expect(after.context.live).toEqual({ kind: "sse", failures })
      context = after.context
    }
    const step = transition({ ...delivering("sse"), context }, failed("malformed"), env)
    expect(reportsOf(step)).toEqual([
      { kind: "transport", from: "sse", to: "long-poll", reason: "malformed" },
    ])
    expect(nameOf(step.state)).toBe("requesting long-poll")
  })

  it("long-poll replaces it for good, and the step says why", () => {
    const step = transition(states.receiving, events["sse-closed unsupported"], env)
    expect(reportsOf(step)).toEqual([
      { kind: "transport", from: "sse", to: "long-poll", reason: "unsupported" },
    ])
    expect(step.state.context.live).toEqual({ kind: "long-poll" })
    const paused = transition(step.state, events.hidden, env).state
    const resumed = transition(paused, events.visible, env).state
    const caughtUp = transition(resumed, events["page still at the tail"], env).state
    expect(nameOf(caughtUp)).toBe("requesting long-poll")
  })

  it("text that SSE cannot carry leads to long-poll for good, with one request", () => {
    const ending = { ...healthy, kind: "lossy-text" } as const
    const step = transition(states.receiving, { kind: "sse-closed", ending }, env)
    expect(effectOf(step, "request")).toMatchObject({ transport: "long-poll", offset: "here" })
    expect(step.state.context.live).toEqual({ kind: "long-poll" })
    const seen = transition(delivering("catch-up"), events["live-changed: long-poll"], env)
    expect(seen.state.context.live).toEqual({ kind: "long-poll" })
    expect(seen.effects).toEqual([])
    // A read to the tail stays one.
    const finite = delivering("catch-up", forward, { live: { kind: "none" } })
    expect(transition(finite, events["live-changed: long-poll"], env).state).toBe(finite)
  })

  it("a read to the tail does not go back to it", () => {
    const context = contextOf("sse", { live: { kind: "none" } })
    for (const name of ["sse-closed healthy", "sse-closed unsupported"] as const) {
      const { state } = transition({ kind: "receiving", context }, events[name], env)
      expect(nameOf(state)).toBe("requesting catch-up")
    }
  })
})
