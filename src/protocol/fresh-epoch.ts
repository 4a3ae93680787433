/** Two writers never take the same one of so many epochs. */
const RANDOM_RANGE = 1_048_576

/** A wall clock outside of this (November 2026 to 2100) was never set. */
const RELEASE_MS = 1_793_491_200_000
const LATEST_MS = 4_102_444_800_000

/**
 * An epoch that no other writer can have used: Unix seconds × 2^20 + 20 random bits, below 2^53 until 2242.
 *
 * @param wallMs - the wall clock
 * @returns undefined if the clock was never set
 */
export function freshEpoch(wallMs: number): number | undefined {
  if (!(wallMs >= RELEASE_MS && wallMs < LATEST_MS)) return undefined
  return Math.floor(wallMs / 1000) * RANDOM_RANGE + randomStep()
}

/** An epoch above another one. The step is random: two writers that were fenced by a third would both take the next one. */
export function epochAbove(epoch: number): number {
  return epoch + 1 + randomStep()
}

function randomStep(): number {
  return Math.floor(Math.random() * RANDOM_RANGE)
}
