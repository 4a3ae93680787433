import { expect, it } from "vitest"
import { runReader } from "./reader.ts"

/** One after the other: virtual time replaces the process's clock. A failing seed is replayed by `npm run simulate`. */
const SEEDS = 10_000

/** A bug fails many seeds; a handful tells enough. */
const MAX_REPORTED = 3

it(
  `readers deliver the stream, once and in order, on ${SEEDS} seeds of bad network`,
  { timeout: 600_000 },
  async () => {
    const failures: string[] = []
    for (let seed = 1; seed <= SEEDS && failures.length < MAX_REPORTED; seed++) {
      await runReader(seed).catch((error: unknown) => failures.push(String(error)))
    }
    const replay = "replay one with: npm run simulate -- --only readers --seed S --verbose"
    expect(failures, `${failures.join("\n")}\n${replay}`).toEqual([])
  },
)
