import { describe, expect, it } from "vitest"
import { FetchError, SequenceGapError, StaleEpochError } from "../../../src/index.ts"
import { countIndeterminate, decideRecovery, type Fate } from "../../../src/producer/recovery.ts"
import type { Verdict } from "../../../src/producer/verdict.ts"

const httpError = (status: number) => new FetchError(status, undefined, undefined, {}, "http://x")
const fenced: Verdict = { kind: "fenced", error: new StaleEpochError(6) }
const forgotten: Verdict = { kind: "gap", error: new SequenceGapError(0, 3) }
const gap: Verdict = { kind: "gap", error: new SequenceGapError(2, 3) }
const refused: Verdict = { kind: "refused", error: httpError(400) }
const tooLarge: Verdict = { kind: "refused", error: httpError(413) }
const fatal: Verdict = { kind: "fatal", error: httpError(404) }
const usedUp: Verdict = { kind: "transient", error: httpError(503), retryAfterMs: 0 }

function fate(verdict?: Verdict, more: Partial<Fate> = {}): Fate {
  return { verdict, inDoubt: false, wasEarly: false, seq: 3, messageCount: 2, ...more }
}

const claims = { autoClaim: true, epoch: 4, stream: "http://x" }
const obeys = { ...claims, autoClaim: false }

describe("decideRecovery", () => {
  const cases: [string, Fate[], typeof claims, string][] = [
    ["nothing is wrong any more", [fate(), fate()], obeys, "resume"],
    ["what never succeeds", [fate(), fate(fatal)], claims, "fail 404"],
    ["retries that are used up", [fate(usedUp)], claims, "fail 503"],
    [
      "what never succeeds, and a refusal before it",
      [fate(refused), fate(fatal)],
      claims,
      "fail 404",
    ],
    ["fenced", [fate(fenced)], obeys, "fail 403"],
    ["fenced, and claims", [fate(fenced)], claims, "claim 6"],
    [
      "fenced behind a batch that is known not to be stored",
      [fate(), fate(fenced)],
      claims,
      "claim 6",
    ],
    ["fenced in doubt", [fate(fenced, { inDoubt: true })], claims, "fail 403"],
    [
      "fenced behind a doubt",
      [fate(undefined, { inDoubt: true }), fate(fenced)],
      claims,
      "fail 403",
    ],
    [
      "fenced, with a doubt behind it",
      [fate(fenced), fate(undefined, { inDoubt: true })],
      claims,
      "claim 6",
    ],
    ["forgotten", [fate(forgotten)], obeys, "fail 409"],
    ["forgotten, and claims", [fate(forgotten)], claims, "claim 4"],
    ["forgotten in doubt", [fate(forgotten, { inDoubt: true })], claims, "fail 409"],
    ["a gap before the first batch", [fate(forgotten, { seq: 0 })], claims, "fail 409"],
    ["a gap in the middle", [fate(gap)], claims, "fail 409"],
    ["refused", [fate(refused), fate()], obeys, "split 400"],
    ["refused in doubt", [fate(refused, { inDoubt: true })], obeys, "split 400"],
    ["too large", [fate(tooLarge)], obeys, "split 413"],
    ["a single message is refused", [fate(refused, { messageCount: 1 })], obeys, "leave-out 400"],
    ["the closure is refused", [fate(refused, { messageCount: 0 })], obeys, "fail 400"],
  ]
  it.each(cases)("%s", (_name, fates, policy, expected) => {
    const recovery = decideRecovery(fates, policy)
    const detail =
      "above" in recovery
        ? recovery.above
        : "error" in recovery
          ? (recovery.error as { status?: number }).status
          : "status" in recovery
            ? recovery.status
            : ""
    expect(`${recovery.kind} ${detail}`.trim()).toBe(expected)
  })

  it("never claims below the epoch that it has itself", () => {
    const older: Verdict = { kind: "fenced", error: new StaleEpochError(1) }
    expect(decideRecovery([fate(older)], claims)).toMatchObject({ kind: "claim", above: 4 })
  })
})

describe("countIndeterminate", () => {
  const doubt = { inDoubt: true }
  const early = { wasEarly: true }
  it.each<[string, Fate[], number]>([
    ["nothing is left", [], 0],
    ["nothing was sent", [fate(), fate()], 0],
    ["the first is answered", [fate(fatal), fate(undefined, doubt)], 0],
    ["the first are in doubt", [fate(fatal, doubt), fate(undefined, doubt), fate()], 2],
    ["the first came too early before it failed", [fate(fatal, early), fate()], 1],
    ["the first came too early and is fenced now", [fate(fenced, early), fate()], 0],
    ["one came too early", [fate(undefined, doubt), fate(undefined, early), fate()], 2],
  ])("%s", (_name, fates, expected) => {
    expect(countIndeterminate(fates)).toBe(expected)
  })
})
