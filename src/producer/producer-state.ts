import type { MessageSnapshot } from "../protocol/message.ts"
import type { Offset } from "../protocol/offset.ts"

/** Where a stream ends. */
export interface StreamEnd {
  /** An empty string if the server does not say. */
  finalOffset: Offset
}

/** Ends a wait. */
export interface WaitOptions {
  /** Ends the wait: the call rejects with an abort. */
  signal?: AbortSignal | undefined
}

/**
 * What a producer is at.
 *
 * ```text
 *          close()            acknowledged
 *   open ──────────▶ closing ─────────────▶ closed
 *    │ ▲                │ │
 *    │ └────────────────┘ │ a message was rejected: the stream was not closed
 *    │  detach()          │
 *    ├──────────▶ detaching ─▶ detached
 *    └──────── any ───────┴──▶ failed
 * ```
 */
export type ProducerState =
  | { readonly kind: "open" }
  | {
      readonly kind: "closing" | "closed"
      readonly closed: Promise<StreamEnd>
      readonly last: MessageSnapshot | undefined
    }
  | { readonly kind: "detaching" | "detached"; readonly detached: Promise<void> }
  | { readonly kind: "failed"; readonly error: Error }
