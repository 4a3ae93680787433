import { DurableStreamError } from "../errors/durable-stream-error.ts"
import type { HeldMessage } from "./message.ts"
import type { Offset } from "../protocol/offset.ts"

/** Where a stream ends. */
export interface StreamEnd {
  /** An empty string where the server does not say. */
  finalOffset: Offset
}

/**
 * What a producer is at.
 *
 * ```text
 *          close()            acknowledged
 *   open ──────────▶ closing ─────────────▶ closed
 *    │ ▲                │ │
 *    │ └────────────────┘ │ a message was left out: the stream was not closed
 *    │  detach()          │
 *    ├──────────▶ detaching ─▶ detached
 *    └──────── any ───────┴──▶ failed
 * ```
 */
export type ProducerState =
  | { readonly kind: "open" }
  | {
      readonly kind: "closing"
      readonly closed: Promise<StreamEnd>
      readonly last: HeldMessage | undefined
    }
  | {
      readonly kind: "closed"
      readonly closed: Promise<StreamEnd>
      readonly last: HeldMessage | undefined
    }
  | { readonly kind: "detaching"; readonly detached: Promise<void> }
  | { readonly kind: "detached"; readonly detached: Promise<void> }
  | { readonly kind: "failed"; readonly error: Error }

/** The error for a call that comes after the producer's end. */
export function endedError({ kind }: ProducerState, call: string, stream: string): Error {
  return new DurableStreamError(
    `${call} came after the producer of ${stream} was told to end (it is ${kind}). Make a new one.`,
    "ALREADY_CLOSED",
  )
}
