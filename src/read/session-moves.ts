import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { backoffDelayMs, spacingDelayMs, type Backoff } from "../http/backoff.ts"
import { describeUrl } from "../protocol/request-url.ts"
import type { Reading, SessionEvent, SessionOutcome, SessionState } from "./session-types.ts"
import type { Transport } from "./stream-event.ts"
import type { SseSettings } from "./stream-options.ts"

/** What a transition may look at beside the state: settings, and chance. No clock: events carry durations. */
export interface SessionEnvironment {
  readonly url: string
  readonly backoff: Backoff
  readonly sse: SseSettings
  /** Between 0 and 1, fresh for every event. */
  readonly random: number
}

/** Catch-up pages in a row that may stand still before the session gives up. */
export const MAX_STALLS = 10
/** Live answers in a row that may come at once and empty; each waits longer than the one before. */
export const MAX_LIVE_STALLS = 20

/** A long-poll that is answered sooner than this with nothing has not been held open by its server. */
export const MIN_HELD_MS = 50
/** A server that is far away takes longer to answer at once; no longer than this, though. */
export const MAX_HELD_MS = 500
/** One that took this long was held for sure. */
const FORGIVING_MS = 1_000
/** Empty long-polls are as far apart as this on average or further, begin to begin, however short the server holds them. */
const POLL_INTERVAL_MS = 400

/** So often text that SSE cannot carry is asked for by other transports before it is taken as it is. */
export const MAX_INEXACT = 2

/** The counts of what brought nothing, once something new has come. */
export const FORGIVEN: Pick<Reading, "stalls" | "breaks" | "damages" | "decisions" | "inexact"> = {
  stalls: 0,
  breaks: 0,
  damages: 0,
  decisions: 0,
  inexact: 0,
}

/** The next request, or a pause where there is a reason for one. */
export function request(reading: Reading, transport: Transport): SessionState {
  if (reading.answered && reading.pausedFor.size > 0) return enter(reading, { kind: "paused" })
  return enter(reading, { kind: "requesting", transport })
}

/** The next page of the SSE connection that stands, or a pause. */
export function receive(reading: Reading): SessionState {
  return enter(reading, { kind: reading.pausedFor.size > 0 ? "paused" : "receiving" })
}

/** The next request after a delay. */
export function wait(reading: Reading, transport: Transport, delayMs: number): SessionState {
  if (delayMs === 0 || (reading.answered && reading.pausedFor.size > 0))
    return request(reading, transport)
  return enter(reading, { kind: "waiting", transport, delayMs })
}

/**
 * What follows a long-poll that brought nothing. One that came at once was not waited for. One that was held for a while
 * is followed at once; servers that hold them for less are spared.
 */
export function afterEmptyPoll(
  reading: Reading,
  elapsedMs: number,
  env: SessionEnvironment,
): SessionState {
  if (reading.liveTransport === "sse") return request(reading, "sse")
  const atOnceMs = Math.max(MIN_HELD_MS, Math.min(2 * reading.roundTripMs, MAX_HELD_MS))
  if (elapsedMs < atOnceMs) return stall(reading, "long-poll", env)
  const forgiven = elapsedMs < FORGIVING_MS ? {} : FORGIVEN
  const delayMs = spacingDelayMs(POLL_INTERVAL_MS, elapsedMs, env.random)
  return wait({ ...reading, ...forgiven }, "long-poll", delayMs)
}

/** Nothing new where something should have been: again later, a bounded number of times. */
export function stall(
  reading: Reading,
  transport: Transport,
  env: SessionEnvironment,
  firstDelayMs?: number,
): SessionState {
  const stalls = reading.stalls + 1
  const delayMs = stalls === 1 ? firstDelayMs : undefined
  const limit = transport === "catch-up" ? MAX_STALLS : MAX_LIVE_STALLS
  if (stalls > limit) return ask(reading, transport, noProgress(reading, transport, env.url))
  return wait(
    { ...readingOf(reading), stalls },
    transport,
    delayMs ?? backoffDelayMs(env.backoff, stalls, env.random),
  )
}

function noProgress(reading: Reading, transport: Transport, url: string): DurableStreamError {
  const stream = describeUrl(url)
  const why =
    transport === "catch-up"
      ? "answers the same pages again and again without being up to date: a cache may be stuck, or " +
        "Stream-Up-To-Date is stripped on the way, or CORS does not expose it (Access-Control-Expose-Headers)"
      : "answers live requests at once with nothing: a cache may answer them, a proxy may drop the query, or " +
        "Stream-Closed is stripped on the way, or CORS does not expose it (Access-Control-Expose-Headers)"
  return new DurableStreamError(
    `No progress: ${stream} ${why} (offset ${reading.offset}).`,
    "NO_PROGRESS",
  )
}

/** A failure that somebody else decides about. */
export function ask(reading: Reading, transport: Transport, error: unknown): SessionState {
  return enter(reading, { kind: "asking", transport, error })
}

/** The part of a state that goes into the next one. */
export function readingOf(state: Reading): Reading {
  return {
    offset: state.offset,
    track: state.track,
    cursor: state.cursor,
    upToDate: state.upToDate,
    streamClosed: state.streamClosed,
    handedOnBytes: state.handedOnBytes,
    answered: state.answered,
    liveTransport: state.liveTransport,
    roundTripMs: state.roundTripMs,
    pausedFor: state.pausedFor,
    sse: state.sse,
    stalls: state.stalls,
    breaks: state.breaks,
    damages: state.damages,
    decisions: state.decisions,
    inexact: state.inexact,
  }
}

/**
 * A reading in a new state. Not by a spread: V8 gives each object that is spread like this a hidden class of its own, half a
 * kilobyte for every session that waits.
 */
export function enter<TState extends Pick<SessionState, "kind">>(
  reading: Reading,
  state: TState,
): Reading & TState {
  return Object.assign(readingOf(reading), state)
}

/** The end. */
export function end(reading: Reading, outcome: SessionOutcome): SessionState {
  return enter(reading, { kind: "ended", outcome })
}

/** Whether a step ends what was under way: a page and a connection outlive the steps that hand them on. */
export function interrupts(
  before: SessionState,
  event: SessionEvent,
  after: SessionState,
): boolean {
  if (after.kind === "delivering" || after.kind === "receiving") return false
  const bystander =
    event.kind === "pause" || event.kind === "resume" || event.kind === "live-transport"
  return !(bystander && after.kind === before.kind)
}
