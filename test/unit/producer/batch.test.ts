import { describe, expect, it } from "vitest"
import { FetchError } from "../../../src/index.ts"
import {
  nextBatchState,
  type BatchEvent,
  type BatchState,
  type EarlierAttempts,
} from "../../../src/producer/batch.ts"
import type { FinalOutcome } from "../../../src/producer/outcome.ts"

const number = { epoch: 7, seq: 3 }
const first = { number, sendOrder: 4, firstSentAtMs: 1000, failureCount: 0 }
const outcome: FinalOutcome = {
  kind: "rejected",
  error: new FetchError(400, undefined, undefined, {}, "http://x"),
  effect: "none",
}
const unknownOutcome: FinalOutcome = { kind: "failed", error: new Error(), effect: "unknown" }

const queued: BatchState = { kind: "queued" }
const acknowledged: BatchState = { kind: "acknowledged" }
const indeterminate: BatchState = { kind: "indeterminate" }
const inFlight = (earlier: EarlierAttempts, sent = first): BatchState => ({
  kind: "in-flight",
  ...sent,
  earlier,
})
const retrying = (earlier: EarlierAttempts, failureCount = 0): BatchState => ({
  kind: "retrying",
  ...first,
  earlier,
  failureCount,
})
const rejected = (earlier: EarlierAttempts, by: FinalOutcome = outcome): BatchState => ({
  kind: "rejected",
  ...first,
  earlier,
  outcome: by,
})

const send: BatchEvent = { kind: "send", number, sendOrder: 4, nowMs: 1000 }
/** Takes neither a number nor a time. */
const sendAgain: BatchEvent = { ...send, number: { epoch: 8, seq: 0 }, sendOrder: 9, nowMs: 2000 }
const again = { ...first, sendOrder: 9 }
const failNone: BatchEvent = { kind: "fail", effect: "none" }
const failUnknown: BatchEvent = { kind: "fail", effect: "unknown" }
const outOfOrder: BatchEvent = { kind: "fail", effect: "out-of-order" }
const acknowledge: BatchEvent = { kind: "acknowledge" }
const reject: BatchEvent = { kind: "reject", outcome }
const rejectUnknown: BatchEvent = { kind: "reject", outcome: unknownOutcome }
const proveNotStored: BatchEvent = { kind: "prove-not-stored" }
const renumber: BatchEvent = { kind: "renumber" }
const abandon: BatchEvent = { kind: "abandon" }
const events = [
  send,
  sendAgain,
  failNone,
  failUnknown,
  outOfOrder,
  acknowledge,
  reject,
  rejectUnknown,
  proveNotStored,
  renumber,
  abandon,
]

/** Every legal cell; all others are illegal. */
const table: [BatchState, [BatchEvent, BatchState][]][] = [
  [
    queued,
    [
      [send, inFlight("none")],
      [
        sendAgain,
        inFlight("none", { ...again, number: { epoch: 8, seq: 0 }, firstSentAtMs: 2000 }),
      ],
      [proveNotStored, queued],
      [renumber, queued],
      [abandon, queued],
    ],
  ],
  [
    inFlight("none"),
    [
      [failNone, retrying("none", 1)],
      [failUnknown, retrying("unknown", 1)],
      [outOfOrder, retrying("out-of-order")],
      [acknowledge, acknowledged],
      [reject, rejected("none")],
      [rejectUnknown, rejected("unknown", unknownOutcome)],
      [abandon, indeterminate],
    ],
  ],
  [
    inFlight("out-of-order"),
    [
      [failNone, retrying("out-of-order", 1)],
      [failUnknown, retrying("unknown", 1)],
      [outOfOrder, retrying("out-of-order")],
      [acknowledge, acknowledged],
      [reject, rejected("out-of-order")],
      [rejectUnknown, rejected("unknown", unknownOutcome)],
      [abandon, indeterminate],
    ],
  ],
  [
    inFlight("unknown"),
    [
      [failNone, retrying("unknown", 1)],
      [failUnknown, retrying("unknown", 1)],
      [outOfOrder, retrying("unknown")],
      [acknowledge, acknowledged],
      [reject, rejected("unknown")],
      [rejectUnknown, rejected("unknown", unknownOutcome)],
      [abandon, indeterminate],
    ],
  ],
  [
    retrying("none"),
    [
      [send, inFlight("none")],
      [sendAgain, inFlight("none", again)],
      [acknowledge, acknowledged],
      [proveNotStored, retrying("none")],
      [renumber, queued],
      [abandon, retrying("none")],
    ],
  ],
  [
    retrying("out-of-order"),
    [
      [send, inFlight("out-of-order")],
      [sendAgain, inFlight("out-of-order", again)],
      [acknowledge, acknowledged],
      [proveNotStored, retrying("none")],
      [renumber, queued],
      [abandon, retrying("out-of-order")],
    ],
  ],
  [
    retrying("unknown"),
    [
      [send, inFlight("unknown")],
      [sendAgain, inFlight("unknown", again)],
      [acknowledge, acknowledged],
      [proveNotStored, retrying("none")],
      [abandon, indeterminate],
    ],
  ],
  [
    rejected("none"),
    [
      [acknowledge, acknowledged],
      [proveNotStored, rejected("none")],
      [renumber, queued],
      [abandon, rejected("none")],
    ],
  ],
  [
    rejected("unknown"),
    [
      [acknowledge, acknowledged],
      [proveNotStored, rejected("none")],
      [abandon, indeterminate],
    ],
  ],
  [acknowledged, []],
  [indeterminate, []],
]

function nameOf(state: BatchState): string {
  return "earlier" in state ? `${state.kind} after ${state.earlier}` : state.kind
}

describe.each(table.map(([state, cells]) => ({ name: nameOf(state), state, cells })))(
  "a batch that is $name",
  ({ state, cells }) => {
    const legal = new Map(cells)

    it.each(cells.map(([event, next]) => ({ event, next, to: nameOf(next) })))(
      "is $to on $event.kind",
      ({ event, next }) => {
        expect(nextBatchState(state, event)).toEqual(next)
      },
    )

    it("has no other event", () => {
      for (const event of events.filter((one) => !legal.has(one))) {
        expect(() => nextBatchState(state, event)).toThrow(TypeError)
      }
    })
  },
)

describe("an indeterminate batch", () => {
  it("never gets another number, whatever happens", () => {
    const reachable = new Set<string>()
    const visit = (state: BatchState): void => {
      const key = JSON.stringify({ ...state, failureCount: undefined })
      if (reachable.has(key)) return
      reachable.add(key)
      for (const event of events.filter(({ kind }) => kind !== "prove-not-stored")) {
        try {
          const next = nextBatchState(state, event)
          expect(next.kind).not.toBe("queued")
          visit(next)
        } catch (error) {
          expect(error).toBeInstanceOf(TypeError)
        }
      }
    }
    visit(retrying("unknown"))
    expect(reachable.size).toBeGreaterThan(3)
  })
})
