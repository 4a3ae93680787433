/**
 * The state machine of one participant: when it reads for itself, when it follows what the holder of the connection sends,
 * when it wants the connection. Pure: the driver (tabs-source.ts) executes the effects of each step.
 *
 * ```
 *  reading ── caught-up ──▶ following ── misses ──▶ alone
 *   ▲                        │    ▲                  │
 *   └─ announced, unaligned ─┘    └─ aligned again ──┘        end (every state) ─▶ ended
 * ```
 *
 * Invariants, enforced by test/property/follower-state.test.ts under the same numbers:
 * 1. Only a page that starts where the consumer's last page ended is delivered.
 * 2. At most one page is held; none while an inner session reads.
 * 3. Inner sessions begin at least {@link READ_GAP_MS} apart, unless a new connection is held.
 * 4. What is wanted from the holder is asked for at least {@link ASK_GAP_MS} apart.
 * 5. While hidden, a participant that pauses begins no inner session and does not queue for the lock.
 * 6. Only a visible participant takes the lock from a holder, after it asked and heard nothing for {@link RESPONSE_MS}.
 * 7. While its page is away (frozen, in the back/forward cache), it holds nothing, queues for nothing and posts nothing.
 * 8. A consumer that waits while the holder is elsewhere has a deadline.
 * 9. `ended` is final.
 *
 * @module
 */

import type { Offset } from "../protocol/offset.ts"
import type { FeedName, SharedPage } from "./wire.ts"

/** The holder repeats its offset this long after its last message. */
export const HEARTBEAT_MS = 1_000
/** After so much silence a follower asks. */
const SILENCE_MS = 1_500
/** What a response may take; after that a visible follower takes the lock, and any follower reads for itself. */
export const RESPONSE_MS = 1_000
/** A timer that is later than this says that this page slept: what it did not hear, it may not have been able to. */
const LATE_MS = 500
/** A page whose timers run this long after it departed is back: browsers do not report every return. */
const AWAY_MS = 1_000
/** Wants of one follower are at least this far apart. */
export const ASK_GAP_MS = 250
/** Inner sessions of one follower begin at least this far apart. */
export const READ_GAP_MS = 1_000
/** Reads in a row that may end where the holder has no page boundary. */
const MAX_MISSES = 3
/** A participant that reads alone asks the holder behind each page, and this often while there is none. */
const REJOIN_MS = 10_000
/** After its connection failed, a participant queues for the lock again this much later, doubled each time in a row. */
const REQUEUE_MS = 5_000
const MAX_REQUEUE_MS = 60_000

/** What every state has. */
export interface FollowerContext {
  /** Where the next page must start. */
  readonly offset: Offset
  /** Whether the consumer waits for a page. */
  readonly isWaiting: boolean
  /** Whether the caller has parts of the page at `offset`: then the inner session goes on with it. */
  readonly isMidPage: boolean
  readonly isHidden: boolean
  readonly isAway: boolean
  readonly departedAtMs: number
  /** Whether the channel is open. */
  readonly isJoined: boolean
  /** Towards the lock. `denied`: the platform does not give it. */
  readonly seat: "none" | "queued" | "holder" | "denied"
  readonly mayQueueAtMs: number
  readonly failedFeeds: number
  /** The connection that was heard last, and how far it is. */
  readonly feed: FeedName | undefined
  readonly tail: Offset | undefined
  /** A connection to the stream that was there before it was created again: its pages look as if they were of this one. */
  readonly barredFeed: string | undefined
  readonly heardAtMs: number
  /** When the silent holder loses the lock. */
  readonly stealAtMs: number | undefined
  readonly askedAtMs: number
  readonly readAtMs: number
  /** Reads in a row that could not be aligned with the holder. */
  readonly misses: number
}

/** Whether the holder is to be asked for the pages behind `offset`. */
type Ask =
  | { readonly kind: "none" }
  | { readonly kind: "due" }
  | { readonly kind: "sent"; readonly untilMs: number }

/** What a participant is doing. */
export type FollowerState = { readonly context: FollowerContext } & (
  | { readonly kind: "reading" }
  | {
      readonly kind: "following"
      readonly held: SharedPage | undefined
      readonly ask: Ask
      /** Whether an inner session is due. */
      readonly mustRead: boolean
    }
  /** It follows again as soon as it is at a boundary of the holder's, and asks at `askAtMs`. */
  | { readonly kind: "alone"; readonly askAtMs: number }
  | { readonly kind: "ended" }
)

type Following = Extract<FollowerState, { kind: "following" }>

/** What happened. */
export type FollowerEvent =
  /** The consumer has dealt with its page and waits for the next. `restarted`: its page was the first at a chosen offset. */
  | {
      readonly kind: "next"
      readonly offset: Offset
      readonly isMidPage: boolean
      readonly restarted: boolean
    }
  /** The inner session gave the consumer a page, or has reached the tail. */
  | { readonly kind: "taken" | "caught-up" }
  /** The consumer rejected a page of the holder's. */
  | { readonly kind: "rejected"; readonly offset: Offset }
  | { readonly kind: "page"; readonly feed: FeedName; readonly page: SharedPage }
  | {
      readonly kind: "offset"
      readonly feed: FeedName
      readonly offset: Offset
      readonly isHidden: boolean
    }
  | { readonly kind: "left"; readonly feed: FeedName }
  /** About the lock. `requested`: a visible participant wants it; `lost`: another took it; `denied`: the platform gives none. */
  | { readonly kind: "requested" | "granted" | "lost" | "denied" | "feed-failed" }
  | { readonly kind: "hidden" | "visible" | "departing" | "restored" }
  | { readonly kind: "timer" | "end" }

/** What the driver does, in order. */
export type FollowerEffect =
  /** Begin an inner session that ends at the tail, or a live one. */
  | { readonly kind: "read"; readonly offset: Offset; readonly isLive: boolean }
  | { readonly kind: "drop-read" }
  | { readonly kind: "deliver"; readonly page: SharedPage }
  | { readonly kind: "want"; readonly from: Offset; readonly isVisible: boolean }
  /** The channel: `join`, `leave`. The lock: `queue`, `steal`; `stand-up`: give it up, or leave the queue. */
  | { readonly kind: "join" | "leave" | "queue" | "steal" | "stand-up" }
  /** Begin the connection whose pages all participants get. */
  | { readonly kind: "feed"; readonly offset: Offset }
  /** Say that the holder is hidden or visible now. */
  | { readonly kind: "announce" }

/** What a transition may use besides the state. */
export interface FollowerEnvironment {
  /** Of a clock that only runs forward. */
  readonly nowMs: number
  /** Between 0 and 1. */
  readonly random: number
  /** Whether the participant pauses while it is hidden. */
  readonly pauses: boolean
}

/** What follows an event. */
export interface FollowerStep {
  readonly state: FollowerState
  readonly effects: readonly FollowerEffect[]
}

const NO_ASK: Ask = { kind: "none" }
const ASK_DUE: Ask = { kind: "due" }

/** A participant whose first inner session reads. */
export function initialFollower(offset: Offset, nowMs: number): FollowerState {
  const context: FollowerContext = {
    offset,
    isWaiting: false,
    isMidPage: false,
    isHidden: false,
    isAway: false,
    departedAtMs: -Infinity,
    isJoined: false,
    seat: "none",
    mayQueueAtMs: -Infinity,
    failedFeeds: 0,
    feed: undefined,
    tail: undefined,
    barredFeed: undefined,
    heardAtMs: nowMs,
    stealAtMs: undefined,
    askedAtMs: -Infinity,
    readAtMs: nowMs,
    misses: 0,
  }
  return { kind: "reading", context }
}

/** What follows an event in a state. Pure. An event that a state does not expect changes nothing. */
export function followerTransition(
  state: FollowerState,
  event: FollowerEvent,
  env: FollowerEnvironment,
): FollowerStep {
  if (state.kind === "ended") return { state, effects: [] }
  const step = react(state, event, env)
  return advance(watchSilence(takeSeat(step, env), env), env)
}

/** When the participant has something to do without an event: the driver dispatches `timer` then. */
export function wakeAtMs(state: FollowerState, pauses: boolean): number {
  const { context } = state
  if (state.kind === "ended") return Infinity
  if (context.isAway) return context.departedAtMs + AWAY_MS
  const times: number[] = []
  if (canQueue(state, pauses)) times.push(context.mayQueueAtMs)
  if (canSteal(state)) times.push(context.stealAtMs ?? silentAtMs(context))
  if (state.kind === "alone" && mayRejoin(context)) times.push(mayAskAtMs(context, state.askAtMs))
  if (state.kind === "following" && context.isWaiting) {
    const { ask, mustRead } = state
    if (mustRead) times.push(mayRead(context, pauses) ? context.readAtMs + READ_GAP_MS : Infinity)
    else if (ask.kind === "due") times.push(mayAskAtMs(context))
    else if (ask.kind === "sent") times.push(ask.untilMs)
  }
  return Math.min(...times)
}

function react(state: FollowerState, event: FollowerEvent, env: FollowerEnvironment): FollowerStep {
  const { context } = state
  switch (event.kind) {
    case "next": {
      const { offset, isMidPage, restarted } = event
      const barredFeed = restarted ? context.feed?.feed : context.barredFeed
      const tail = restarted ? undefined : context.tail
      const next = update(state, { offset, isMidPage, barredFeed, tail, isWaiting: true })
      if (next.kind === "alone") return to({ ...next, askAtMs: -Infinity })
      const isElsewhere = next.kind === "following" && next.held && next.held.start !== offset
      return to(isElsewhere ? { ...next, held: undefined, ask: ASK_DUE } : next)
    }
    case "taken":
      return to(update(state, { isWaiting: false }))
    case "caught-up":
      return onCaughtUp(state)
    case "rejected":
      if (state.kind !== "following") return to(state)
      return to({ ...update(state, { offset: event.offset }), held: undefined, mustRead: true })
    case "page":
    case "offset":
      return context.isJoined ? onHeard(state, event, env) : to(state)
    case "left":
      return to(update(state, { heardAtMs: env.nowMs, stealAtMs: undefined }))
    case "requested":
      if (context.seat !== "holder" || !context.isHidden) return to(state)
      return to(update(state, { seat: "none" }), { kind: "stand-up" })
    case "granted":
      return onGranted(state, env)
    case "lost":
      return to(update(state, { seat: "none", heardAtMs: env.nowMs }))
    case "denied":
      return to(mustRead(update(state, { seat: "denied", misses: MAX_MISSES })))
    case "feed-failed":
      return onFeedFailed(state, env)
    case "hidden":
    case "visible":
    case "departing":
    case "restored":
      return onLifecycle(state, event.kind, env)
    case "timer": {
      const isBack = context.isAway && env.nowMs >= context.departedAtMs + AWAY_MS
      return isBack ? onLifecycle(state, "restored", env) : to(state)
    }
    case "end":
      return to({ kind: "ended", context })
  }
}

function onCaughtUp(state: FollowerState): FollowerStep {
  const { context } = state
  if (state.kind !== "reading") return to(state)
  const isDenied = context.seat === "denied"
  const followed: Following = {
    kind: "following",
    context: { ...context, isJoined: !context.isAway },
    held: undefined,
    ask: ASK_DUE,
    mustRead: isDenied,
  }
  if (context.isJoined || context.isAway) return to(followed)
  return to(followed, { kind: "join" })
}

type Heard = Extract<FollowerEvent, { kind: "page" | "offset" }>

function onHeard(state: FollowerState, event: Heard, env: FollowerEnvironment): FollowerStep {
  const { nowMs } = env
  const { feed } = event
  const isBarred = feed.feed === state.context.barredFeed
  const tail = event.kind === "page" ? event.page.end.offset : event.offset
  const heard = update(state, {
    feed,
    heardAtMs: nowMs,
    stealAtMs: undefined,
    ...(!isBarred && { tail }),
    ...(state.context.seat === "holder" && event.kind === "page" && { failedFeeds: 0 }),
  })
  const { seat, isHidden } = heard.context
  const wantsLock = event.kind === "offset" && event.isHidden && seat === "queued" && !isHidden
  const step = wantsLock ? want(heard, nowMs) : to(heard)
  if (isBarred) return step
  const aligned = align(step.state, event)
  const isBack = state.kind === "alone" && aligned.kind === "following"
  return then(step, aligned, ...(isBack ? [{ kind: "drop-read" } as const] : []))
}

/** Whether what was heard starts, or ends, where this participant is. */
function align(state: FollowerState, event: Heard): FollowerState {
  const { context } = state
  const { offset } = context
  const page = event.kind === "page" && event.page.start === offset ? event.page : undefined
  const isAligned = page !== undefined || context.tail === offset
  if (state.kind === "following") {
    if (state.held !== undefined || state.mustRead) return state
    if (!isAligned) return state.ask.kind === "none" ? { ...state, ask: ASK_DUE } : state
    return follow(context, isNews(page) ? page : undefined)
  }
  const canFollow = state.kind === "alone" && isAligned && mayRejoin(context)
  return canFollow ? follow(context, isNews(page) ? page : undefined) : state
}

/** A page without content says that the stream is closed, or what the reader knows. */
function isNews(page: SharedPage | undefined): boolean {
  return page !== undefined && (page.end.offset !== page.start || page.end.streamClosed)
}

function follow(context: FollowerContext, held: SharedPage | undefined): Following {
  const aligned = { ...context, misses: 0 }
  return { kind: "following", context: aligned, held, ask: NO_ASK, mustRead: false }
}

function onGranted(state: FollowerState, { nowMs }: FollowerEnvironment): FollowerStep {
  const { offset, tail, isAway } = state.context
  if (isAway) return to(update(state, { seat: "none" }), { kind: "stand-up" })
  const held = update(state, { seat: "holder", stealAtMs: undefined, heardAtMs: nowMs })
  // The others are where the last connection was, or ask.
  return to(held, { kind: "feed", offset: tail ?? offset })
}

function onFeedFailed(state: FollowerState, { nowMs }: FollowerEnvironment): FollowerStep {
  if (state.context.seat !== "holder") return to(state)
  const { failedFeeds } = state.context
  const delayMs = Math.min(REQUEUE_MS * 2 ** failedFeeds, MAX_REQUEUE_MS)
  const failed = update(state, {
    seat: "none",
    failedFeeds: failedFeeds + 1,
    mayQueueAtMs: nowMs + delayMs,
    heardAtMs: nowMs,
  })
  // What it failed with, its own request finds out, and its error handler decides.
  return to(mustRead(failed), { kind: "stand-up" })
}

function onLifecycle(
  state: FollowerState,
  kind: "hidden" | "visible" | "departing" | "restored",
  { nowMs, pauses }: FollowerEnvironment,
): FollowerStep {
  const { seat, isAway, isJoined } = state.context
  if (kind === "departing") {
    const away = update(state, { isAway: true, isJoined: false, departedAtMs: nowMs })
    if (!isJoined) return to(away)
    const freed = seat === "denied" ? away : update(away, { seat: "none" })
    return to(freed, { kind: "stand-up" }, { kind: "leave" })
  }
  if (kind === "hidden") {
    const hidden = update(state, { isHidden: true, stealAtMs: undefined })
    if (seat === "holder") return to(hidden, { kind: "announce" })
    if (seat !== "queued" || !pauses) return to(hidden)
    return to(update(hidden, { seat: "none" }), { kind: "stand-up" })
  }
  const isHidden = kind === "visible" ? false : state.context.isHidden
  const heard = { heardAtMs: nowMs, stealAtMs: undefined }
  const shown = update(state, { isAway: false, isHidden, ...heard })
  const isBack = isAway && shown.kind !== "reading"
  const back = isBack ? update(shown, { isJoined: true }) : shown
  const asking = back.kind === "following" ? { ...back, ask: ASK_DUE } : back
  if (seat === "holder") return to(asking, { kind: "announce" })
  return to(asking, ...(isBack ? [{ kind: "join" } as const] : []))
}

/** Queues for the lock once there is something to follow. */
function takeSeat(step: FollowerStep, { nowMs, pauses }: FollowerEnvironment): FollowerStep {
  const { state } = step
  if (!canQueue(state, pauses) || nowMs < state.context.mayQueueAtMs) return step
  return then(step, update(state, { seat: "queued" }), { kind: "queue" })
}

function canQueue({ context }: FollowerState, pauses: boolean): boolean {
  return context.isJoined && context.seat === "none" && !(context.isHidden && pauses)
}

/** Asks a silent holder, and takes the lock from one that stays silent. */
function watchSilence(step: FollowerStep, env: FollowerEnvironment): FollowerStep {
  const { state } = step
  const { context } = state
  const { nowMs } = env
  const { stealAtMs } = context
  if (!canSteal(state)) return step
  if (stealAtMs !== undefined && nowMs >= stealAtMs && nowMs <= stealAtMs + LATE_MS) {
    const stealing = update(state, { seat: "queued", stealAtMs: undefined, heardAtMs: nowMs })
    return then(step, stealing, { kind: "steal" })
  }
  const isDue = stealAtMs === undefined ? nowMs >= silentAtMs(context) : nowMs > stealAtMs + LATE_MS
  if (!isDue) return step
  // All that are visible hear the same silence: the first to take the lock is heard by the others.
  const waitMs = RESPONSE_MS * (1 + env.random)
  const asked = want(update(state, { stealAtMs: nowMs + waitMs }), nowMs)
  return then(step, asked.state, ...asked.effects)
}

function canSteal({ kind, context }: FollowerState): boolean {
  const { isJoined, isHidden, seat } = context
  return isJoined && !isHidden && seat === "queued" && kind !== "reading"
}

function silentAtMs(context: FollowerContext): number {
  return mayAskAtMs(context, context.heardAtMs + SILENCE_MS)
}

/** Gives the consumer that waits what there is, or gets it. */
function advance(step: FollowerStep, env: FollowerEnvironment): FollowerStep {
  const { state } = step
  const { context } = state
  const { nowMs, pauses } = env
  if (!context.isWaiting || context.isAway) return step
  if (state.kind === "alone") {
    if (!mayRejoin(context) || nowMs < mayAskAtMs(context, state.askAtMs)) return step
    const asked = want({ ...state, askAtMs: nowMs + REJOIN_MS }, nowMs)
    return then(step, asked.state, ...asked.effects)
  }
  if (state.kind !== "following") return step
  const { held, ask } = state
  if (held?.content !== undefined) {
    return then(step, afterDelivery(state, held), { kind: "deliver", page: held })
  }
  if (held !== undefined) {
    return advance(then(step, { ...state, held: undefined, mustRead: true }), env)
  }
  if (state.mustRead) {
    const isDue = mayRead(context, pauses) && nowMs >= context.readAtMs + READ_GAP_MS
    return isDue ? read(step, env) : step
  }
  if (ask.kind === "due" && nowMs >= mayAskAtMs(context)) {
    const asked = want({ ...state, ask: { kind: "sent", untilMs: nowMs + RESPONSE_MS } }, nowMs)
    return then(step, asked.state, ...asked.effects)
  }
  if (ask.kind !== "sent" || nowMs < ask.untilMs) return step
  const isHeard = context.heardAtMs >= context.askedAtMs && context.feed !== undefined
  // Without a holder there is nothing to align with: the lock is on its way to somebody.
  if (!isHeard) return then(step, { ...state, ask: NO_ASK })
  const missed = update(state, { misses: context.misses + 1 })
  return advance(then(step, { ...missed, ask: NO_ASK, mustRead: true }), env)
}

function afterDelivery(state: Following, page: SharedPage): Following {
  const offset = page.end.offset
  const ask = state.context.tail === offset ? NO_ASK : ASK_DUE
  const context = { ...state.context, offset, isWaiting: false }
  return { ...state, context, held: undefined, ask }
}

function read(step: FollowerStep, { nowMs }: FollowerEnvironment): FollowerStep {
  const { offset, misses } = step.state.context
  const isLive = misses >= MAX_MISSES
  const context = { ...step.state.context, readAtMs: nowMs }
  const state: FollowerState = isLive
    ? { kind: "alone", context, askAtMs: nowMs + REJOIN_MS }
    : { kind: "reading", context }
  return then(step, state, { kind: "read", offset, isLive })
}

function mayRead({ isHidden, isAway }: FollowerContext, pauses: boolean): boolean {
  return !isAway && !(isHidden && pauses)
}

/** Whether a participant that reads alone could follow. */
function mayRejoin({ isWaiting, isMidPage, isJoined, seat }: FollowerContext): boolean {
  return isWaiting && !isMidPage && isJoined && seat !== "denied"
}

function mayAskAtMs(context: FollowerContext, atMs = -Infinity): number {
  return Math.max(atMs, context.askedAtMs + ASK_GAP_MS)
}

/** Asks for what lies behind the offset, unless something was asked for just now. */
function want(state: FollowerState, nowMs: number): FollowerStep {
  const { offset, isHidden, isJoined } = state.context
  if (!isJoined || nowMs < mayAskAtMs(state.context)) return to(state)
  const effect: FollowerEffect = { kind: "want", from: offset, isVisible: !isHidden }
  return to(update(state, { askedAtMs: nowMs }), effect)
}

function mustRead(state: FollowerState): FollowerState {
  return state.kind === "following" ? { ...state, mustRead: true } : state
}

function update<S extends FollowerState>(state: S, changes: Partial<FollowerContext>): S {
  return { ...state, context: { ...state.context, ...changes } }
}

function to(state: FollowerState, ...effects: readonly FollowerEffect[]): FollowerStep {
  return { state, effects }
}

function then(
  step: FollowerStep,
  state: FollowerState,
  ...effects: readonly FollowerEffect[]
): FollowerStep {
  return { state, effects: [...step.effects, ...effects] }
}
