/**
 * The state machine of a reading session: when the next page is asked for and how, when a connection is replaced, when
 * a failure is somebody's to decide, when it is over.
 *
 * ```
 *            page          delivered (SSE) ──────────▶ receiving ──┐ page
 *  requesting ──▶ delivering                               ▲       │
 *   ▲ ▲  │ │          │ ▲ └─ delivered ─▶ requesting       │       ▼
 *   │ │  │ └──────────┼─┼───────────────── opened ─────────┘   delivering
 *   │ │  │ failed     │ │
 *   │ │  ▼            │ └─ page
 *   │ │ asking ── decided: end ─▶ ended ◀── eof, caught up, cancel, abort, fail (from every state)
 *   │ │  │            │
 *   │ │  └ again ─▶ waiting ◀── broken, stalled, SSE ended (from requesting, delivering, receiving)
 *   │ └─── woke ──────┘ │
 *   │                   ▼ pause (also from requesting, receiving, and instead of the next request)
 *   └───── resume ──── paused
 * ```
 *
 * Invariants:
 * 1. `offset` is the place up to which the consumer has taken everything. Only `delivered` moves it.
 * 2. A page that does not move, or goes back to where the session was before, is never delivered with data: the same
 *    data would come again.
 * 3. Every way back to `requesting` that brought nothing new waits and counts, and the count is bounded. (SSE
 *    connections that lived, and long-polls that were held open, are followed in their own time and do not count.)
 * 4. While there is a reason to pause, no request is begun, tried again or waited for, once the session has had its
 *    first answer. A page that is on its way already is delivered.
 * 5. What follows a pause is a catch-up request: it needs no waiting on the server.
 * 6. `ended` is never left.
 *
 * @module
 */

import { backoffDelayMs, spacingDelayMs } from "../http/backoff.ts"
import type { Offset } from "../protocol/offset.ts"
import { leadsBack, noteMove, untrodden } from "./offset-loop.ts"
import { endOf, type PageMark } from "./page.ts"
import {
  afterEmptyPoll,
  ask,
  end,
  enter,
  FORGIVEN,
  readingOf,
  receive,
  request,
  stall,
  wait,
  type SessionEnvironment,
} from "./session-moves.ts"
import type { Reading, SessionEvent, SessionState } from "./session-types.ts"
import { isShort, judgeSse, UNTRIED_SSE } from "./sse-health.ts"
import type { PauseReason, SseFallbackReason } from "./stream-event.ts"

/** What follows an event. The new state's kind is the effect: the driver does what it says. */
export interface Step {
  readonly state: SessionState
  /** SSE was given up by this step. */
  readonly fellBack?: SseFallbackReason
}

/** Damaged pages in a row: a captive portal goes away, a broken server does not. */
export const MAX_MALFORMED = 4

/** A handler that says go on after failures between which there was something new is followed no more often on average. */
const DECISION_INTERVAL_MS = 400

const NOT_PAUSED: ReadonlySet<PauseReason> = new Set()

/** The state of a session that has not made a request yet. */
export function initialState(
  offset: Offset,
  liveTransport: Reading["liveTransport"],
): SessionState {
  return {
    kind: "requesting",
    transport: "catch-up",
    offset,
    track: untrodden(offset),
    cursor: undefined,
    upToDate: false,
    streamClosed: false,
    handedOnBytes: 0,
    answered: false,
    liveTransport,
    roundTripMs: Infinity,
    pausedFor: NOT_PAUSED,
    sse: UNTRIED_SSE,
    ...FORGIVEN,
  }
}

/** What follows an event in a state. Pure. An event that a state does not expect changes nothing. */
export function transition(
  state: SessionState,
  event: SessionEvent,
  env: SessionEnvironment,
): Step {
  if (state.kind === "ended") return { state }
  switch (event.kind) {
    case "page":
      return { state: onPage(state, event.mark, event.elapsedMs, env) }
    case "opened":
      if (state.kind !== "requesting" || state.transport !== "sse") return { state }
      return { state: receive(state) }
    case "live-transport":
      return { state: { ...state, liveTransport: event.transport } }
    case "delivered":
      return { state: onDelivered(state, event, env) }
    case "broken":
      return onBroken(state, event, env)
    case "sse-ended":
      return onSseEnded(state, event, env)
    case "unanswered":
      if (state.kind !== "requesting" || state.transport !== "long-poll") return { state }
      return { state: afterEmptyPoll(state, event.elapsedMs, env) }
    case "inexact":
      return { state: state.kind === "receiving" ? onInexact(state) : state }
    case "failed":
      if (state.kind !== "requesting") return { state }
      // A long-poll for what SSE could not carry was but a try.
      if (isAside(state)) return { state: request(state, "sse") }
      return { state: ask(state, state.transport, event.error) }
    case "decided":
      return { state: onDecided(state, event, env) }
    case "woke":
      return { state: state.kind === "waiting" ? request(state, state.transport) : state }
    case "pause":
      return {
        state: onPause({ ...state, pausedFor: new Set([...state.pausedFor, event.reason]) }),
      }
    case "resume": {
      const pausedFor = new Set(state.pausedFor)
      pausedFor.delete(event.reason)
      const resumed = { ...state, pausedFor }
      return { state: state.kind === "paused" ? request(resumed, "catch-up") : resumed }
    }
    case "cancel":
      return { state: end(state, { kind: "cancelled", reason: event.reason }) }
    case "abort":
      return { state: end(state, { kind: "aborted", reason: event.reason }) }
    case "fail":
      return { state: end(state, { kind: "failed", error: event.error }) }
  }
}

function onPage(
  state: SessionState,
  mark: PageMark,
  elapsedMs: number,
  env: SessionEnvironment,
): SessionState {
  if (state.kind !== "requesting" && state.kind !== "receiving") return state
  const transport = state.kind === "receiving" ? "sse" : state.transport
  const news = mark.streamClosed || (mark.upToDate && !state.upToDate)
  const reading: Reading = {
    ...readingOf(state),
    answered: true,
    roundTripMs:
      transport === "catch-up" ? Math.min(state.roundTripMs, elapsedMs) : state.roundTripMs,
    cursor: mark.cursor ?? state.cursor,
  }
  if (leadsBack(state.track, state.offset, mark.offset)) return stall(reading, transport, env)
  if (mark.offset !== state.offset || news) {
    return enter(reading, { kind: "delivering", transport, mark, elapsedMs })
  }
  if (transport === "sse") return enter(reading, { kind: "receiving" })
  if (transport === "long-poll") return afterEmptyPoll(reading, elapsedMs, env)
  if (!mark.upToDate) return stall(reading, "catch-up", env)
  return afterCatchUp(reading)
}

function onDelivered(
  state: SessionState,
  event: { readonly bytes: number; readonly empty: boolean },
  env: SessionEnvironment,
): SessionState {
  if (state.kind !== "delivering") return state
  const { mark, transport } = state
  const news = mark.upToDate && !state.upToDate
  const { offset } = endOf(mark, state.offset, event.empty)
  const reading: Reading = {
    ...readingOf(state),
    offset,
    track: noteMove(state.track, state.offset, offset, mark.upToDate),
    upToDate: mark.upToDate,
    streamClosed: mark.streamClosed,
    handedOnBytes: Math.max(0, state.handedOnBytes - event.bytes),
    // News that bring no content forgive nothing: a server can tell the same ones for ever.
    ...(!event.empty && FORGIVEN),
  }
  if (mark.streamClosed) return end(reading, { kind: "eof" })
  if (transport === "sse") return receive(reading)
  // Pages that move and bring nothing are as much a loop as pages that stand still.
  const idle = event.empty && !news
  if (idle && transport === "long-poll") return afterEmptyPoll(reading, state.elapsedMs, env)
  if (mark.upToDate) return afterCatchUp(reading)
  return idle ? stall(reading, transport, env) : request(reading, transport)
}

function onBroken(
  state: SessionState,
  event: Extract<SessionEvent, { kind: "broken" }>,
  env: SessionEnvironment,
): Step {
  if (state.kind !== "delivering" && state.kind !== "requesting") return { state }
  if (state.kind === "delivering" && state.transport === "sse") {
    const ending = {
      kind: "malformed",
      livedMs: 0,
      spoke: true,
      progressed: false,
      buffered: false,
    } as const
    return onSseEnded(enter(state, { kind: "receiving" }), { kind: "sse-ended", ending }, env)
  }
  if (isAside(state)) return { state: request(state, "sse") }
  const handedOnBytes = Math.max(event.handedOnBytes, state.handedOnBytes)
  const breaks = handedOnBytes > state.handedOnBytes ? 1 : state.breaks + 1
  const malformed = event.damage === "malformed"
  const damages = state.damages + (malformed ? 1 : 0)
  const reading = { ...readingOf(state), handedOnBytes, breaks, damages }
  // A clock that jumped says nothing about the server: what stands behind it is replaced at once.
  if (event.damage === "stale")
    return { state: request({ ...reading, breaks: state.breaks }, "catch-up") }
  const { maxRetries } = env.backoff
  const tooOften = malformed ? damages > Math.min(MAX_MALFORMED, maxRetries) : breaks > maxRetries
  const transport = state.kind === "requesting" ? state.transport : "catch-up"
  if (tooOften) return { state: ask(reading, transport, event.error) }
  return { state: wait(reading, transport, backoffDelayMs(env.backoff, breaks, env.random)) }
}

function onSseEnded(
  state: SessionState,
  { ending }: Extract<SessionEvent, { kind: "sse-ended" }>,
  env: SessionEnvironment,
): Step {
  if (state.kind !== "receiving" && !(state.kind === "requesting" && state.transport === "sse")) {
    return { state }
  }
  const verdict = judgeSse(ending, state.sse, env.sse, env.random)
  if (verdict.kind === "fall-back") {
    const reading: Reading = { ...readingOf(state), liveTransport: "long-poll" }
    return { state: request(reading, "long-poll"), fellBack: verdict.reason }
  }
  const lived = !isShort(ending, env.sse)
  const reading = { ...readingOf(state), ...(lived && FORGIVEN), sse: verdict.health }
  return { state: wait(reading, verdict.transport, verdict.delayMs) }
}

/**
 * Other transports carry bytes. A catch-up answer may come from a cache that knows no more than before, a long-poll's does
 * not; where neither brings anything, the text is taken as SSE brings it (MAX_INEXACT).
 */
function onInexact(reading: Reading): SessionState {
  const inexact = reading.inexact + 1
  return request({ ...reading, inexact }, inexact === 1 ? "catch-up" : "long-poll")
}

function onDecided(
  state: SessionState,
  event: Extract<SessionEvent, { kind: "decided" }>,
  env: SessionEnvironment,
): SessionState {
  if (state.kind !== "asking") return state
  if (!event.again) return end(state, { kind: "failed", error: event.error })
  // The first time the handler has changed something: try it at once, unless it was the first time a moment ago, too. After
  // that its word alone is no reason to hurry.
  const delayMs =
    state.decisions === 0
      ? spacingDelayMs(DECISION_INTERVAL_MS, event.sinceLastMs, env.random)
      : backoffDelayMs(env.backoff, state.decisions, env.random)
  const reading = { ...readingOf(state), ...FORGIVEN, decisions: state.decisions + 1 }
  return wait(reading, state.transport, Math.max(delayMs, event.retryAfterMs))
}

function onPause(state: SessionState): SessionState {
  const between = state.kind === "requesting" || state.kind === "waiting"
  return (between && state.answered) || state.kind === "receiving"
    ? enter(state, { kind: "paused" })
    : state
}

/** Whether a session that is live by SSE asks by long-poll: for text that SSE could not carry. */
function isAside(state: SessionState): boolean {
  const isPolling = state.kind === "requesting" && state.transport === "long-poll"
  return isPolling && state.liveTransport === "sse"
}

/** At the tail: live, or the end of a finite read. */
function afterCatchUp(reading: Reading): SessionState {
  if (reading.liveTransport === undefined) return end(reading, { kind: "up-to-date" })
  return request(reading, reading.liveTransport)
}
