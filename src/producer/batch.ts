import type { Attempt } from "./attempt.ts"
import type { BatchContent } from "./batch-content.ts"
import type { BatchNumber } from "./epochs.ts"
import type { FinalOutcome } from "./outcome.ts"

/**
 * What the earlier attempts under a batch's number left behind.
 *
 * - `none`: nothing. None was made, or the server did not apply any: the batch is clean.
 * - `out-of-order`: the server did not apply any; a layer that repeats requests may still deliver one in its turn.
 * - `unknown`: one of them may have been applied.
 */
export type EarlierAttempts = "none" | "out-of-order" | "unknown"

export interface SentState {
  readonly number: BatchNumber
  readonly earlier: EarlierAttempts
  /** The place of its latest request among all requests of the producer, from 1. */
  readonly sendOrder: number
  /** When its first attempt began, by the monotonic clock. */
  readonly firstSentAtMs: number
  /** How many attempts failed and could be repeated. */
  readonly failureCount: number
}

/**
 * What a batch is at. Under one number a batch is sent any number of times, always with the same bytes, and nothing else ever
 * is.
 *
 * ```text
 *              send                 acknowledge
 *   queued ──────────▶ in-flight ──────────────────▶ acknowledged
 *     ▲                  │  ▲  │                          ▲
 *     │                  │  │  └──────reject──────┐       │ acknowledge: a later
 *     │             fail ▼  │ send                ▼       │ batch proves it
 *     ├── renumber ── retrying ──────────────▶ rejected ──┤
 *     │                     │                     │ │
 *     └─────────────────────┼── renumber ─────────┘ │ abandon, if the effect of
 *                           └──────▶ indeterminate ◀┘ an attempt is unknown
 * ```
 *
 * `acknowledged` and `indeterminate` are final. `rejected` means that no more attempts are made under the number:
 * recovery decides what follows.
 */
export type BatchState =
  | { readonly kind: "queued" | "acknowledged" | "indeterminate" }
  | ({ readonly kind: "in-flight" | "retrying" } & SentState)
  | ({ readonly kind: "rejected"; readonly outcome: FinalOutcome } & SentState)

export type BatchEvent =
  /** A request goes out. Only a queued batch takes the number. */
  | {
      readonly kind: "send"
      readonly number: BatchNumber
      readonly sendOrder: number
      readonly nowMs: number
    }
  /** The request failed and can be repeated. `out-of-order`: the server waits for an earlier batch. */
  | { readonly kind: "fail"; readonly effect: EarlierAttempts }
  /** The batch is stored, as its response or a later batch's says. */
  | { readonly kind: "acknowledge" }
  /** The request failed for good. */
  | { readonly kind: "reject"; readonly outcome: FinalOutcome }
  /** The batch before it is not stored; the server stores in order, so this one is not either. */
  | { readonly kind: "prove-not-stored" }
  /** It gets a number in a higher epoch with its next send. Illegal if it may be stored under the old one. */
  | { readonly kind: "renumber" }
  /** Nothing more will be sent or received. */
  | { readonly kind: "abandon" }

export const QUEUED: BatchState = { kind: "queued" }
const INDETERMINATE: BatchState = { kind: "indeterminate" }

/**
 * The state after an event.
 *
 * @throws TypeError if the event is illegal in the state: a fault of this package
 */
export function nextBatchState(state: BatchState, event: BatchEvent): BatchState {
  const isSettled = state.kind === "acknowledged" || state.kind === "indeterminate"
  if (state.kind === "queued") {
    if (event.kind === "send") {
      const { number, sendOrder, nowMs: firstSentAtMs } = event
      const sent: SentState = { number, earlier: "none", sendOrder, firstSentAtMs, failureCount: 0 }
      return { kind: "in-flight", ...sent }
    }
    if (["renumber", "prove-not-stored", "abandon"].includes(event.kind)) return state
  } else if (event.kind === "acknowledge" && !isSettled) {
    return { kind: "acknowledged" }
  } else if (state.kind === "in-flight") {
    if (event.kind === "fail") {
      const failureCount = state.failureCount + (event.effect === "out-of-order" ? 0 : 1)
      return { ...state, kind: "retrying", failureCount, earlier: worse(state, event.effect) }
    }
    if (event.kind === "reject") {
      const { outcome } = event
      return { ...state, kind: "rejected", outcome, earlier: worse(state, outcome.effect) }
    }
    if (event.kind === "abandon") return INDETERMINATE
  } else if (state.kind === "retrying" || state.kind === "rejected") {
    const isUnknown = state.earlier === "unknown"
    if (event.kind === "send" && state.kind === "retrying") {
      return { ...state, kind: "in-flight", sendOrder: event.sendOrder }
    }
    if (event.kind === "prove-not-stored") return { ...state, earlier: "none" }
    if (event.kind === "renumber" && !isUnknown) return QUEUED
    if (event.kind === "abandon") return isUnknown ? INDETERMINATE : state
  }
  throw new TypeError(`A batch that is ${state.kind} cannot ${event.kind}.`)
}

function worse({ earlier }: SentState, latest: EarlierAttempts): EarlierAttempts {
  if (earlier === "unknown" || latest === "none") return earlier
  return latest
}

/** A sealed batch on its way. */
export interface Batch {
  /** Replaced only by the same messages in another form, which needs another number. */
  content: BatchContent
  /** Its place among all batches. The halves of a batch keep its place. */
  readonly index: number
  /** Changed by {@link applyEvent} alone. */
  state: BatchState
  attempt: Attempt | undefined
}

export function applyEvent(batch: Batch, event: BatchEvent): void {
  batch.state = nextBatchState(batch.state, event)
}
