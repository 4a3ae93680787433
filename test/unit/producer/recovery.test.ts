import { describe, expect, it } from "vitest"
import { FetchError, SequenceGapError, StaleEpochError } from "../../../src/index.ts"
import type { BatchState, EarlierAttempts } from "../../../src/producer/batch.ts"
import type { FinalOutcome } from "../../../src/producer/outcome.ts"
import {
  countIndeterminate,
  decideRecovery,
  type BatchView,
  type RecoveryContext,
} from "../../../src/producer/recovery.ts"

const httpError = (status: number) => new FetchError(status, undefined, undefined, {}, "http://x")
const none = { effect: "none" } as const
const fenced: FinalOutcome = { kind: "fenced", error: new StaleEpochError(6), ...none }
const foreign: FinalOutcome = {
  kind: "foreign-duplicate",
  error: new StaleEpochError(4),
  effect: "unknown",
}
const forgotten: FinalOutcome = { kind: "gap", error: new SequenceGapError(0, 3), ...none }
const gapBeforeFirst: FinalOutcome = { kind: "gap", error: new SequenceGapError(0, 0), ...none }
const gap: FinalOutcome = { kind: "gap", error: new SequenceGapError(2, 3), ...none }
const rejection: FinalOutcome = { kind: "rejected", error: httpError(400), ...none }
const tooLarge: FinalOutcome = { kind: "rejected", error: httpError(413), ...none }
const wrongType: FinalOutcome = {
  kind: "failed",
  error: new FetchError(409, undefined, undefined, {}, "http://x", undefined, {
    code: "CONTENT_TYPE_MISMATCH",
  }),
  ...none,
}
const missing: FinalOutcome = { kind: "failed", error: httpError(404), ...none }

const sent = { number: { epoch: 4, seq: 3 }, sendOrder: 1, firstSentAtMs: 0, failureCount: 0 }
const view = (state: BatchState, count = 2): BatchView => ({
  state,
  content: { ends: Array.from({ length: count }, (_, index) => index) },
})
const queued = view({ kind: "queued" })
const retrying = (earlier: EarlierAttempts) => view({ kind: "retrying", ...sent, earlier })
const rejected = (outcome: FinalOutcome, earlier: EarlierAttempts = "none", count = 2) =>
  view({ kind: "rejected", ...sent, earlier, outcome }, count)

const claims: RecoveryContext = {
  autoClaim: true,
  epoch: 4,
  isTypeGuessed: false,
  isShared: false,
  stream: "http://x",
}
const guesses: RecoveryContext = { ...claims, isTypeGuessed: true }
const obeys: RecoveryContext = { ...claims, autoClaim: false }
const shares: RecoveryContext = { ...obeys, isShared: true }

describe("decideRecovery", () => {
  it.each<[string, BatchView[], RecoveryContext, string]>([
    ["nothing is wrong any more", [retrying("none"), queued], obeys, "resume"],
    ["one that never succeeds", [queued, rejected(missing)], claims, "fail 404"],
    [
      "one that never succeeds behind a rejection",
      [rejected(rejection), rejected(missing)],
      claims,
      "fail 404",
    ],
    ["fenced without autoClaim", [rejected(fenced)], obeys, "fail 403"],
    ["fenced", [rejected(fenced)], claims, "bump 6"],
    [
      "fenced behind one that is not stored",
      [retrying("none"), rejected(fenced)],
      claims,
      "bump 6",
    ],
    [
      "fenced behind one that was too early",
      [retrying("out-of-order"), rejected(fenced)],
      claims,
      "bump 6",
    ],
    ["fenced and indeterminate", [rejected(fenced, "unknown")], claims, "fail 403"],
    [
      "fenced behind an indeterminate one",
      [retrying("unknown"), rejected(fenced)],
      claims,
      "fail 403",
    ],
    [
      "fenced before an indeterminate one",
      [rejected(fenced), retrying("unknown")],
      claims,
      "bump 6",
    ],
    [
      "fenced before an indeterminate one that another producer's batch may have let in",
      [rejected(fenced), retrying("unknown")],
      { ...shares, autoClaim: true },
      "fail 403",
    ],
    ["another producer's duplicate", [rejected(foreign, "unknown")], claims, "fail 403"],
    ["forgotten without autoClaim", [rejected(forgotten)], obeys, "fail 409"],
    ["forgotten", [rejected(forgotten)], claims, "bump 4"],
    ["forgotten and indeterminate", [rejected(forgotten, "unknown")], claims, "fail 409"],
    ["a gap before the first batch", [rejected(gapBeforeFirst)], claims, "fail 409"],
    ["a gap in the middle", [rejected(gap)], claims, "fail 409"],
    ["rejected", [rejected(rejection), queued], obeys, "split"],
    ["rejected as too large", [rejected(tooLarge)], obeys, "split too large"],
    ["rejected and indeterminate", [rejected(rejection, "unknown")], obeys, "fail 400"],
    [
      "rejected before an indeterminate one",
      [rejected(tooLarge), retrying("unknown")],
      obeys,
      "split too large",
    ],
    [
      "rejected before an indeterminate one that another producer's batch may have let in",
      [rejected(tooLarge), retrying("unknown")],
      shares,
      "fail 413",
    ],
    ["a single message is rejected", [rejected(rejection, "none", 1)], obeys, "drop 400"],
    [
      "a single indeterminate message is rejected",
      [rejected(rejection, "unknown", 1)],
      obeys,
      "fail 400",
    ],
    ["the content type, which is known, is wrong", [rejected(wrongType)], claims, "fail 409"],
    ["the content type, a guess, is wrong", [rejected(wrongType), queued], guesses, "ask-type"],
    ["the content type may be the reason", [rejected(rejection)], guesses, "ask-type"],
    ["the content type is no reason", [rejected(tooLarge)], guesses, "split too large"],
    [
      "the content type is a guess and the batch indeterminate",
      [rejected(wrongType, "unknown")],
      guesses,
      "fail 409",
    ],
    ["the closure is rejected", [rejected(rejection, "none", 0)], obeys, "fail 400"],
  ])("%s: %s", (_name, batches, context, expected) => {
    const recovery = decideRecovery(batches, context)
    const detail =
      recovery.kind === "bump"
        ? recovery.above
        : recovery.kind === "split"
          ? recovery.isTooLarge && "too large"
          : "error" in recovery && (recovery.error as { status?: number }).status
    expect(`${recovery.kind} ${detail || ""}`.trim()).toBe(expected)
  })

  it("never bumps to an epoch below the current one", () => {
    const older: FinalOutcome = { kind: "fenced", error: new StaleEpochError(1), effect: "none" }
    expect(decideRecovery([rejected(older)], claims)).toMatchObject({ kind: "bump", above: 4 })
  })
})

describe("countIndeterminate counts the messages", () => {
  const pending = view({ kind: "in-flight", ...sent, earlier: "none" })
  it.each<[string, BatchView[], number]>([
    ["nothing is left", [], 0],
    ["nothing was sent", [queued, queued], 0],
    ["the first is certainly not stored", [rejected(missing), retrying("unknown")], 0],
    [
      "the first ones are indeterminate",
      [rejected(missing, "unknown"), retrying("unknown"), queued],
      2,
    ],
    ["a request is pending", [pending, queued], 1],
    ["the first was too early before it failed", [rejected(missing, "out-of-order"), queued], 1],
    ["the first was too early and is fenced now", [rejected(fenced, "out-of-order"), queued], 0],
    ["one was too early", [retrying("unknown"), retrying("out-of-order"), queued], 2],
    ["abandoned", [view({ kind: "indeterminate" }), queued], 1],
  ])("%s", (_name, batches, expectedBatches) => {
    expect(countIndeterminate(batches)).toBe(2 * expectedBatches)
  })

  it("up to the last one that may be stored if another producer can have the same epoch", () => {
    const batches = [retrying("none"), retrying("unknown"), queued]
    expect([countIndeterminate(batches), countIndeterminate(batches, true)]).toEqual([0, 4])
  })
})
