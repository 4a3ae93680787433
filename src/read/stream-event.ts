import type { Offset } from "../protocol/offset.ts"

/** How one request of a session reads. */
export type Transport = "catch-up" | "long-poll" | "sse"

/** Why SSE was given up. `lossy-text`: the stream holds text that SSE cannot carry unchanged. */
export type SseFallbackReason =
  | "short-connections"
  | "buffered"
  | "silent"
  | "failing"
  | "unsupported"
  | "malformed"
  | "lossy-text"

/** What a session does, as `observe` receives it. */
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
      /** Why SSE was given up, if it was. */
      readonly reason?: SseFallbackReason
    }
  /**
   * The stream does not know the stored offset that the session started at: it was probably deleted and created again. Its
   * messages start at `"-1"`.
   */
  | { readonly kind: "offset-mismatch"; readonly offset: Offset; readonly nextOffset: Offset }
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
