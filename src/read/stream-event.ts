import type { Offset } from "../protocol/offset.ts"

/** How one request of a session reads. */
export type Transport = "catch-up" | "long-poll" | "sse"

/** Why SSE was given up. */
export type SseFallbackReason =
  "short-connections" | "buffered" | "silent" | "failing" | "unsupported" | "malformed"

/** What a session does, as `observe` is told it. */
export type StreamEvent =
  | {
      readonly kind: "request"
      readonly transport: Transport
      readonly offset: Offset
      /** From 1; above it the request is a retry. */
      readonly attempt: number
    }
  | {
      readonly kind: "response"
      readonly transport: Transport
      readonly status: number
      /** From the request to its headers. */
      readonly durationMs: number
    }
  | {
      readonly kind: "retry"
      readonly transport: Transport
      readonly attempt: number
      readonly delayMs: number
      readonly error: Error
    }
  | {
      readonly kind: "transport"
      readonly from: Transport
      readonly to: Transport
      /** Why SSE was given up, where that is what happened. */
      readonly reason?: SseFallbackReason
    }
  | { readonly kind: "pause"; readonly reason: PauseReason }
  | { readonly kind: "resume"; readonly reason: PauseReason }
  | {
      readonly kind: "end"
      /** `eof`: the stream is closed; `up-to-date`: a finite read has caught up. */
      readonly reason: "eof" | "up-to-date" | "cancelled" | "aborted" | "failed"
      readonly error?: unknown
    }

/** Why a session pauses. */
export type PauseReason = "hidden"
