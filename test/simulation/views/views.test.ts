import { expect, it } from "vitest"
import { runViews } from "./views.ts"

const SEEDS = 1000

it(
  `views that die and come back from their record are the fold of the stream, on ${SEEDS} seeds`,
  { timeout: 300_000 },
  async () => {
    const failures: string[] = []
    for (let seed = 1; seed <= SEEDS && failures.length < 3; seed++) {
      await runViews(seed).catch((error: unknown) => failures.push(String(error)))
    }
    const replay = "replay one with: npm run simulate -- --only views --seed S --verbose"
    expect(failures, `${failures.join("\n")}\n${replay}`).toEqual([])
  },
)
