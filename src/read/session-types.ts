import type { Offset } from "../protocol/offset.ts"
import type { OffsetTrack } from "./offset-loop.ts"
import type { PageMark } from "./page.ts"
import type { SseEnding, SseHealth } from "./sse-health.ts"
import type { PauseReason, Transport } from "./stream-event.ts"

/** What a session is doing; the driver does what `kind` says. Diagram and invariants: session-state.ts. */
export type SessionState =
  | (Reading & { readonly kind: "requesting"; readonly transport: Transport })
  | (Reading & { readonly kind: "receiving" })
  | (Reading & {
      readonly kind: "delivering"
      readonly transport: Transport
      readonly mark: PageMark
      /** How long the answer took to come. */
      readonly elapsedMs: number
    })
  | (Reading & {
      readonly kind: "waiting"
      readonly transport: Transport
      readonly delayMs: number
    })
  | (Reading & { readonly kind: "asking"; readonly transport: Transport; readonly error: unknown })
  | (Reading & { readonly kind: "paused" })
  | (Reading & { readonly kind: "ended"; readonly outcome: SessionOutcome })

/** How a session ended. */
export type SessionOutcome =
  | { readonly kind: "eof" }
  | { readonly kind: "up-to-date" }
  | { readonly kind: "cancelled"; readonly reason: unknown }
  | { readonly kind: "aborted"; readonly reason: unknown }
  | { readonly kind: "failed"; readonly error: unknown }

/** What every state carries. */
export interface Reading {
  readonly offset: Offset
  readonly track: OffsetTrack
  readonly cursor: string | undefined
  readonly upToDate: boolean
  readonly streamClosed: boolean
  /** Bytes behind `offset` that the consumer has been handed already: half a page, before it broke off. */
  readonly handedOnBytes: number
  /** Whether the first answer has come. */
  readonly answered: boolean
  /** The transport once caught up; undefined for a finite read. */
  readonly liveTransport: "long-poll" | "sse" | undefined
  /** The quickest catch-up answer so far, in milliseconds: how far away the server is. */
  readonly roundTripMs: number
  readonly pausedFor: ReadonlySet<PauseReason>
  readonly sse: SseHealth
  /** Answers in a row that brought nothing new when they should have. */
  readonly stalls: number
  /** Transfers in a row that broke off, or brought damage, and nothing new. */
  readonly breaks: number
  /** Damaged pages since something new came, however often the network broke off in between. */
  readonly damages: number
  /** Decisions in a row to go on after a failure that brought nothing new. */
  readonly decisions: number
  /** How often in a row text came by SSE that it cannot carry, and nothing by other transports. */
  readonly inexact: number
}

/** What happened. */
export type SessionEvent =
  /** An answer's headers, or an SSE control event, told of a page. */
  | { readonly kind: "page"; readonly mark: PageMark; readonly elapsedMs: number }
  /** The content type has told which transport fits; undefined: the consumer wants no more than what is there. */
  | { readonly kind: "live-transport"; readonly transport: Reading["liveTransport"] }
  /** An SSE connection stands. */
  | { readonly kind: "opened" }
  /** The consumer has taken the page. */
  | { readonly kind: "delivered"; readonly bytes: number; readonly empty: boolean }
  /** A transfer ended before its page was whole. */
  | {
      readonly kind: "broken"
      readonly error: Error
      /** Bytes of this page that the consumer was handed before. */
      readonly handedOnBytes: number
      readonly damage: "cut" | "malformed" | "stale"
    }
  /** An SSE connection ended, or could not be used. */
  | { readonly kind: "sse-ended"; readonly ending: SseEnding }
  /** A long-poll stayed without an answer for longer than is waited for. */
  | { readonly kind: "unanswered"; readonly elapsedMs: number }
  /** SSE brought text that it cannot carry faithfully. */
  | { readonly kind: "inexact" }
  /** A request failed and may not be tried again. */
  | { readonly kind: "failed"; readonly error: unknown }
  /** The error handler has decided. */
  | {
      readonly kind: "decided"
      readonly again: boolean
      readonly error: unknown
      /** What is left of the time that the server asked to wait for. */
      readonly retryAfterMs: number
      /** From when the last decision to go on was carried out to the failure; Infinity where there was none. */
      readonly sinceLastMs: number
    }
  | { readonly kind: "woke" }
  | { readonly kind: "pause"; readonly reason: PauseReason }
  | { readonly kind: "resume"; readonly reason: PauseReason }
  | { readonly kind: "cancel"; readonly reason: unknown }
  | { readonly kind: "abort"; readonly reason: unknown }
  /** The consumer failed. */
  | { readonly kind: "fail"; readonly error: unknown }
