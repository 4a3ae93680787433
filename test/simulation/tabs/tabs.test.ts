import { expect, it } from "vitest"
import { runTabs } from "./tabs.ts"

const SEEDS = 150

it(
  `every tab gets the whole stream once and in order, on ${SEEDS} seeds of tabs that die, freeze and wake`,
  { timeout: 600_000 },
  async () => {
    const failures: string[] = []
    for (let seed = 1; seed <= SEEDS && failures.length < 3; seed++) {
      await runTabs(seed).catch((error: unknown) => failures.push(String(error)))
    }
    const replay = "replay one with: npm run simulate -- --only tabs --seed S --verbose"
    expect(failures, `${failures.join("\n")}\n${replay}`).toEqual([])
  },
)
