import { describe, expect, it } from "vitest"
import { StreamClosedError } from "../../../src/index.ts"
import { outcomeOfError, outcomeOfResponse, type SentBatch } from "../../../src/producer/outcome.ts"

const sent: SentBatch = {
  url: "http://x/stream",
  number: { epoch: 4, seq: 3 },
  closesStream: false,
  highestSentSeq: 5,
  mayBeForeign: false,
}

function outcomeOf(status: number, headers: Record<string, string>, more: Partial<SentBatch> = {}) {
  const outcome = outcomeOfResponse({ status, headers: new Headers(headers) }, { ...sent, ...more })
  return outcome.kind === "acknowledged"
    ? `${outcome.kind} at ${outcome.result.offset}${outcome.result.duplicate ? ", duplicate" : ""}`
    : outcome.kind
}

describe("the outcome of a response", () => {
  const offset = { "Stream-Next-Offset": "9" }
  const duplicate = { "Producer-Epoch": "4", "Producer-Seq": "5" }
  const above = { "Producer-Epoch": "4", "Producer-Seq": "6" }
  it.each<[string, number, Record<string, string>, Partial<SentBatch>, string]>([
    ["200", 200, offset, {}, "acknowledged at 9"],
    ["200 with the number", 200, { ...offset, ...duplicate }, {}, "acknowledged at 9"],
    ["204 without a number", 204, offset, { mayBeForeign: true }, "acknowledged at 9"],
    ["204 with a seq", 204, { "Producer-Seq": "3" }, {}, "acknowledged at , duplicate"],
    ["204 with an epoch", 204, { "Producer-Epoch": "4" }, {}, "acknowledged at , duplicate"],
    ["204 with all of them", 204, { ...offset, ...duplicate }, {}, "acknowledged at 9, duplicate"],
    ["204 above what was sent", 204, above, {}, "foreign-duplicate"],
    ["204 for a clean attempt", 204, duplicate, { mayBeForeign: true }, "foreign-duplicate"],
    [
      "204, closed by it",
      204,
      { "Stream-Closed": "true" },
      { closesStream: true },
      "acknowledged at , duplicate",
    ],
    ["204, closed by another", 204, { "Stream-Closed": "true" }, {}, "failed"],
  ])("%s", (_name, status, headers, more, expected) => {
    expect(outcomeOf(status, headers, more)).toBe(expected)
  })
})

describe("the outcome of a closed stream", () => {
  it("is what a closure without a final message wants", () => {
    const closed = new StreamClosedError("http://x/stream", "9")
    expect(outcomeOfError(closed, true)).toEqual({
      kind: "acknowledged",
      result: { offset: "9", duplicate: true },
    })
    expect(outcomeOfError(closed, false)).toMatchObject({ kind: "failed", effect: "none" })
  })
})
