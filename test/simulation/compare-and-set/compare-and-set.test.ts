import { expect, it } from "vitest"
import { runCompareAndSet } from "./compare-and-set.ts"

const SEEDS = 2000

it(
  `conditional appends lose and duplicate no increment of a counter, on ${SEEDS} seeds of bad network`,
  { timeout: 300_000 },
  async () => {
    const failures: string[] = []
    for (let seed = 1; seed <= SEEDS && failures.length < 3; seed++) {
      await runCompareAndSet(seed).catch((error: unknown) => failures.push(String(error)))
    }
    const replay = "replay one with: npm run simulate -- --only compare-and-set --seed S --verbose"
    expect(failures, `${failures.join("\n")}\n${replay}`).toEqual([])
  },
)
