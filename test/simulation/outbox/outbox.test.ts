import { describe, expect, it } from "vitest"
import { runOutbox } from "./outbox.ts"
import type { Sabotage } from "./scenario.ts"

const SEEDS = 10_000

it(
  `outboxes deliver every message once and in order, on ${SEEDS} seeds of crashes, copied disks and a bad network`,
  { timeout: 600_000 },
  async () => {
    const failures: string[] = []
    for (let seed = 1; seed <= SEEDS && failures.length < 3; seed++) {
      await runOutbox(seed).catch((error: unknown) => failures.push(String(error)))
    }
    const replay = "replay one with: npm run simulate -- --only outbox --seed S --verbose"
    expect(failures, `${failures.join("\n")}\n${replay}`).toEqual([])
  },
)

describe("the simulation finds a store or an outbox that", () => {
  it.each<[string, Sabotage]>([
    ["sends what is not on disk (rule 1)", "commits-unsynced"],
    ["goes on with the numbers of a copy (rule 2)", "reuses-epoch"],
    ["splits what may be stored (rule 3)", "records-no-attempts"],
    ["resends what the server may have forgotten (rule 4)", "resends-forgotten"],
    ["sends what is rolled back (rule 5)", "commits-joined-messages"],
    ["lets two seal at once (rule 6)", "takes-no-locks"],
  ])("%s", { timeout: 300_000 }, async (_, sabotage) => {
    const reports: string[] = []
    for (let seed = 1; seed <= 3_000 && reports.length === 0; seed++) {
      await runOutbox(seed, { sabotage }).catch((error: unknown) => reports.push(String(error)))
    }
    expect(reports.join()).toMatch(/times|lost|out of order|left/)
  })
})
