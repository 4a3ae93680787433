import {
  drawFaultOdds,
  type FaultName,
  type FaultOdds,
} from "../../support/faulty-network/faults.ts"
import type { ChannelChoices } from "../../support/origin/channels.ts"
import type { SeededRandom } from "../../support/seeded-random.ts"

const FAULTS: readonly FaultName[] = [
  "drop-before",
  "drop-after",
  "refused",
  "status",
  "gateway",
  "hang-before-headers",
  "hang-in-body",
  "cut-error",
  "cut-clean",
  "stale-page",
  "empty-live",
  "sse-cut",
  "sse-silent",
]

/** What happens to a tab. `sleep`: frozen without an event before it. */
export type Mishap =
  "open" | "kill" | "freeze" | "sleep" | "wake" | "hide" | "show" | "cancel" | "reset"

const MISHAPS: readonly Mishap[] = [
  "open",
  "kill",
  "kill",
  "freeze",
  "sleep",
  "wake",
  "wake",
  "hide",
  "show",
  "show",
  "cancel",
  "reset",
]

/** Everything that is random about one run, drawn before it begins. */
export interface Scenario {
  isJson: boolean
  live: true | "long-poll" | "sse"
  tabs: number
  storedAppends: number
  liveAppends: number
  maxGapMs: number
  /** How likely an append is too large for the channel. */
  large: number
  maxSlownessMs: number
  pageLimit: number
  sseLifetimeMs: number
  longPollTimeoutMs: number
  maxLatencyMs: number
  faults: FaultOdds
  channel: ChannelChoices
  /** How likely a tab gets no locks. */
  refusesLocks: number
  /** How likely a tab does not pause while it is hidden. */
  neverPauses: number
  mishaps: readonly { atMs: number; kind: Mishap }[]
  healAtMs: number
}

export function drawScenario(random: SeededRandom): Scenario {
  const faultCount = random.chance(0.6) ? random.int(1, 4) : 0
  const faults = drawFaultOdds(random, FAULTS, faultCount, [0.03, 0.1, 0.3])
  const healAtMs = random.int(3_000, 60_000)
  const isJson = random.chance(0.6)
  const large = random.pick([0, 0, 0.05])
  return {
    isJson,
    live: random.pick([true, true, "long-poll", "sse"]),
    tabs: random.int(1, 6),
    storedAppends: random.int(0, 5),
    liveAppends: random.int(0, 60),
    maxGapMs: random.pick([10, 100, 2_000]),
    large,
    maxSlownessMs: random.pick([0, 0, 20, 500, 3_000]),
    pageLimit: large > 0 ? 100_000 : random.pick([2, 10, 100_000]) * (isJson ? 1 : 20),
    sseLifetimeMs: random.pick([60_000, 60_000, 4_000]),
    longPollTimeoutMs: random.pick([30_000, 2_000]),
    maxLatencyMs: random.pick([0, 5, 50, 500]),
    faults,
    channel: {
      maxLatencyMs: random.pick([0, 1, 30, 1_500]),
      loss: random.pick([0, 0, 0.1, 0.5]),
      duplication: random.pick([0, 0, 0.2]),
    },
    refusesLocks: random.pick([0, 0, 0, 0.3]),
    neverPauses: random.pick([0, 0.5]),
    mishaps: Array.from({ length: random.int(0, 12) }, () => ({
      atMs: random.int(0, healAtMs),
      kind: random.pick(MISHAPS),
    })),
    healAtMs,
  }
}
