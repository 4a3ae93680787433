import {
  drawFaultOdds,
  type FaultName,
  type FaultOdds,
} from "../../support/faulty-network/faults.ts"
import type { SeededRandom } from "../../support/seeded-random.ts"

const FAULTS: readonly FaultName[] = [
  "drop-before",
  "drop-after",
  "straggler",
  "duplicate",
  "resent",
  "refused",
  "status",
  "gateway",
  "hang-before-headers",
  "hang-in-body",
  "cut-error",
  "html",
]

/** What happens beside the network's faults, at random times until the faults stop. */
export type Mishap =
  "kill" | "restart" | "sleep" | "wall-forward" | "wall-back" | "drift" | "reset" | "stop"

/** Everything that is random about one run, drawn before it begins. */
export interface Scenario {
  streams: number
  appends: number
  workers: number
  concurrency: number
  leaseTtlMs: number
  /** Longest time that a handler takes for a batch. */
  maxHandlerMs: number
  /** How likely a handler throws. */
  throws: number
  /** There and back again takes up to twice as long: a lease that is shorter than that cannot be held. */
  maxLatencyMs: number
  maxStragglerMs: number
  faults: FaultOdds
  /** How likely the event of a wake is lost, and written twice. */
  lostEvents: number
  doubleEvents: number
  mishaps: readonly { atMs: number; kind: Mishap }[]
  healAtMs: number
  /** Of webhooks: whether the receiver is told the lease, whether it responds before its work, and how long it works. */
  isLeaseKnown: boolean
  isWaitUntil: boolean
  maxDurationMs: number
  isPoisonStopped: boolean
}

const MISHAPS: readonly Mishap[] = [
  "kill",
  "kill",
  "kill",
  "restart",
  "sleep",
  "sleep",
  "wall-forward",
  "wall-back",
  "drift",
  "reset",
  "stop",
]

export function drawScenario(random: SeededRandom): Scenario {
  const faults = drawFaultOdds(random, FAULTS, random.int(0, 5), [0.03, 0.1, 0.3])
  const healAtMs = random.int(5_000, 120_000)
  const leaseTtlMs = random.pick([1_000, 5_000, 30_000])
  const mishaps = Array.from({ length: random.int(0, 8) }, () => ({
    atMs: random.int(0, healAtMs),
    kind: random.pick(MISHAPS),
  }))
  return {
    streams: random.int(1, 5),
    appends: random.int(1, 30),
    workers: random.int(1, 4),
    concurrency: random.int(1, 3),
    leaseTtlMs,
    maxHandlerMs: random.pick([0, 50, 500, leaseTtlMs, leaseTtlMs * 2]),
    throws: random.pick([0, 0, 0.1, 0.4]),
    maxLatencyMs: random.pick([0, 20, 200, leaseTtlMs / 8]),
    maxStragglerMs: random.pick([100, 5_000, 60_000]),
    faults,
    lostEvents: random.pick([0, 0, 0.3, 1]),
    doubleEvents: random.pick([0, 0.3]),
    mishaps,
    healAtMs,
    isLeaseKnown: random.chance(0.5),
    isWaitUntil: random.chance(0.5),
    maxDurationMs: random.pick([1_000, 25_000]),
    isPoisonStopped: random.chance(0.5),
  }
}
