import { expect, it } from "vitest"
import { runSubscriptions } from "./subscriptions.ts"

const SEEDS = 300

it(
  `workers handle every message and acknowledge nothing else, on ${SEEDS} seeds of lost leases, events and machines`,
  { timeout: 300_000 },
  async () => {
    const failures: string[] = []
    for (let seed = 1; seed <= SEEDS && failures.length < 3; seed++) {
      await runSubscriptions(seed).catch((error: unknown) => failures.push(String(error)))
    }
    const replay = "replay one with: npm run simulate -- --only subscriptions --seed S --verbose"
    expect(failures, `${failures.join("\n")}\n${replay}`).toEqual([])
  },
)
