import {
  drawFaultOdds,
  type FaultName,
  type FaultOdds,
} from "../../support/faulty-network/faults.ts"
import type { SeededRandom } from "../../support/seeded-random.ts"

/** What a stream holds. */
export type ContentKind = "json" | "text" | "bytes"

/** The ways in which a response can be consumed. */
export type Method =
  | "json"
  | "jsonStream"
  | "subscribeJson"
  | "jsonBatches"
  | "text"
  | "textStream"
  | "subscribeText"
  | "textChunks"
  | "body"
  | "bodyStream"
  | "subscribeBytes"
  | "byteChunks"

/** How a session is ended before its time. */
export type Ending =
  | { kind: "none" }
  /** From outside, at a time. */
  | { kind: "cancel" | "abort" | "dispose"; atMs: number }
  /** By the consumer, at its n-th delivery. */
  | { kind: "leave" | "throw"; delivery: number }
  /** By `return()` of the iterator at a time, while `next()` may be pending. */
  | { kind: "return"; atMs: number }

/** What happens to the browser's page that reads. */
export interface PageEvent {
  kind: "freeze" | "back-forward-cache" | "network-change"
  atMs: number
  /** How long the page does not run. */
  durationMs: number
}

/** Everything that is random about one run, drawn before it begins. */
export interface ReaderScenario {
  content: ContentKind
  contentType: string
  method: Method
  live: boolean | "long-poll" | "sse"
  /** `recreated`: at an offset that an earlier stream at the same url has had, beyond the tail of this one. */
  start: "-1" | "none" | "now" | "middle" | "recreated"
  ending: Ending
  /** The program does something else before it consumes the response. */
  startsLate: boolean
  /** Appends before the reader starts. */
  storedAppends: number
  /** Appends while it reads, and when the stream is closed; never where undefined. */
  liveAppends: number
  appendGapMs: number
  closes: boolean
  closesWithContent: boolean
  /** Appends may end inside a character. */
  splitsCharacters: boolean
  /** Text has carriage returns in it. */
  returnsCarriage: boolean
  pageLimit: number
  sseLifetimeMs: number
  longPollTimeoutMs: number
  closure: "with-data" | "after" | "after-up-to-date"
  faults: FaultOdds
  lastingFaults: FaultOdds
  firstFault: FaultName | undefined
  healAtMs: number
  maxLatencyMs: number
  /** Longest time that a consumer takes for one delivery. */
  slownessMs: number
  readAhead: number
  idleTimeoutMs: number
  /** Times at which the user looks away and back; an even number of them. */
  togglesMs: number[]
  hiddenFromStart: boolean
  /** The laptop sleeps, or the network changes, at that time. */
  disruption: { kind: "none" | "sleep" | "reset"; atMs: number }
  /** The session reads in a browser's page. */
  hasPage: boolean
  pageEvents: PageEvent[]
  /** The tab is hidden, without a pause: its timers fire once a minute. */
  throttledFromMs: number | undefined
  maxPageBytes: number | undefined
  quickBackoff: boolean
  maxRetries: number
  asksOnError: boolean
}

/** How long a program that starts late does something else. */
export const LATE_START_MS = 5000

const METHODS: Record<ContentKind, readonly Method[]> = {
  json: ["json", "jsonStream", "subscribeJson", "jsonBatches"],
  text: [
    "text",
    "textStream",
    "subscribeText",
    "textChunks",
    "text",
    "textStream",
    "subscribeText",
    "textChunks",
    "bodyStream",
    "byteChunks",
  ],
  bytes: ["body", "bodyStream", "subscribeBytes", "byteChunks"],
}

const CONTENT_TYPES: Record<ContentKind, readonly string[]> = {
  json: ["application/json", "Application/JSON; charset=utf-8"],
  text: ["text/plain", "text/markdown; charset=utf-8"],
  bytes: ["application/octet-stream", "image/png"],
}

const FAULTS: readonly FaultName[] = [
  "drop-before",
  "drop-after",
  "status",
  "gateway",
  "hang-before-headers",
  "hang-in-body",
  "cut-error",
  "cut-clean",
  "short-length",
  "wrong-length",
  "rebuilt",
  "unreadable-body",
  "double-headers",
  "html",
  "missing-headers",
  "stale-page",
  "cached-page",
  "empty-live",
  "sse-buffered",
  "sse-cut",
  "sse-as-page",
  "sse-silent",
]

/** What may happen to every request there is, until the network heals: what follows must not be a loop. */
const OUTAGES: readonly FaultName[] = [
  "drop-before",
  "status",
  "gateway",
  "cut-error",
  "short-length",
  "wrong-length",
  "unreadable-body",
  "html",
  "missing-headers",
  "stale-page",
  "empty-live",
]

/** They say that there is nothing new where there is something. */
const HIDING: readonly FaultName[] = ["stale-page", "cached-page", "empty-live"]

const LASTING: readonly FaultName[] = [
  "sse-buffered",
  "sse-cut",
  "sse-as-page",
  "sse-silent",
  "double-headers",
  "wrong-length",
  "rebuilt",
  "unreadable-body",
]

const ENDLESS: readonly FaultName[] = ["sse-endless-line", "sse-endless-data"]

/** An offset beyond the tail names another place with every append: nothing that is read again is the same. */
const UNDISTURBED = {
  faults: {},
  lastingFaults: {},
  firstFault: undefined,
  idleTimeoutMs: 75_000,
  togglesMs: [],
  hiddenFromStart: false,
  pageEvents: [],
  disruption: { kind: "none", atMs: 0 },
} satisfies Partial<ReaderScenario>

/** Draw a scenario. The same generator gives the same scenario. */
export function drawScenario(random: SeededRandom): ReaderScenario {
  const content = random.pick<ContentKind>(["json", "text", "bytes"])
  const method = random.pick(METHODS[content])
  const live = random.pick<ReaderScenario["live"]>([true, true, true, false, "sse", "long-poll"])
  const start = random.pick<ReaderScenario["start"]>(
    // No reader of text has ever seen an offset inside a character.
    content !== "text" && random.chance(0.08)
      ? ["recreated"]
      : ["-1", "none", "-1", "now", "middle"],
  )
  // What events cannot carry is read again by other transports; where they say that there is nothing, it is taken as it is.
  const mayChange = content === "text" && live !== false && live !== "long-poll"
  const closes = random.chance(0.85)
  const asksOnError = random.chance(0.5)
  const isEndless = random.chance(0.03)
  const hasPage = random.chance(0.15)
  const isHasty = random.chance(0.06)
  const isThrottled = !isHasty && random.chance(0.05)
  const lasting = random.chance(0.15) ? { [random.pick(LASTING)]: 1 } : {}
  const scenario: ReaderScenario = {
    content,
    contentType: random.pick(CONTENT_TYPES[content]),
    method,
    live,
    start,
    startsLate: random.chance(0.1),
    ending: drawEnding(random, method, closes || live === false),
    storedAppends: random.int(0, 6),
    liveAppends: random.int(0, 8),
    appendGapMs: random.pick([0, 30, 2000, 2000, 20_000, 70_000]),
    closes,
    closesWithContent: random.chance(0.5),
    splitsCharacters:
      content === "text" && start !== "now" && start !== "recreated" && random.chance(0.5),
    // SSE delivers a carriage return as a line feed.
    returnsCarriage: content === "text" && random.chance(0.5) && live !== "sse",
    // A unit is a message, or a byte, of which there are many more.
    pageLimit: random.pick([1, 3, 20, 100_000]) * (content === "json" ? 1 : random.pick([4, 9])),
    sseLifetimeMs: random.pick([60_000, 60_000, 4000, 300]),
    longPollTimeoutMs: random.pick([30_000, 20_000, 2000]),
    closure: random.pick(["with-data", "after", "after-up-to-date"]),
    faults: isThrottled
      ? {}
      : without(mayChange ? HIDING : [], {
          ...drawFaults(random, asksOnError),
          ...(content === "json" && random.chance(0.05) ? { "joined-body": 0.3 } : {}),
        }),
    lastingFaults: isEndless ? { [random.pick(ENDLESS)]: 1 } : isThrottled ? {} : lasting,
    firstFault: drawFirstFault(random, content, start),
    healAtMs: random.int(0, 180_000),
    maxLatencyMs: random.pick(isHasty ? [0, 5] : [0, 5, 100, 3000]),
    slownessMs: random.pick([0, 0, 10, 2000]),
    readAhead: random.pick([0, 1, 1, 3]),
    idleTimeoutMs: isHasty ? 30 : random.pick([75_000, 75_000, 20_000]),
    togglesMs: isThrottled ? [] : drawToggles(random),
    hiddenFromStart: !isThrottled && random.chance(0.05),
    disruption: {
      kind: isThrottled || hasPage || random.chance(0.8) ? "none" : random.pick(["sleep", "reset"]),
      atMs: random.int(0, 90_000),
    },
    hasPage,
    pageEvents: hasPage && !isThrottled ? drawPageEvents(random) : [],
    throttledFromMs: isThrottled ? random.int(0, 60_000) : undefined,
    maxPageBytes: isEndless ? 20_000 : undefined,
    quickBackoff: random.chance(0.3),
    maxRetries: asksOnError && random.chance(0.3) ? random.int(0, 2) : Number.POSITIVE_INFINITY,
    asksOnError,
  }
  return start === "recreated" ? { ...scenario, ...UNDISTURBED } : scenario
}

/** A session that would never end by itself is always ended. */
function drawEnding(random: SeededRandom, method: Method, endsByItself: boolean): Ending {
  if (endsByItself && random.chance(0.65)) return { kind: "none" }
  const isIterable = /Stream$|Batches$|Chunks$/.test(method)
  if (isIterable && random.chance(0.2)) return { kind: "return", atMs: random.int(0, 60_000) }
  const kind = random.pick(
    endsByItself
      ? (["cancel", "abort", "dispose", "leave", "throw"] as const)
      : (["cancel", "abort", "dispose"] as const),
  )
  if (kind === "leave" || kind === "throw") return { kind, delivery: random.int(1, 4) }
  return { kind, atMs: random.chance(0.3) ? random.int(0, 200) : random.int(0, 150_000) }
}

function drawFaults(random: SeededRandom, asksOnError: boolean): FaultOdds {
  if (random.chance(0.08)) return {}
  if (random.chance(0.15)) return { [random.pick(OUTAGES)]: 1 }
  const odds = drawFaultOdds(random, FAULTS, random.int(1, 5), [0.05, 0.15, 0.3])
  if (asksOnError && random.chance(0.3)) {
    odds[random.pick<FaultName>(["forged-403", "forged-409"])] = 0.1
  }
  return odds
}

/** Once: a client cannot tell a body that is lost every time from an empty stream. */
function drawFirstFault(
  random: SeededRandom,
  content: ContentKind,
  start: ReaderScenario["start"],
): FaultName | undefined {
  if (start === "now" && random.chance(0.5)) {
    return random.pick<FaultName>(["cut-error", "cut-clean", "hang-in-body", "unreadable-body"])
  }
  return content === "json" && random.chance(0.05) ? "lost-body" : undefined
}

function drawPageEvents(random: SeededRandom): PageEvent[] {
  return Array.from({ length: random.int(1, 2) }, () => ({
    kind: random.pick<PageEvent["kind"]>(["freeze", "back-forward-cache", "network-change"]),
    atMs: random.int(0, 90_000),
    durationMs: random.pick([1000, 8000, 600_000]),
  }))
}

function without(names: readonly FaultName[], odds: FaultOdds): FaultOdds {
  const left = { ...odds }
  for (const name of names) delete left[name]
  return left
}

function drawToggles(random: SeededRandom): number[] {
  if (!random.chance(0.25)) return []
  const times = Array.from({ length: random.int(1, 4) * 2 }, () => random.int(0, 100_000))
  // Some users switch back and forth in no time.
  const quick = random.chance(0.3) ? times.map((time) => Math.floor(time / 1000)) : times
  return quick.sort((a, b) => a - b)
}
