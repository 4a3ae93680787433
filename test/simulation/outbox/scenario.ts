import type { FaultName, FaultOdds } from "../../support/faulty-network/faults.ts"
import type { SeededRandom } from "../../support/seeded-random.ts"

/** What happens to the processes, the disk and the server beside the faults of the network. */
export type Mishap =
  /** A process dies, and another one is started later. */
  | "kill"
  /** One more process opens the same outbox. */
  | "second-opener"
  /** The disk is copied, and the copy is opened: both go on. */
  | "copy"
  /** Remembers the disk, to be restored later. */
  | "backup"
  /** All processes die, and the disk is the one of the backup. */
  | "restore"
  /** Nothing runs for more than a week: the server forgets its producers. */
  | "week"

/** A rule of the outbox that a run breaks on purpose, outside of the code under test. */
export type Sabotage =
  | "commits-unsynced"
  | "reuses-epoch"
  | "records-no-attempts"
  | "resends-forgotten"
  | "commits-joined-messages"
  | "takes-no-locks"

/** Everything that is random about one run, drawn before it begins. */
export interface OutboxScenario {
  isolation: "serial" | "concurrent"
  faults: FaultOdds
  healAtMs: number
  maxLatencyMs: number
  maxStragglerMs: number
  mishaps: { atMs: number; kind: Mishap }[]
  /** How long a step of the store can take. */
  maxStepMs: number
  /** How likely a process dies, and how likely the store fails, at each step of the store. */
  deaths: number
  storeFailures: number
  /** Messages of a process; how many at once; how long it waits between. */
  messages: number
  maxBurst: number
  gapMs: number
  /** How likely messages are in a transaction of the caller, and how likely that one is rolled back. */
  transactions: number
  rollbacks: number
  /** How likely the server rejects a message for its content; the largest body that it takes. */
  poison: number
  maxBodyBytes: number
  closes: boolean
  numbersOfDuplicates: boolean
  options: {
    maxBatchBytes: number
    maxBatchItems: number
    maxPendingBytes: number
    pollIntervalMs: number
    producerRetentionMs: number
  }
  requestTimeoutMs: number
  sabotage: Sabotage | undefined
}

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
  "short-length",
  "forged-403",
  "forged-409",
  "html",
  "foreign-2xx",
  "missing-headers",
  "double-headers",
]

const DAY_MS = 86_400_000

/** Draws a scenario. The same generator gives the same scenario. */
export function drawOutboxScenario(
  random: SeededRandom,
  sabotage: Sabotage | undefined,
): OutboxScenario {
  const healAtMs = random.int(0, random.pick([5_000, 60_000]))
  const faults: FaultOdds = {}
  for (const fault of random.shuffle(FAULTS).slice(0, random.int(0, 5))) {
    faults[fault] = random.pick([0.05, 0.2, 0.5])
  }
  return {
    isolation: random.pick(["serial", "concurrent"]),
    faults,
    healAtMs,
    maxLatencyMs: random.pick([0, 20, 1_000, 5_000]),
    maxStragglerMs: random.pick([100, 5_000, 60_000]),
    mishaps: drawMishaps(random, healAtMs),
    maxStepMs: random.pick([0, 0, 30, 500]),
    deaths: random.pick([0, 0.002, 0.02]),
    storeFailures: random.pick([0, 0, 0.01, 0.1]),
    messages: random.int(1, 12),
    maxBurst: random.pick([1, 3, 6]),
    gapMs: random.pick([0, 300, 5_000]),
    transactions: random.pick([0, 0.3, 1]),
    rollbacks: random.pick([0, 0.3]),
    poison: random.chance(0.2) ? random.pick([0.05, 0.3]) : 0,
    maxBodyBytes: random.chance(0.15) ? random.int(40, 200) : Infinity,
    closes: random.chance(0.3),
    numbersOfDuplicates: random.chance(0.85),
    options: {
      maxBatchBytes: random.pick([1, 60, 1_000_000]),
      maxBatchItems: random.pick([1, 3, 10_000]),
      maxPendingBytes: random.pick([Infinity, Infinity, 100]),
      pollIntervalMs: random.pick([500, 2_000, 30_000]),
      producerRetentionMs: 6 * DAY_MS,
    },
    requestTimeoutMs: random.pick([3_000, 60_000]),
    sabotage,
  }
}

function drawMishaps(random: SeededRandom, healAtMs: number): OutboxScenario["mishaps"] {
  const count = random.int(0, 5)
  const kinds: Record<Mishap, number> = {
    kill: 6,
    "second-opener": 4,
    copy: random.pick([0, 0, 1]),
    backup: 0,
    restore: 0,
    week: random.pick([0, 0, 3]),
  }
  const mishaps = Array.from({ length: count }, () => ({
    atMs: random.int(0, healAtMs),
    kind: random.weighted(kinds) ?? "kill",
  }))
  if (random.chance(0.1)) {
    const [backup, restore] = [random.int(0, healAtMs), random.int(0, healAtMs)].sort(
      (a, b) => a - b,
    )
    mishaps.push({ atMs: backup!, kind: "backup" }, { atMs: restore!, kind: "restore" })
  }
  return mishaps.sort((a, b) => a.atMs - b.atMs)
}
