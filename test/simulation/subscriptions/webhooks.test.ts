import { expect, it } from "vitest"
import { runWebhooks } from "./webhooks.ts"

const SEEDS = 300

it(
  `webhook receivers handle every message and acknowledge nothing else, on ${SEEDS} seeds of lost wakes, leases and machines`,
  { timeout: 300_000 },
  async () => {
    const failures: string[] = []
    for (let seed = 1; seed <= SEEDS && failures.length < 3; seed++) {
      await runWebhooks(seed).catch((error: unknown) => failures.push(String(error)))
    }
    const replay = "replay one with: npm run simulate -- --only webhooks --seed S --verbose"
    expect(failures, `${failures.join("\n")}\n${replay}`).toEqual([])
  },
)
