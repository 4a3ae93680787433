import type { FaultName, FaultOdds } from "../../support/faulty-network/faults.ts"
import type { SeededRandom } from "../../support/seeded-random.ts"

/** How the writer ends. */
export type ProducerEnding = "close" | "close-with-message" | "detach" | "flush" | "abort"

/** Everything that is random about one run, drawn before it begins. */
export interface ProducerScenario {
  contentType: string
  /** The handle does not know the content type. */
  mustAsk: boolean
  /** Bursts of messages, with what happens between them. */
  bursts: number
  maxBurst: number
  maxMessageLength: number
  gapMs: number
  sends: number
  /** How likely a message is one that the server refuses, or one that is none. */
  poison: number
  invalid: number
  flushes: number
  restarts: number
  awaitsReady: boolean
  ending: ProducerEnding
  abortAtMs: number
  /** The server takes no larger body (413). */
  maxBodyBytes: number
  faults: FaultOdds
  healAtMs: number
  maxLatencyMs: number
  maxStragglerMs: number
  /** Times at which another producer claims a higher epoch. */
  rivalsAtMs: number[]
  /** How many batches an earlier life has stored with the same id and epoch. */
  earlierBatches: number
  /** A whole second producer with the same id writes beside this one. */
  hasTwin: boolean
  /** Times at which the server forgets its producers. */
  forgetsAtMs: number[]
  /** Somebody else closes the stream. */
  closedAtMs: number | undefined
  options: {
    epoch: number
    autoClaim: boolean
    maxBatchBytes: number
    lingerMs: number
    maxInFlight: number
    deliveryTimeoutMs: number
    highWaterMarkBytes: number
    maxBufferedBytes: number
  }
  requestTimeoutMs: number
  quickBackoff: boolean
  maxRetries: number
}

/** What a producer gets over by itself, given time. */
const PASSING: readonly FaultName[] = [
  "drop-before",
  "drop-after",
  "straggler",
  "duplicate",
  "status",
  "gateway",
  "hang-before-headers",
  "hang-in-body",
  "cut-error",
  "short-length",
]
/** What ends it. */
const FATAL: readonly FaultName[] = ["forged-403", "forged-409", "html", "missing-headers"]

/** Draw a scenario. The same generator gives the same scenario. */
export function drawProducerScenario(random: SeededRandom): ProducerScenario {
  const hasTwin = random.chance(0.06)
  const forgets = !hasTwin && random.chance(0.12)
  const hasRivals = !hasTwin && !forgets && random.chance(0.2)
  const earlierBatches = !hasTwin && random.chance(0.05) ? random.int(1, 4) : 0
  const timesBefore = (count: number) =>
    Array.from({ length: count }, () => random.int(0, random.pick([300, 3000, 30_000])))
  return {
    contentType: random.pick(["application/json", "Application/JSON;charset=utf-8", "text/plain"]),
    mustAsk: random.chance(0.15),
    bursts: random.int(1, 6),
    maxBurst: random.pick([1, 3, 10, 30]),
    maxMessageLength: random.pick([3, 20, 80]),
    gapMs: random.pick([0, 10, 300, 5000]),
    sends: random.pick([0, 0.3, 1]),
    poison: random.chance(0.2) ? random.pick([0.02, 0.2]) : 0,
    invalid: random.chance(0.1) ? 0.1 : 0,
    flushes: random.pick([0, 0.3]),
    restarts: random.chance(0.15) ? 0.3 : 0,
    awaitsReady: random.chance(0.4),
    ending: random.pick<ProducerEnding>(
      hasTwin
        ? ["close", "detach", "flush", "abort"]
        : ["close", "close-with-message", "detach", "detach", "flush", "abort"],
    ),
    abortAtMs: random.int(0, random.pick([200, 5000])),
    maxBodyBytes: random.chance(0.15) ? random.int(60, 400) : Number.POSITIVE_INFINITY,
    // Two that claim one epoch, and lose responses over it: that is what the documentation excludes.
    // Nor an earlier life in the same epoch, where a response is lost.
    faults: hasTwin || earlierBatches > 0 ? {} : drawFaults(random, { forgets, hasRivals }),
    healAtMs: random.int(0, 90_000),
    maxLatencyMs: random.pick([0, 5, 100, 2000]),
    maxStragglerMs: random.pick([100, 5000, 60_000]),
    rivalsAtMs: hasRivals ? timesBefore(random.int(1, 3)) : [],
    hasTwin,
    earlierBatches,
    forgetsAtMs: forgets ? timesBefore(random.int(1, 3)) : [],
    closedAtMs: random.chance(0.05) ? random.int(0, 5000) : undefined,
    options: {
      epoch: random.pick([0, 0, 0, 7]),
      autoClaim: hasTwin || earlierBatches > 0 || random.chance(0.5),
      maxBatchBytes: random.pick([1, 40, 200, 1000, 1_000_000]),
      lingerMs: random.pick([0, 5, 200]),
      maxInFlight: random.pick([1, 2, 5, 20]),
      deliveryTimeoutMs: random.pick([1500, 120_000, Infinity, Infinity]),
      highWaterMarkBytes: random.pick([0, 200, 16_000_000]),
      maxBufferedBytes: random.pick([Infinity, Infinity, 600]),
    },
    requestTimeoutMs: hasTwin || earlierBatches > 0 ? 60_000 : random.pick([3000, 60_000]),
    quickBackoff: random.chance(0.3),
    maxRetries: random.chance(0.05) ? random.int(0, 4) : Number.POSITIVE_INFINITY,
  }
}

function drawFaults(
  random: SeededRandom,
  { forgets, hasRivals }: { forgets: boolean; hasRivals: boolean },
): FaultOdds {
  if (random.chance(0.15)) return {}
  const odds: FaultOdds = {}
  for (let count = random.int(1, 4); count > 0; count--) {
    const fault = random.pick(PASSING)
    // A server that has forgotten an epoch takes its first batch again: no client can tell.
    if (forgets && (fault === "straggler" || fault === "duplicate")) continue
    // Answered that it comes too early, and stored by a copy later on, before a rival comes: nor can it tell this.
    if (hasRivals && fault === "duplicate") continue
    odds[fault] = random.pick([0.05, 0.15, 0.3])
  }
  if (random.chance(0.1)) odds[random.pick(FATAL)] = 0.03
  return odds
}
