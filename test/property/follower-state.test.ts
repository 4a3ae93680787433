import fc from "fast-check"
import { describe, expect, it } from "vitest"
import {
  RESPONSE_MS,
  ASK_GAP_MS,
  followerTransition,
  initialFollower,
  READ_GAP_MS,
  wakeAtMs,
  type FollowerEffect,
  type FollowerEvent,
  type FollowerState,
  type FollowerStep,
} from "../../src/tabs/follower-state.ts"
import type { FeedName, SharedPage } from "../../src/tabs/wire.ts"

const offsets = fc.constantFrom("a", "b", "c", "d", "e")
const feeds: fc.Arbitrary<FeedName> = fc.constantFrom<FeedName>(
  { holder: "x", feed: "x1", reason: "first" },
  { holder: "x", feed: "x2", reason: "successor" },
  { holder: "y", feed: "y1", reason: "silent-holder" },
)

const pages: fc.Arbitrary<SharedPage> = fc
  .record({ start: offsets, end: offsets, isAnnounced: fc.nat(4), closed: fc.nat(9) })
  .map(({ start, end, isAnnounced, closed }) => ({
    start,
    end: { offset: end, cursor: undefined, upToDate: true, streamClosed: closed === 0 },
    ...(isAnnounced > 0 && { content: ["[1]"] }),
  }))

/** What a driver and the others do, in any order. */
const anyEvent: fc.Arbitrary<FollowerEvent> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant("page"), feed: feeds, page: pages }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("offset"),
      feed: feeds,
      offset: offsets,
      isHidden: fc.boolean(),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("next"),
      offset: offsets,
      isMidPage: fc.nat(9).map((draw) => draw === 0),
      restarted: fc.nat(9).map((draw) => draw === 0),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.constantFrom<FollowerEvent>({ kind: "caught-up" }, { kind: "taken" }),
  },
  {
    weight: 4,
    arbitrary: fc.constantFrom<FollowerEvent>(
      { kind: "granted" },
      { kind: "lost" },
      { kind: "requested" },
      { kind: "feed-failed" },
      { kind: "hidden" },
      { kind: "visible" },
      { kind: "departing" },
      { kind: "restored" },
    ),
  },
  {
    weight: 1,
    arbitrary: fc.oneof(
      fc.record({ kind: fc.constant("left"), feed: feeds }),
      fc.record({ kind: fc.constant("rejected"), offset: offsets }),
      fc.constant<FollowerEvent>({ kind: "denied" }),
    ),
  },
  { weight: 8, arbitrary: fc.constant<FollowerEvent>({ kind: "timer" }) },
)

interface Timed {
  /** How long after the event before; "due" is when the state wants to be woken. */
  readonly waitMs: number | "due"
  readonly event: FollowerEvent
}

const schedules = fc.record({
  pauses: fc.boolean(),
  random: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
  list: fc.array(
    fc.record({
      waitMs: fc.constantFrom<Timed["waitMs"]>(0, 1, 100, 700, 1_500, "due"),
      event: anyEvent,
    }),
    { maxLength: 60, size: "max" },
  ),
})

interface Watched {
  readonly before: FollowerState
  readonly event: FollowerEvent
  readonly step: FollowerStep
  readonly nowMs: number
  readonly pauses: boolean
}

/** Whatever happens in whatever order, every step is watched. */
function always(makeWatch: () => (watched: Watched) => void): void {
  fc.assert(
    fc.property(schedules, ({ pauses, random, list }) => {
      const watch = makeWatch()
      let nowMs = 10_000
      let before = initialFollower("a", nowMs)
      for (const { waitMs, event } of list) {
        const dueMs = wakeAtMs(before, pauses)
        const isDue = waitMs === "due" && dueMs < Infinity
        nowMs = isDue ? Math.max(nowMs, dueMs) : nowMs + (waitMs === "due" ? 0 : waitMs)
        const given = isDue ? ({ kind: "timer" } as const) : event
        // The lock is granted to those that wait for it, and taken from the one that has it.
        if (given.kind === "granted" && before.context.seat !== "queued") continue
        if (given.kind === "lost" && before.context.seat !== "holder") continue
        // What the consumer rejects is a page that it was given.
        const isBusy = before.kind === "following" && !before.context.isWaiting
        if (given.kind === "rejected" && !isBusy) continue
        const step = followerTransition(before, given, { nowMs, random, pauses })
        watch({ before, event: given, step, nowMs, pauses })
        before = step.state
      }
    }),
    { numRuns: 500 },
  )
}

const of = <K extends FollowerEffect["kind"]>(step: FollowerStep, kind: K) =>
  step.effects.filter(
    (effect): effect is Extract<FollowerEffect, { kind: K }> => effect.kind === kind,
  )

describe("the state machine of a follower", { timeout: 60_000 }, () => {
  it("1. delivers a page only if it starts where the consumer is", () => {
    always(() => {
      let position = "a"
      return ({ event, step }) => {
        if (event.kind === "next" || event.kind === "rejected") position = event.offset
        for (const { page } of of(step, "deliver")) {
          expect(page.start).toBe(position)
          expect(page.content).toBeDefined()
          position = page.end.offset
        }
        expect(of(step, "deliver").length).toBeLessThanOrEqual(1)
      }
    })
  })

  it("1. delivers nothing of a connection to the stream before it was created again", () => {
    always(() => {
      let barred: string | undefined
      let heard: string | undefined
      return ({ before, event, step }) => {
        if (event.kind === "next" && event.restarted) barred = heard
        const isHeard = event.kind === "page" || event.kind === "offset"
        if (isHeard && before.context.isJoined) heard = event.feed.feed
        if (event.kind !== "page" || event.feed.feed !== barred) return
        expect(of(step, "deliver")).toEqual([])
      }
    })
  })

  it("2. holds one page at most, and none while an inner session reads", () => {
    always(() => {
      let isReading = true
      return ({ before, event, step }) => {
        if (before.kind === "reading" && event.kind === "caught-up") isReading = false
        for (const effect of step.effects) {
          if (effect.kind === "drop-read") isReading = false
          if (effect.kind === "deliver") expect(isReading).toBe(false)
          if (effect.kind === "read") {
            expect(isReading).toBe(false)
            isReading = true
          }
        }
        const { state } = step
        if (state.kind === "following") isReading = false
        expect(isReading).toBe(state.kind === "reading" || state.kind === "alone")
        if (state.kind === "following" && state.held) expect(state.context.isWaiting).toBe(false)
      }
    })
  })

  it("2. leaves no inner session of which the caller has a part of a page", () => {
    always(() => ({ step }) => {
      if (of(step, "drop-read").length === 0) return
      expect(step.state.context.isMidPage).toBe(false)
    })
  })

  it("3. begins inner sessions a second apart", () => {
    always(() => {
      let lastMs = -Infinity
      return ({ step, nowMs }) => {
        if (of(step, "read").length > 0) {
          expect(nowMs - lastMs).toBeGreaterThanOrEqual(READ_GAP_MS)
          lastMs = nowMs
        }
      }
    })
  })

  it("4. asks four times a second at most", () => {
    always(() => {
      let lastMs = -Infinity
      return ({ step, nowMs }) => {
        expect(of(step, "want").length).toBeLessThanOrEqual(1)
        if (of(step, "want").length > 0) {
          expect(nowMs - lastMs).toBeGreaterThanOrEqual(ASK_GAP_MS)
          lastMs = nowMs
        }
      }
    })
  })

  it("5. begins nothing and queues for nothing while hidden, if it pauses", () => {
    always(() => ({ step, pauses }) => {
      const { isHidden } = step.state.context
      if (!pauses || !isHidden) return
      expect(of(step, "read")).toEqual([])
      expect(of(step, "queue")).toEqual([])
      expect(step.state.context.seat).not.toBe("queued")
    })
  })

  it("6. takes the lock only while visible, after an ask that nobody answered for a second", () => {
    always(() => {
      let askedMs = Infinity
      return ({ event, step, nowMs }) => {
        const isHeard = event.kind === "page" || event.kind === "offset" || event.kind === "left"
        if (isHeard) askedMs = Infinity
        if (of(step, "steal").length > 0) {
          expect(step.state.context.isHidden).toBe(false)
          expect(nowMs - askedMs).toBeGreaterThanOrEqual(RESPONSE_MS)
        }
        if (of(step, "want").length > 0) askedMs = Math.min(askedMs, nowMs)
      }
    })
  })

  it("7. holds, queues for and posts nothing while its page is away", () => {
    always(() => ({ before, step }) => {
      const { isAway, seat } = step.state.context
      if (!isAway) return
      expect(["none", "denied"]).toContain(seat)
      if (before.context.isAway) {
        for (const kind of ["want", "queue", "steal", "join", "feed", "announce"] as const) {
          expect(of(step, kind)).toEqual([])
        }
      } else if (before.context.seat === "holder" || before.context.seat === "queued") {
        expect(of(step, "stand-up")).toHaveLength(1)
      }
    })
  })

  it("8. has a deadline while its consumer waits and the holder is elsewhere", () => {
    always(() => ({ step, pauses }) => {
      const { state } = step
      const { context } = state
      if (state.kind !== "following" || !context.isWaiting) return
      if (context.isHidden && pauses) return
      const isAligned = context.tail === context.offset && !state.mustRead
      const isSilent = context.tail === undefined || state.ask.kind === "none"
      if (isAligned || isSilent) return
      expect(wakeAtMs(state, pauses)).toBeLessThan(Infinity)
    })
  })

  it("8. is never woken at once again by its own timer", () => {
    always(() => ({ event, step, nowMs, pauses }) => {
      if (event.kind === "timer") expect(wakeAtMs(step.state, pauses)).toBeGreaterThan(nowMs)
    })
  })

  it("9. does nothing after its end", () => {
    always(() => ({ before, step }) => {
      const env = { nowMs: 99_999, random: 0, pauses: false }
      const ended = followerTransition(before, { kind: "end" }, env).state
      expect(followerTransition(ended, { kind: "granted" }, env).effects).toEqual([])
      expect(wakeAtMs(ended, false)).toBe(Infinity)
      expect(step.state.kind).not.toBe("ended")
    })
  })

  it("releases the lock of a hidden page if a visible one asks, and of no other", () => {
    always(() => ({ before, event, step }) => {
      if (event.kind !== "requested") return
      const isReleased = before.context.seat === "holder" && before.context.isHidden
      expect(of(step, "stand-up")).toHaveLength(isReleased ? 1 : 0)
    })
  })
})
