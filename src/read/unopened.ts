import { FetchError } from "../errors/fetch-error.ts"
import { failureOf } from "../http/failure.ts"
import type { BrokenPayload } from "./payload.ts"
import type { SilentRead } from "./silent-read.ts"
import type { SseEnding } from "./sse-health.ts"
import type { Transport } from "./stream-event.ts"

/** What became of a request that brought neither a page nor a connection. */
export type Unopened =
  | { readonly kind: "sse-ended"; readonly ending: SseEnding }
  | { readonly kind: "unanswered"; readonly elapsedMs: number }
  | { readonly kind: "failed"; readonly error: unknown }
  | BrokenPayload

/** Answers to an SSE request that mean that this server, or something in front of it, does not do SSE. */
const sseRefusals: readonly number[] = [400, 405, 406, 415, 501]

/** What a request means that failed for good, as far as it may be tried again. */
export function failedRequest(transport: Transport, error: unknown): Unopened {
  if (transport !== "sse" || !(error instanceof FetchError)) return { kind: "failed", error }
  const { status } = error
  if (sseRefusals.includes(status)) return unopenedSse("unsupported")
  const failure = failureOf(error)
  if (failure?.retryable !== true) return { kind: "failed", error }
  return unopenedSse("failed", { error, retryAfterMs: failure.retryAfterMs })
}

/** What a request means that was given up for its silence. */
export function silentRequest(
  transport: Transport,
  silent: SilentRead,
  elapsedMs: number,
): Unopened {
  const idle = silent.damage === "cut"
  if (transport === "sse") return unopenedSse(idle ? "no-answer" : "slept")
  if (transport === "long-poll" && idle) return { kind: "unanswered", elapsedMs }
  return { kind: "broken", damage: silent.damage, error: silent }
}

/** An SSE request that did not become a connection. */
export function unopenedSse(
  kind: "no-answer" | "failed" | "slept" | "unsupported",
  failure?: SseEnding["failure"],
): Unopened {
  const ending = { kind, livedMs: 0, spoke: false, progressed: false, buffered: false }
  return { kind: "sse-ended", ending: failure === undefined ? ending : { ...ending, failure } }
}
