import { expect, it } from "vitest"
import { VirtualClock } from "../../support/virtual-clock.ts"
import { WireRecord } from "./wire-record.ts"

const REFUSED = new TypeError("fetch failed", { cause: { code: "ECONNREFUSED" } })
const DUPLICATE = new Response(null, { status: 204, headers: { "Producer-Seq": "0" } })

/** Sends one batch again and again, and sees what comes of each attempt but the ones that hang. */
async function sendAgain(attempts: readonly (Response | Error | "hangs")[]): Promise<WireRecord> {
  const outcomes = attempts.values()
  const wire = new WireRecord(() => {
    const { value } = outcomes.next()
    if (value === "hangs") return new Promise(() => undefined)
    return value instanceof Response ? Promise.resolve(value) : Promise.reject(value ?? REFUSED)
  }, new VirtualClock())
  const headers = { "Producer-Epoch": "0", "Producer-Seq": "0" }
  const init = { method: "POST", headers, body: new TextEncoder().encode("a") }
  for (const attempt of attempts) {
    const responding = wire.fetch("http://model.test/stream", init).catch(() => undefined)
    if (attempt !== "hangs") await responding
  }
  return wire
}

it("expects a producer to detect another lifetime's batch after attempts that were certainly not applied", async () => {
  const overloaded = new Response(null, { status: 503 })
  const { foreignDuplicates } = await sendAgain([REFUSED, overloaded, REFUSED, DUPLICATE])
  expect(foreignDuplicates).toEqual(["a"])
})

it("expects no such thing once an attempt hung, whatever came of those that followed", async () => {
  for (const next of [[], [REFUSED], [new Response(null, { status: 503 }), REFUSED]]) {
    const { foreignDuplicates } = await sendAgain(["hangs", ...next, DUPLICATE])
    expect(foreignDuplicates).toEqual([])
  }
})
