import type { FaultName, FaultOdds } from "../../support/faulty-network/faults.ts"
import type { SeededRandom } from "../../support/seeded-random.ts"

/** How a program ends its producer, if its process does not die before. */
export type ProducerEnding = "close" | "close-with-message" | "detach" | "flush" | "abort"

/** One lifetime of a producer: from its first message until it ends or its process dies. */
export interface LifetimePlan {
  /** The first character of its messages. */
  owner: string
  /** How long after the end of the lifetime before it, or after the start of the run. */
  startsAfterMs: number
  /** When the process dies, counted from the start of the lifetime; its requests on the way may still arrive. */
  diesAfterMs: number | undefined
  ending: ProducerEnding
  abortAfterMs: number
  /** Undefined for none: with `autoClaim` the producer then takes a fresh epoch. */
  epoch: number | undefined
  autoClaim: boolean
  /**
   * `exact`: property 3 holds. `detected`: other lifetimes may have used the same epoch, and the producer reports what it
   * can detect (API.md).
   */
  guarantee: "exact" | "detected"
}

/** A rule that a firewall or a proxy applies for a while: it rejects POSTs before the server sees them. */
export interface RejectionRule {
  fromMs: number
  untilMs: number
  status: number
  /** It rejects bodies of this size or more. */
  minBytes: number
}

/** What happens to the clocks of the machine. */
export type ClockEvent =
  | { kind: "set"; atMs: number; byMs: number }
  | { kind: "drift"; atMs: number; fraction: number }
  | {
      kind: "suspend"
      atMs: number
      durationMs: number
      timers: "frozen" | "overdue"
      connections: "kept" | "reset" | "stalled"
    }

/** Everything that is random about one run, drawn before it begins. */
export interface ProducerScenario {
  /** The wall clock at the start; a machine without a battery starts in 1970. */
  startMs: number
  contentType: string
  /** The handle does not know the content type. */
  mustAsk: boolean
  /** Each process runs its lifetimes one after the other; the processes run at the same time, all with one producer id. */
  processes: LifetimePlan[][]
  /** Bursts of messages, with what happens between them. */
  bursts: number
  maxBurst: number
  maxMessageLength: number
  gapMs: number
  sends: number
  /** How likely a message is one that the server rejects, one that is not valid, or an empty one. */
  poison: number
  invalid: number
  empty: number
  flushes: number
  restarts: number
  awaitsReady: boolean
  /** The server accepts no larger body (413). */
  maxBodyBytes: number
  rules: RejectionRule[]
  clockEvents: ClockEvent[]
  faults: FaultOdds
  healAtMs: number
  maxLatencyMs: number
  maxStragglerMs: number
  surviveAbort: number
  /** Times at which another client claims an epoch that is higher by that much. */
  claims: Array<{ atMs: number; step: number }>
  /** Times at which the server forgets its producers. */
  forgetsAtMs: number[]
  /** Another client closes the stream. */
  closedAtMs: number | undefined
  offsetOfDuplicates: boolean
  numbersOfDuplicates: boolean
  options: {
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

/** Who writes: one lifetime; several one after the other; several at the same time. */
type Cast = "alone" | "successors" | "rivals"

/** What a producer recovers from without help, given time. */
const PASSING: readonly FaultName[] = [
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
  "short-length",
]

/** What fails it. */
export const FATAL: readonly FaultName[] = [
  "forged-403",
  "forged-409",
  "html",
  "foreign-2xx",
  "missing-headers",
]

/** Requests that arrive late, or twice. */
const LATE: readonly FaultName[] = ["straggler", "duplicate", "resent"]

/** Further apart than the epochs that one lifetime bumps. */
const EPOCH_DISTANCE = 1_000_000_000

/** Draw a scenario. The same generator gives the same scenario. */
export function drawProducerScenario(random: SeededRandom): ProducerScenario {
  const cast = random.weighted<Cast>({ alone: 70, successors: 14, rivals: 16 }) ?? "alone"
  const hasClock = random.chance(0.97)
  const processes = drawProcesses(random, cast, hasClock)
  const plans = processes.flat()
  const forgets = cast === "alone" && random.chance(0.12)
  const isClaimed = !forgets && random.chance(0.2)
  const isSuspended = random.chance(0.08)
  const ownsEpochs = plans.every(({ epoch, autoClaim }) => autoClaim && epoch === undefined)
  const times = (count: number) =>
    Array.from({ length: count }, () => random.int(0, random.pick([300, 3000, 30_000])))
  const rules = random.chance(0.12)
    ? times(random.int(1, 2)).map((atMs) => drawRule(random, atMs))
    : []
  const isContested = isClaimed || cast === "rivals" || rules.length > 0
  return {
    startMs: hasClock ? Date.UTC(2027, 0, 1) : 0,
    contentType: random.pick(["application/json", "Application/JSON;charset=utf-8", "text/plain"]),
    mustAsk: random.chance(0.15),
    processes,
    bursts: random.int(1, cast === "alone" ? 5 : 3),
    maxBurst: random.pick(cast === "alone" ? [1, 3, 8, 20] : [1, 3, 8]),
    maxMessageLength: random.pick([3, 20, 80]),
    gapMs: random.pick([0, 10, 300, 5000]),
    sends: random.pick([0, 0.3, 1]),
    poison: random.chance(0.2) ? random.pick([0.02, 0.2]) : 0,
    invalid: random.chance(0.1) ? 0.1 : 0,
    empty: random.chance(0.1) ? 0.1 : 0,
    flushes: random.pick([0, 0.3]),
    restarts: random.chance(0.15) ? 0.3 : 0,
    awaitsReady: random.chance(0.4),
    maxBodyBytes: random.chance(0.15) ? random.int(60, 400) : Number.POSITIVE_INFINITY,
    rules,
    clockEvents: [
      ...(random.chance(0.15) ? times(random.int(1, 3)).map((ms) => drawSetting(random, ms)) : []),
      ...(isSuspended ? times(1).map((atMs) => drawSuspension(random, atMs)) : []),
    ],
    faults: drawFaults(random, { forgets, isContested }),
    healAtMs: random.int(0, 90_000),
    maxLatencyMs: random.pick([0, 5, 100, 2000]),
    maxStragglerMs: random.pick([100, 5000, 60_000]),
    surviveAbort: forgets ? 0 : random.pick([0, 0.5, 1]),
    // A client of version 0.2.x claims the next epoch: with an explicit epoch, the same one as this producer.
    claims: isClaimed
      ? times(random.int(1, 3)).map((atMs) => ({
          atMs,
          step: ownsEpochs ? random.pick([1, 1000]) : 1000,
        }))
      : [],
    forgetsAtMs: forgets ? times(random.int(1, 3)) : [],
    closedAtMs: random.chance(0.05) ? random.int(0, 5000) : undefined,
    offsetOfDuplicates: random.chance(0.4),
    numbersOfDuplicates: random.chance(0.85),
    options: {
      maxBatchBytes: random.pick([1, 40, 200, 1000, 1_000_000]),
      lingerMs: random.pick([0, 5, 200]),
      maxInFlight: random.pick([1, 2, 5, 20]),
      deliveryTimeoutMs: random.pick([1500, 120_000, Infinity, Infinity]),
      highWaterMarkBytes: random.pick([0, 200, 16_000_000]),
      maxBufferedBytes: random.pick([Infinity, Infinity, 600]),
    },
    requestTimeoutMs: random.pick([3000, 60_000]),
    quickBackoff: random.chance(0.3),
    maxRetries: random.chance(0.15) ? random.int(1, 4) : Number.POSITIVE_INFINITY,
  }
}

function drawProcesses(random: SeededRandom, cast: Cast, hasClock: boolean): LifetimePlan[][] {
  let count = 0
  const epochs = drawEpochs(random, cast)
  // A clock that is not used gives no fresh epoch: lifetimes then share the epoch 0.
  const shared = hasClock || cast === "alone" ? {} : { guarantee: "detected" as const }
  const lifetime = (isLast: boolean, startsAfterMs: number): LifetimePlan => {
    const owner = "abcdefgh".charAt(count)
    const dies = !isLast ? random.chance(0.6) : cast !== "alone" && random.chance(0.15)
    return {
      owner,
      startsAfterMs,
      diesAfterMs: dies ? random.int(0, random.pick([50, 1000, 20_000])) : undefined,
      ending: random.pick<ProducerEnding>(
        isLast && cast !== "rivals"
          ? ["close", "close-with-message", "detach", "detach", "flush", "abort"]
          : [
              "detach",
              "detach",
              "flush",
              "abort",
              ...(random.chance(0.1) ? ["close" as const] : []),
            ],
      ),
      abortAfterMs: random.int(0, random.pick([200, 5000])),
      ...epochs(count++),
      ...shared,
    }
  }
  const chain = (length: number, startsAfterMs: number): LifetimePlan[] =>
    Array.from({ length }, (_, index) =>
      lifetime(
        index === length - 1,
        index === 0 ? startsAfterMs : random.pick([0, random.int(0, 3000), random.int(0, 200_000)]),
      ),
    )
  if (cast === "alone") return [chain(1, 0)]
  if (cast === "successors") return [chain(random.int(2, 4), 0)]
  return Array.from({ length: random.int(2, 3) }, (_, index) =>
    chain(random.int(1, 2), index === 0 ? 0 : random.int(0, random.pick([0, 2000, 20_000]))),
  )
}

/** The epochs of the lifetimes, and what follows from them. */
function drawEpochs(
  random: SeededRandom,
  cast: Cast,
): (index: number) => Pick<LifetimePlan, "epoch" | "autoClaim" | "guarantee"> {
  const fresh = { epoch: undefined, autoClaim: true, guarantee: "exact" } as const
  const shared = random.pick([undefined, 0, 7])
  if (cast === "alone") {
    const own = { epoch: shared, autoClaim: random.chance(0.5), guarantee: "exact" } as const
    return () => (random.chance(0.5) ? fresh : own)
  }
  switch (random.weighted({ fresh: 55, distinct: 10, mixed: 15, shared: 20 })) {
    case "distinct":
      return (index) => ({
        epoch: EPOCH_DISTANCE * index,
        // Two that are fenced by a third both take the epoch after it.
        autoClaim: cast === "successors" && random.chance(0.5),
        guarantee: "exact",
      })
    case "mixed":
      return () =>
        random.chance(0.5) ? fresh : { epoch: shared, autoClaim: false, guarantee: "detected" }
    case "shared":
      return () => {
        const autoClaim = shared !== undefined && random.chance(0.5)
        return { epoch: shared, autoClaim, guarantee: "detected" }
      }
    default:
      return () => fresh
  }
}

function drawRule(random: SeededRandom, fromMs: number): RejectionRule {
  return {
    fromMs,
    untilMs: fromMs + random.pick([200, 5000, 60_000]),
    status: random.pick([400, 413, 422]),
    minBytes: random.pick([0, 0, 30, 100]),
  }
}

function drawSetting(random: SeededRandom, atMs: number): ClockEvent {
  if (random.chance(0.3)) {
    return { kind: "drift", atMs, fraction: random.pick([-0.5, -0.01, 0.01, 1]) }
  }
  const byMs = random.pick([-86_400_000, -3_600_000, -2000, 2000, 600_000, 3_600_000])
  return { kind: "set", atMs, byMs }
}

function drawSuspension(random: SeededRandom, atMs: number): ClockEvent {
  return {
    kind: "suspend",
    atMs,
    durationMs: random.pick([15_000, 600_000, 28_800_000]),
    timers: random.pick(["frozen", "overdue"]),
    connections: random.pick(["kept", "reset", "stalled"]),
  }
}

function drawFaults(
  random: SeededRandom,
  { forgets, isContested }: { forgets: boolean; isContested: boolean },
): FaultOdds {
  if (random.chance(0.15)) return {}
  const odds: FaultOdds = {}
  for (let count = random.int(1, 4); count > 0; count--) {
    const fault = random.pick(PASSING)
    // A server that has forgotten an epoch accepts its first batch again: no client can detect it.
    if (forgets && LATE.includes(fault)) continue
    // A gap response says that the batch is not stored. A copy that is stored later, before another producer fences this
    // one or after a rule has rejected the batch, cannot be detected.
    if (isContested && fault === "duplicate") continue
    odds[fault] = random.pick([0.05, 0.15, 0.3])
  }
  if (random.chance(0.12)) odds[random.pick(FATAL)] = 0.03
  return odds
}
