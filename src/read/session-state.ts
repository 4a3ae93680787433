/* eslint-disable max-lines -- the machine is one idea: its types, transitions and effects are read together */
/**
 * The state machine of a reading session: what is requested next and how, when a connection is replaced, when the error
 * handler decides, when the session is over. Pure: the driver (session.ts) executes the effects of each step.
 *
 * ```
 *            page          proceed (SSE) ────────────▶ receiving ──┐ page
 *  requesting ──▶ delivering                               ▲       │
 *   ▲ ▲  │ │          │ ▲ └─ proceed ─▶ requesting         │       ▼
 *   │ │  │ └──────────┼─┼───────────────── opened ─────────┘   delivering
 *   │ │  │ failed     │ └─ page
 *   │ │  ▼            │
 *   │ │ handling-error             ended ◀── end of stream, caught up, end (every state)
 *   │ │  │
 *   │ │  └ error-handled ─▶ waiting ◀── transfer failed, no progress, SSE closed (requesting, delivering, receiving)
 *   │ └ timer-fired ──┘ │
 *   │                   ▼ hidden (also from requesting, receiving, and instead of the next request)
 *   └─── visible ──── paused
 * ```
 *
 * Invariants, enforced by test/property/session-state.test.ts under the same numbers:
 * 1. `offset` is the end of what the consumer has dealt with. It moves with `proceed`, with the response to `now`, which
 *    names the tail, and with an offset that the error handler chooses.
 * 2. A page that does not move, or leads back to where the session was, is never delivered with content.
 * 3. Every way back to `requesting` that brought nothing new is bounded (see below).
 * 4. While the page is hidden, no request is begun, retried or waited for, once the first response has arrived. A page that
 *    is on its way is delivered.
 * 5. A pause is followed by a catch-up request.
 * 6. `ended` is final.
 *
 * Ways back to `requesting`, and what bounds each:
 * - a page with content: the content
 * - the tail is reached: the catch-up request that reached it
 * - no progress: backoff, then `NO_PROGRESS` ({@link MAX_STALLS}, {@link MAX_LIVE_STALLS})
 * - a failed transfer: backoff and `maxRetries`; {@link MAX_MALFORMED}; {@link MAX_IDENTICAL} for the same failure
 * - an empty long-poll, or one without a response: {@link POLL_INTERVAL_MS}
 * - a closed SSE connection: sse-health.ts
 * - the error handler: at once the first time ({@link HANDLER_INTERVAL_MS}), then backoff
 * - suspended, network-changed, visible: one request per event of the platform
 *
 * @module
 */

import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { backoffDelayMs, spacingDelayMs, type Backoff } from "../http/backoff.ts"
import type { RetryNotice, Retrying } from "../http/retry-loop.ts"
import { NOW_OFFSET, START_OFFSET, type Offset } from "../protocol/offset.ts"
import { describeUrl } from "../protocol/request-url.ts"
import type { PageMark, SessionOutcome, TransferFailure } from "./page.ts"
import { isShort, judgeSse, type SseEnding } from "./sse-health.ts"
import type { ConnectionState, SseSettings, StreamEvent, Transport } from "./stream-options.ts"

/** Catch-up pages in a row that may make no progress. */
export const MAX_STALLS = 10
/** Live responses in a row that may arrive at once and empty. */
export const MAX_LIVE_STALLS = 20
/** Malformed pages in a row: a captive portal disappears, a broken server does not. */
export const MAX_MALFORMED = 4
/** Transfers without progress that may fail in the same way, if it is none in which a network fails. */
export const MAX_IDENTICAL = 16

/** A long-poll whose empty response comes sooner than this was not held open by its server. */
export const MIN_HELD_MS = 50
/** A distant server takes longer to respond at once; no longer than this, though. */
export const MAX_HELD_MS = 500
/** A long-poll that took this long was certainly held. */
const CERTAINLY_HELD_MS = 1_000
/** Empty long-polls are at least this far apart on average, start to start. */
const POLL_INTERVAL_MS = 400
/** Retries that the error handler requests, with content between them, are at least this far apart on average. */
const HANDLER_INTERVAL_MS = 400

/** How the session reads after it has caught up. A transport's counters begin and end with it. */
export type Live =
  | { readonly kind: "none" }
  | { readonly kind: "long-poll" }
  /** `failures`: SSE connections in a row that did not work. */
  | { readonly kind: "sse"; readonly failures: number }

/** What has failed since the last content. */
export interface Retries {
  readonly noProgress: number
  readonly transferErrors: number
  readonly malformed: number
  readonly handler: number
  /** How often the last failure occurred in the same way, and which one it was. */
  readonly identical: number
  readonly signature: string | undefined
}

export interface SessionContext {
  readonly offset: Offset
  readonly cursor: string | undefined
  readonly upToDate: boolean
  readonly visited: Visited
  /** Bytes behind `offset` that the caller already has: parts of a page whose transfer failed. */
  readonly deliveredBytes: number
  readonly live: Live
  readonly retries: Retries
  /** The fastest catch-up response so far, in milliseconds: how distant the server is. */
  readonly roundTripMs: number
  readonly started: boolean
  readonly hidden: boolean
  /** Whether the offset is one that the caller stored and no content has followed; `mismatched`: the stream does not know it. */
  readonly stored: "confirmed" | "unconfirmed" | "mismatched"
  /** Whether the next page is the first one at an offset that the error handler chose. */
  readonly restarted: boolean
  readonly transport: Transport
  /** What is retried, until a response arrives. */
  readonly retrying: Retrying | undefined
  /** Whether the platform has said so, and nothing has arrived since. */
  readonly lostNetwork: boolean
}

export type SessionState = { readonly context: SessionContext } & (
  | { readonly kind: "requesting" }
  /** An SSE connection is open; nothing is with the consumer. */
  | { readonly kind: "receiving" }
  | {
      readonly kind: "delivering"
      readonly end: PageMark
      readonly elapsedMs: number
      readonly committed: Committed | undefined
      /** Whether its transfer was aborted because the network changed: that it fails then says nothing about the server. */
      readonly isInterrupted: boolean
    }
  /** `next`: the transport of the next request. */
  | { readonly kind: "waiting"; readonly next: Transport }
  | { readonly kind: "handling-error"; readonly next: Transport }
  | { readonly kind: "paused" }
  | {
      readonly kind: "ended"
      readonly outcome: SessionOutcome
      readonly shown: Extract<ConnectionState, { kind: "ended" }>
    }
)

interface Committed {
  /** The end of the page, clamped. */
  readonly end: PageMark
  readonly empty: boolean
  readonly bytes: number
}

export type SessionEvent =
  /** A response, or an SSE control event, announced a page. */
  | { readonly kind: "page"; readonly end: PageMark; readonly elapsedMs: number }
  | { readonly kind: "opened" }
  | { readonly kind: "sse-closed"; readonly ending: SseEnding }
  /** A transfer ended before its page was whole; `deliveredBytes` of the page are with the caller. */
  | {
      readonly kind: "transfer-failed"
      readonly failure: TransferFailure
      readonly deliveredBytes: number
    }
  /** A request failed and is made again. It may be one that is made ahead. */
  | ({ readonly kind: "request-retried" } & TransportRetry)
  | { readonly kind: "poll-timed-out"; readonly elapsedMs: number }
  | { readonly kind: "request-failed"; readonly error: unknown }
  | ({ readonly kind: "committed" } & Committed)
  /** The consumer has dealt with the committed page. */
  | { readonly kind: "proceed" }
  | {
      readonly kind: "error-handled"
      readonly error: unknown
      readonly offset: Offset | undefined
      /** The rest of the time that the server asked to wait. */
      readonly retryAfterMs: number
      /** From the last retry that the handler requested to this failure; Infinity if there was none. */
      readonly sinceLastMs: number
    }
  | { readonly kind: "timer-fired" }
  | { readonly kind: "hidden" }
  | { readonly kind: "visible" }
  /** Connections of before are dead: the network changed, or the page was frozen. */
  | { readonly kind: "network-changed" }
  /** The platform says that the network is gone. What is in flight may still arrive. */
  | { readonly kind: "offline" }
  /** `long-poll`: the stream holds, or may hold, what SSE cannot carry unchanged. `none`: the read ends at the tail. */
  | { readonly kind: "live-changed"; readonly live: "long-poll" | "none" }
  /** A cancel, an abort, or a failure of the consumer, the error handler or the driver. */
  | { readonly kind: "end"; readonly outcome: SessionOutcome }

type TransportRetry = RetryNotice & { readonly transport: Transport }

/** What the driver does, in order. `notify` comes last: it calls the caller's code. */
export type Effect =
  /** End what is in flight: request, connection, page, wait, error handler. */
  | { readonly kind: "release" }
  | { readonly kind: "drop-ahead" }
  /** Abort the transfer of the page that is with the consumer, and the connection that it came from. */
  | { readonly kind: "interrupt" }
  | ({ readonly kind: "request" } & ReadRequest)
  | ({ readonly kind: "read-ahead" } & ReadRequest)
  | { readonly kind: "receive" }
  | {
      readonly kind: "deliver"
      readonly start: Offset
      readonly end: PageMark
      readonly deliveredBytes: number
      readonly restarted: boolean
      readonly hasContent: boolean
      /** Whether nothing lies between `start` and the page's end, so that users may see its end at once. */
      readonly visible: boolean
    }
  | { readonly kind: "wait"; readonly delayMs: number }
  | { readonly kind: "handle-error"; readonly error: unknown }
  | { readonly kind: "end"; readonly outcome: SessionOutcome }
  | { readonly kind: "notify"; readonly event: StreamEvent }

export interface ReadRequest {
  readonly transport: Transport
  readonly offset: Offset
  readonly cursor: string | undefined
}

export interface Step {
  readonly state: SessionState
  readonly effects: readonly Effect[]
}

/** What a transition may use besides the state: settings, chance and the date. No clock: events carry durations. */
export interface SessionEnvironment {
  readonly url: string
  readonly backoff: Backoff
  readonly sse: SseSettings
  readonly random: number
  /** The date, in milliseconds since 1970: for what users are shown, and nothing else. */
  readonly nowMs: number
}

export const NO_RETRIES: Retries = {
  noProgress: 0,
  transferErrors: 0,
  malformed: 0,
  handler: 0,
  identical: 0,
  signature: undefined,
}

const NOT_LIVE: Live = { kind: "none" }
const LONG_POLL: Live = { kind: "long-poll" }
const NOT_MOVED: Visited = { previous: START_OFFSET, landmark: START_OFFSET, moves: 0, span: 1 }
const NO_EFFECTS: readonly Effect[] = []
const RELEASE: Effect = { kind: "release" }
const DROP_AHEAD: Effect = { kind: "drop-ahead" }
const INTERRUPT: Effect = { kind: "interrupt" }

export function initialState(
  offset: Offset,
  live: Live["kind"],
  cursor?: string,
): Extract<SessionState, { kind: "requesting" }> {
  const isStored = offset !== START_OFFSET && offset !== NOW_OFFSET
  const stored = isStored ? "unconfirmed" : "confirmed"
  const visited = visitedFrom(offset)
  const context = update(undefined, { offset, cursor, visited, live: liveOf(live), stored })
  return { kind: "requesting", context }
}

/** What follows an event in a state. Pure. An event that a state does not expect changes nothing. */
export function transition(
  state: SessionState,
  event: SessionEvent,
  env: SessionEnvironment,
): Step {
  const { context } = state
  if (state.kind === "ended") return stay(state)
  switch (event.kind) {
    case "page":
      return onPage(state, event, env)
    case "opened":
      if (state.kind !== "requesting" || context.transport !== "sse") return stay(state)
      return receive(update(context, { retrying: undefined, lostNetwork: false }))
    case "sse-closed": {
      const isOpen = state.kind === "receiving" || state.kind === "requesting"
      if (!isOpen || context.transport !== "sse") return stay(state)
      return afterSse(context, event.ending, env)
    }
    case "transfer-failed":
      return onTransferFailed(state, event, env)
    case "request-retried":
      return onRequestRetried(state, event, env)
    case "poll-timed-out":
      if (state.kind !== "requesting" || context.transport !== "long-poll") return stay(state)
      return pollAgain(context, event.elapsedMs, env)
    case "request-failed":
      if (state.kind !== "requesting") return stay(state)
      return handleError(context, context.transport, event.error)
    case "committed":
      return onCommitted(state, event)
    case "proceed":
      return onProceed(state, env)
    case "error-handled":
      return onErrorHandled(state, event, env)
    case "timer-fired":
      return state.kind === "waiting" ? request(context, state.next) : stay(state)
    case "network-changed":
      return onNetworkChanged(state)
    case "offline":
      return stay({ ...state, context: update(context, { lostNetwork: true }) })
    case "hidden":
      return onHidden(state)
    case "visible": {
      const shown = update(context, { hidden: false })
      if (state.kind !== "paused") return stay({ ...state, context: shown })
      const step = request(shown, "catch-up")
      return { ...step, effects: [...step.effects, notify({ kind: "resume", reason: "hidden" })] }
    }
    case "live-changed": {
      const { live } = event
      if (live === "long-poll" && context.live.kind !== "sse") return stay(state)
      const changed = { ...state, context: update(context, { live: liveOf(live) }) }
      return { state: changed, effects: live === "none" ? [DROP_AHEAD] : NO_EFFECTS }
    }
    case "end":
      return end(context, event.outcome)
  }
}

type EventOf<K extends SessionEvent["kind"]> = Extract<SessionEvent, { kind: K }>

function onPage(state: SessionState, event: EventOf<"page">, env: SessionEnvironment): Step {
  if (state.kind !== "requesting" && state.kind !== "receiving") return stay(state)
  const { end, elapsedMs } = event
  const before = state.context
  const { transport, roundTripMs } = before
  const isNow = before.offset === NOW_OFFSET
  const moved = end.offset !== before.offset
  const news = end.streamClosed || (end.upToDate && !before.upToDate)
  const context = update(before, {
    started: true,
    cursor: end.cursor ?? before.cursor,
    offset: isNow ? end.offset : before.offset,
    visited: isNow ? visitedFrom(end.offset) : before.visited,
    roundTripMs: transport === "catch-up" ? Math.min(roundTripMs, elapsedMs) : roundTripMs,
    retrying: undefined,
    lostNetwork: false,
  })
  if (moved && leadsBack(before.visited, end.offset)) return stall(context, env)
  if (!moved && !news) {
    if (transport === "sse") return receive(context)
    if (transport === "long-poll") return afterEmptyPoll(context, elapsedMs, env)
    return end.upToDate ? atTail(context) : stall(context, env)
  }
  const effects: Effect[] = [
    {
      kind: "deliver",
      start: before.offset,
      end,
      deliveredBytes: before.deliveredBytes,
      restarted: before.restarted,
      hasContent: moved || !before.started,
      visible: !before.started && (isNow || !moved),
    },
  ]
  if (transport === "catch-up" && moved && !end.upToDate && !before.hidden) {
    effects.push({ kind: "read-ahead", transport, offset: end.offset, cursor: context.cursor })
  }
  return {
    state: {
      kind: "delivering",
      context,
      end,
      elapsedMs,
      committed: undefined,
      isInterrupted: false,
    },
    effects,
  }
}

function onCommitted(state: SessionState, event: EventOf<"committed">): Step {
  if (state.kind !== "delivering") return stay(state)
  const { end: clamped, empty } = event
  const { context, end } = state
  const { transport } = context
  const effects: Effect[] = []
  const goesOn = transport === "long-poll" && context.live.kind === "long-poll" && !context.hidden
  if (goesOn && !empty && !clamped.streamClosed && clamped.offset !== context.offset) {
    effects.push({ kind: "read-ahead", transport, offset: clamped.offset, cursor: context.cursor })
  }
  const { offset, stored } = context
  if (stored !== "unconfirmed" || !empty || !end.upToDate || end.offset === offset) {
    return { state: { ...state, committed: event }, effects }
  }
  effects.push(notify({ kind: "offset-mismatch", offset, nextOffset: end.offset }))
  const known = update(context, { stored: "mismatched" })
  return { state: { ...state, context: known, committed: event }, effects }
}

function onProceed(state: SessionState, env: SessionEnvironment): Step {
  if (state.kind !== "delivering" || state.committed === undefined) return stay(state)
  const { context: before, elapsedMs } = state
  const { transport } = before
  const { end: to, empty, bytes } = state.committed
  const news = to.upToDate && !before.upToDate
  // Content behind an offset that the stream does not know: where the session was is no place of this stream, and may become one.
  const isForeign = before.stored === "mismatched" && !empty
  const context = update(before, {
    offset: to.offset,
    visited: isForeign ? visitedFrom(to.offset) : visit(before.visited, before.offset, to.offset),
    upToDate: to.upToDate,
    deliveredBytes: Math.max(0, before.deliveredBytes - bytes),
    restarted: false,
    stored: empty ? before.stored : "confirmed",
    // News without content reset nothing: a server can repeat them indefinitely.
    retries: empty ? before.retries : NO_RETRIES,
  })
  if (to.streamClosed) return end(context, { kind: "eof" })
  if (transport === "sse") return receive(context)
  // Pages that move and hold nothing are as much a loop as pages that do not move.
  const idle = empty && !news
  if (idle && transport === "long-poll") return afterEmptyPoll(context, elapsedMs, env)
  if (to.upToDate) return atTail(context)
  return idle ? stall(context, env) : request(context, transport)
}

function onTransferFailed(
  state: SessionState,
  { failure, deliveredBytes }: EventOf<"transfer-failed">,
  env: SessionEnvironment,
): Step {
  if (state.kind !== "delivering" && state.kind !== "requesting") return stay(state)
  const { context } = state
  if (state.kind === "delivering" && context.transport === "sse") {
    const ending = { kind: "malformed", brought: "events", livedMs: 0 } as const
    return afterSse(context, ending, env)
  }
  const further = deliveredBytes > context.deliveredBytes
  const known = further ? update(context, { deliveredBytes }) : context
  // A connection that did not survive a suspension, or a change of the network, says nothing about the server.
  const isInterrupted = state.kind === "delivering" && state.isInterrupted
  if (isInterrupted || failure.kind === "suspended") return request(known, "catch-up")
  const { retries } = context
  // A network that fails in between says nothing about what always fails.
  const signature = failure.signature ?? (further ? undefined : retries.signature)
  const isMalformed = failure.kind === "malformed"
  const isSame = !further && signature === retries.signature
  const transferErrors = further ? 1 : retries.transferErrors + 1
  const malformed = retries.malformed + (isMalformed ? 1 : 0)
  const identical = isSame ? retries.identical + (failure.signature === undefined ? 0 : 1) : 1
  const failed = update(known, {
    retries: { ...retries, transferErrors, malformed, identical, signature },
  })
  const transport = state.kind === "requesting" ? context.transport : "catch-up"
  const { maxRetries } = env.backoff
  const isTooMany = isMalformed
    ? malformed > Math.min(MAX_MALFORMED, maxRetries)
    : transferErrors > maxRetries || identical > MAX_IDENTICAL
  if (isTooMany) return handleError(failed, transport, failure.error)
  const delayMs = backoffDelayMs(env.backoff, transferErrors, env.random)
  const { error } = failure
  return retry(failed, transport, { transport, attempt: transferErrors, delayMs, error }, env)
}

/** What follows an SSE connection, or a request for one that failed. */
function afterSse(context: SessionContext, ending: SseEnding, env: SessionEnvironment): Step {
  const before = context.live.kind === "sse" ? context.live.failures : 0
  const verdict = judgeSse(ending, before, env.sse, env.random)
  if (verdict.kind === "fall-back") {
    const live = context.live.kind === "none" ? context.live : LONG_POLL
    const to = live.kind === "none" ? "catch-up" : live.kind
    const step = request(update(context, { live, transport: to }), to)
    const notice = notify({ kind: "transport", from: "sse", to, reason: verdict.reason })
    return { ...step, effects: [...step.effects, notice] }
  }
  const { failures, delayMs } = verdict
  const live: Live = context.live.kind === "sse" ? { kind: "sse", failures } : context.live
  const retries = isShort(ending, env.sse) ? context.retries : NO_RETRIES
  const transport = live.kind === "sse" ? verdict.transport : "catch-up"
  const next = update(context, { live, retries })
  if (ending.failure === undefined) return wait(next, transport, delayMs)
  const { error } = ending.failure
  return retry(next, transport, { transport: "sse", attempt: failures, delayMs, error }, env)
}

function onRequestRetried(
  state: SessionState,
  event: EventOf<"request-retried">,
  env: SessionEnvironment,
): Step {
  const effects = [notify({ ...event, kind: "retry" })]
  // Another state's request is one that was made ahead.
  if (state.kind !== "requesting") return { state, effects }
  const context = update(state.context, { retrying: retryingState(event, env) })
  return { state: { ...state, context }, effects }
}

function onErrorHandled(
  state: SessionState,
  event: EventOf<"error-handled">,
  env: SessionEnvironment,
): Step {
  if (state.kind !== "handling-error") return stay(state)
  const { context } = state
  const { handler } = context.retries
  // The first time the handler has changed something. After that its word alone is no reason to hurry.
  const delayMs =
    handler === 0
      ? spacingDelayMs(HANDLER_INTERVAL_MS, event.sinceLastMs, env.random)
      : backoffDelayMs(env.backoff, handler, env.random)
  const waitMs = Math.max(delayMs, event.retryAfterMs)
  const retries = { ...NO_RETRIES, handler: handler + 1 }
  const { offset, error } = event
  const next = update(context, {
    retries,
    // Whatever a request throws is an Error.
    retrying: retryingState({ error: error as Error, attempt: handler + 1, delayMs: waitMs }, env),
    ...(offset !== undefined && {
      offset,
      visited: visitedFrom(offset),
      cursor: undefined,
      upToDate: false,
      deliveredBytes: 0,
      stored: "confirmed",
      restarted: true,
    }),
  })
  return wait(next, offset === undefined ? state.next : "catch-up", waitMs)
}

function onNetworkChanged(state: SessionState): Step {
  // The consumer sees the transfer fail, and rejects the page.
  if (state.kind === "delivering") {
    return { state: { ...state, isInterrupted: true }, effects: [DROP_AHEAD, INTERRUPT] }
  }
  const isWaiting = state.kind === "waiting"
  if (!isWaiting && state.kind !== "requesting" && state.kind !== "receiving") return stay(state)
  const step = request(state.context, isWaiting ? state.next : state.context.transport)
  return { ...step, effects: [DROP_AHEAD, ...step.effects] }
}

function onHidden(state: SessionState): Step {
  const context = update(state.context, { hidden: true })
  const isPending = state.kind === "requesting" || state.kind === "waiting"
  if ((isPending && context.started) || state.kind === "receiving") return pause(context)
  return { state: { ...state, context }, effects: [DROP_AHEAD] }
}

/** At the tail: live, or the end of a finite read. */
function atTail(context: SessionContext): Step {
  const { live } = context
  return live.kind === "none" ? end(context, { kind: "up-to-date" }) : request(context, live.kind)
}

/** What follows a long-poll that brought nothing. One that the server did not hold open makes no progress. */
function afterEmptyPoll(context: SessionContext, elapsedMs: number, env: SessionEnvironment): Step {
  const atOnceMs = Math.max(MIN_HELD_MS, Math.min(2 * context.roundTripMs, MAX_HELD_MS))
  if (elapsedMs < atOnceMs) return stall(context, env)
  return pollAgain(context, elapsedMs, env)
}

function pollAgain(context: SessionContext, elapsedMs: number, env: SessionEnvironment): Step {
  const retries = elapsedMs < CERTAINLY_HELD_MS ? context.retries : NO_RETRIES
  const delayMs = spacingDelayMs(POLL_INTERVAL_MS, elapsedMs, env.random)
  return wait(update(context, { retries }), "long-poll", delayMs)
}

/** Nothing new although there should have been: later again, a bounded number of times. */
function stall(context: SessionContext, env: SessionEnvironment): Step {
  const { transport } = context
  const noProgress = context.retries.noProgress + 1
  if (noProgress > (transport === "catch-up" ? MAX_STALLS : MAX_LIVE_STALLS)) {
    return handleError(context, transport, noProgressError(context, env.url))
  }
  const retries = { ...context.retries, noProgress }
  const delayMs = backoffDelayMs(env.backoff, noProgress, env.random)
  return wait(update(context, { retries }), transport, delayMs)
}

function request(context: SessionContext, transport: Transport): Step {
  if (context.started && context.hidden) return pause(context)
  const from = context.transport
  const next = from === transport ? context : update(context, { transport })
  const { offset, cursor } = next
  const effects: Effect[] = [RELEASE, { kind: "request", transport, offset, cursor }]
  if (from !== transport) effects.push(notify({ kind: "transport", from, to: transport }))
  return { state: { kind: "requesting", context: next }, effects }
}

function receive(context: SessionContext): Step {
  if (context.hidden) return pause(context)
  return { state: { kind: "receiving", context }, effects: [{ kind: "receive" }] }
}

function wait(context: SessionContext, next: Transport, delayMs: number, notice?: Effect): Step {
  if (context.started && context.hidden) return pause(context)
  if (delayMs === 0) return request(context, next)
  return {
    state: { kind: "waiting", context, next },
    effects: [RELEASE, { kind: "wait", delayMs }, ...(notice === undefined ? [] : [notice])],
  }
}

function retry(
  context: SessionContext,
  next: Transport,
  notice: TransportRetry,
  env: SessionEnvironment,
): Step {
  const retrying = retryingState(notice, env)
  return wait(
    update(context, { retrying }),
    next,
    notice.delayMs,
    notify({ kind: "retry", ...notice }),
  )
}

function retryingState(
  { error, attempt, delayMs }: RetryNotice,
  env: SessionEnvironment,
): Retrying {
  return { kind: "retrying", error, attempt, retryAtMs: env.nowMs + delayMs }
}

function handleError(context: SessionContext, next: Transport, error: unknown): Step {
  return {
    state: { kind: "handling-error", context, next },
    effects: [RELEASE, DROP_AHEAD, { kind: "handle-error", error }],
  }
}

function pause(context: SessionContext): Step {
  return {
    state: { kind: "paused", context: update(context, { retrying: undefined }) },
    effects: [RELEASE, DROP_AHEAD, notify({ kind: "pause", reason: "hidden" })],
  }
}

function end(context: SessionContext, outcome: SessionOutcome): Step {
  const error = outcome.kind === "failed" && { error: outcome.error }
  const shown = { kind: "ended", reason: outcome.kind, ...error } as const
  return {
    state: { kind: "ended", context, outcome, shown },
    effects: [RELEASE, DROP_AHEAD, { kind: "end", outcome }, notify({ ...shown, kind: "end" })],
  }
}

function stay(state: SessionState): Step {
  return { state, effects: NO_EFFECTS }
}

function notify(event: StreamEvent): Effect {
  return { kind: "notify", event }
}

/**
 * A context with some fields changed. Not by a spread: V8 gives each object that is spread a hidden class of its own, half a
 * kilobyte for every session that waits.
 */
function update(
  context: SessionContext | undefined,
  changes: Partial<SessionContext>,
): SessionContext {
  const copy: SessionContext = {
    offset: START_OFFSET,
    cursor: undefined,
    upToDate: false,
    visited: NOT_MOVED,
    deliveredBytes: 0,
    live: NOT_LIVE,
    retries: NO_RETRIES,
    roundTripMs: Infinity,
    started: false,
    hidden: false,
    stored: "confirmed",
    restarted: false,
    transport: "catch-up",
    retrying: undefined,
    lostNetwork: false,
  }
  return Object.assign(copy, context, changes)
}

function liveOf(kind: Live["kind"]): Live {
  return kind === "sse" ? { kind, failures: 0 } : { kind }
}

function noProgressError({ offset, transport }: SessionContext, url: string): DurableStreamError {
  const [why, header] =
    transport === "catch-up"
      ? ["returns the same pages again and again. Check for a stuck cache", "Up-To-Date"]
      : [
          "responds to live requests at once with nothing. Check for a cache or a proxy that drops the query",
          "Closed",
        ]
  return new DurableStreamError(
    `No progress at offset ${offset}: ${describeUrl(url)} ${why}, and that Stream-${header} is neither stripped ` +
      "nor hidden by CORS (Access-Control-Expose-Headers).",
    "NO_PROGRESS",
  )
}

/** Where the session has been, in constant space: its previous offset and one further back (Brent's cycle detection). */
export interface Visited {
  readonly previous: Offset
  readonly landmark: Offset
  /** Moves since the landmark, and how many until the next one. */
  readonly moves: number
  readonly span: number
}

function visitedFrom(start: Offset): Visited {
  return { previous: start, landmark: start, moves: 0, span: 1 }
}

function visit(visited: Visited, from: Offset, to: Offset): Visited {
  if (from === to) return visited
  const { landmark, span } = visited
  const moves = visited.moves + 1
  if (moves < span) return { previous: from, landmark, moves, span }
  return { previous: from, landmark: to, moves: 0, span: 2 * span }
}

/** Whether a move leads back to where the session was: offsets never come again, because streams only grow. */
function leadsBack(visited: Visited, to: Offset): boolean {
  return to === visited.previous || to === visited.landmark
}
