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

/**
 * What a batch is at. Under one number a batch is sent any number of times, always with the same bytes, and nothing else ever
 * is.
 *
 * ```text
 *              send                 acknowledge
 *   queued ──────────▶ in-flight ──────────────────▶ acknowledged
 *     ▲                  │  ▲  │                          ▲
 *     │   fail, out-of-  │  │  └──────reject──────┐       │ acknowledge: a later
 *     │   order          ▼  │ send                ▼       │ batch proves it
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
  | { readonly kind: "queued" }
  | {
      readonly kind: "in-flight" | "retrying"
      readonly number: BatchNumber
      readonly earlier: EarlierAttempts
    }
  | {
      readonly kind: "rejected"
      readonly number: BatchNumber
      readonly earlier: EarlierAttempts
      readonly outcome: FinalOutcome
    }
  | { readonly kind: "acknowledged" }
  | { readonly kind: "indeterminate" }

/** What happens to a batch. */
export type BatchEvent =
  /** A request goes out. A queued batch takes the number. */
  | { readonly kind: "send"; readonly number: BatchNumber }
  /** The request failed and can be repeated. */
  | { readonly kind: "fail"; readonly effect: "none" | "unknown" }
  /** The server waits for an earlier batch. */
  | { readonly kind: "out-of-order" }
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

const QUEUED: BatchState = { kind: "queued" }
const INDETERMINATE: BatchState = { kind: "indeterminate" }
const ACKNOWLEDGED: BatchState = { kind: "acknowledged" }

/**
 * The state after an event.
 *
 * @throws TypeError if the event is illegal in the state: a fault of this package
 */
export function nextBatchState(state: BatchState, event: BatchEvent): BatchState {
  switch (state.kind) {
    case "queued":
      if (event.kind === "send") {
        return { kind: "in-flight", number: event.number, earlier: "none" }
      }
      if (event.kind === "renumber" || event.kind === "prove-not-stored") return state
      if (event.kind === "abandon") return state
      break
    case "in-flight":
      switch (event.kind) {
        case "fail":
          return { ...state, kind: "retrying", earlier: after(state.earlier, event.effect) }
        case "out-of-order":
          return { ...state, kind: "retrying", earlier: after(state.earlier, "out-of-order") }
        case "reject":
          return {
            kind: "rejected",
            number: state.number,
            earlier: after(state.earlier, event.outcome.effect),
            outcome: event.outcome,
          }
        case "acknowledge":
          return ACKNOWLEDGED
        case "abandon":
          return INDETERMINATE
        default:
      }
      break
    case "retrying":
    case "rejected":
      switch (event.kind) {
        case "send":
          if (state.kind === "retrying") return { ...state, kind: "in-flight" }
          break
        case "acknowledge":
          return ACKNOWLEDGED
        case "prove-not-stored":
          return { ...state, earlier: "none" }
        case "renumber":
          if (state.earlier !== "unknown") return QUEUED
          break
        case "abandon":
          return state.earlier === "unknown" ? INDETERMINATE : state
        default:
      }
      break
    case "acknowledged":
    case "indeterminate":
  }
  throw new TypeError(`A batch that is ${state.kind} cannot ${event.kind}.`)
}

const SEVERITY: readonly EarlierAttempts[] = ["none", "out-of-order", "unknown"]

function after(earlier: EarlierAttempts, latest: EarlierAttempts): EarlierAttempts {
  return SEVERITY.indexOf(latest) > SEVERITY.indexOf(earlier) ? latest : earlier
}
