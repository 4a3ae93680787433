import { backoffDelayMs, spacingDelayMs } from "../http/backoff.ts"
import type { TransferFailure } from "./page.ts"
import type { SseFallbackReason, SseSettings, Transport } from "./stream-options.ts"

/** How an SSE connection ended, or a request for one. */
export interface SseEnding {
  /** `unsupported`: the response is not an event stream. `lossy-text`: SSE has changed the text. */
  readonly kind: "closed" | "unsupported" | "lossy-text" | TransferFailure["kind"]
  /** The best of what it brought. `content`: it was new. `burst`: all of it arrived at once, at its end. */
  readonly brought: "no-response" | "nothing" | "events" | "content" | "burst"
  readonly livedMs: number
  /** What the request failed with, and how long the server asked to wait. */
  readonly failure?: { readonly error: Error; readonly retryAfterMs: number } | undefined
}

export type SseVerdict =
  | {
      readonly kind: "reconnect"
      /** Connections in a row that did not work. */
      readonly failures: number
      readonly delayMs: number
      /** Catch-up first, if that distinguishes a server that is down from one whose SSE alone fails. */
      readonly transport: Extract<Transport, "sse" | "catch-up">
    }
  | { readonly kind: "fall-back"; readonly reason: SseFallbackReason }

/** A connection that ends sooner was not held open, whatever the settings say: following it at once would be a loop. */
export const MIN_LIVED_MS = 50

/** Connections without new content are at least this far apart on average, start to start, whatever the settings say. */
const MIN_INTERVAL_MS = 300

/** This many failures in a row may follow each other as quickly as the settings allow. */
const FREE_FAILURES = 3

/** Whether a connection ended as soon as it began. */
export function isShort(
  ending: Pick<SseEnding, "livedMs">,
  settings: Pick<SseSettings, "minConnectionDuration">,
): boolean {
  return ending.livedMs < Math.max(settings.minConnectionDuration, MIN_LIVED_MS)
}

/**
 * Decides after an SSE connection: another one, or long-poll for the rest of the session. The rule: SSE is given up for good
 * when a connection proves that it cannot work, or after `maxShortConnections` in a row that did not work. A connection
 * worked if it brought new content, however short it was, or was held open and brought an event.
 *
 * @param failures - connections in a row before this one that did not work
 * @param random - between 0 and 1
 */
export function judgeSse(
  ending: SseEnding,
  failures: number,
  settings: SseSettings,
  random: number,
): SseVerdict {
  const short = isShort(ending, settings)
  const spacingMs = spacingDelayMs(MIN_INTERVAL_MS, ending.livedMs, random)
  const { backoffBaseDelay: initialDelay, backoffMaxDelay: maxDelay } = settings
  const backoffMs = (attempt: number) =>
    backoffDelayMs({ initialDelay, maxDelay, multiplier: 2 }, attempt, random)
  if (ending.kind === "suspended") {
    return { kind: "reconnect", transport: "sse", failures, delayMs: 0 }
  }
  const reason = failureReason(ending, short)
  if (reason === undefined) {
    // New content on every connection is no failure, but reconnecting must not become a loop without a pause.
    const delayMs = ending.brought !== "content" ? spacingMs : short ? backoffMs(1) : 0
    return { kind: "reconnect", transport: "sse", failures: 0, delayMs }
  }
  const count = failures + 1
  if (isConclusive(ending) || count >= settings.maxShortConnections) {
    return { kind: "fall-back", reason }
  }
  const floorMs = count > FREE_FAILURES ? spacingMs : 0
  return {
    kind: "reconnect",
    transport: ending.brought === "no-response" ? "catch-up" : "sse",
    failures: count,
    delayMs: Math.max(backoffMs(count), floorMs, ending.failure?.retryAfterMs ?? 0),
  }
}

/** Why a connection did not work; undefined if it worked. */
function failureReason(
  { kind, brought }: SseEnding,
  short: boolean,
): SseFallbackReason | undefined {
  if (kind === "unsupported" || kind === "lossy-text" || kind === "malformed") return kind
  if (brought === "no-response") return kind === "timeout" ? "silent" : "failing"
  if (kind === "timeout") return brought === "nothing" ? "silent" : undefined
  if (brought === "burst") return "buffered"
  if (brought === "content") return undefined
  return short ? "short-connections" : brought === "nothing" ? "silent" : undefined
}

/** Whether one such connection is enough. Headers without a first event: something holds the events back. */
function isConclusive({ kind, brought }: SseEnding): boolean {
  if (kind === "timeout") return brought === "nothing"
  return (
    kind === "unsupported" || kind === "lossy-text" || (brought === "burst" && kind !== "malformed")
  )
}
