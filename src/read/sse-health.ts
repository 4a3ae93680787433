import { backoffDelayMs, spacingDelayMs } from "../http/backoff.ts"
import type { SseSettings } from "./stream-options.ts"
import type { SseFallbackReason } from "./stream-event.ts"

/** How an SSE connection ended. */
export interface SseEnding {
  readonly kind: "closed" | "idle" | "no-answer" | "failed" | "slept" | "unsupported" | "malformed"
  readonly livedMs: number
  /** Whether it brought an event. */
  readonly spoke: boolean
  /** Whether it brought content that was new. */
  readonly progressed: boolean
  /** Whether all it brought came in one burst at its end. */
  readonly buffered: boolean
  /** What the request failed with, and how long the server asked to wait. */
  readonly failure?: { readonly error: Error; readonly retryAfterMs: number }
}

/** What is known of SSE in this session. */
export interface SseHealth {
  /** Connections in a row that brought nothing and did not live. */
  readonly failures: number
}

/** What follows the end of an SSE connection. */
export type SseVerdict =
  | {
      readonly kind: "reconnect"
      readonly health: SseHealth
      readonly delayMs: number
      /** Catch-up first, where that tells a server that is down from one whose SSE alone fails. */
      readonly transport: "sse" | "catch-up"
    }
  | { readonly kind: "fall-back"; readonly reason: SseFallbackReason }

/** SSE before its first connection. */
export const UNTRIED_SSE: SseHealth = { failures: 0 }

/** What ends sooner than this was not held open, whatever the settings say: to follow it at once would be a loop. */
export const MIN_LIVED_MS = 50

/** Connections that brought nothing new begin no closer together than this on average, whatever the settings say. */
const MIN_INTERVAL_MS = 300

/** So many failures in a row may come as quickly as the settings let them. */
const FREE_FAILURES = 3

/** Whether a connection ended as soon as it began. One that lived is slow enough to be followed at once. */
export function isShort(
  ending: Pick<SseEnding, "livedMs">,
  settings: Pick<SseSettings, "minConnectionDuration">,
): boolean {
  return ending.livedMs < Math.max(settings.minConnectionDuration, MIN_LIVED_MS)
}

/**
 * Decides after an SSE connection: another one, or long-poll for the rest of the session. A connection that the server
 * closes after a minute is healthy; so is one that brought something new, however short.
 */
export function judgeSse(
  ending: SseEnding,
  health: SseHealth,
  settings: SseSettings,
  random: number,
): SseVerdict {
  const short = isShort(ending, settings)
  const spareMs = spacingDelayMs(MIN_INTERVAL_MS, ending.livedMs, random)
  const failing = (
    reason: SseFallbackReason,
    transport: "sse" | "catch-up" = "sse",
  ): SseVerdict => {
    const failures = health.failures + 1
    if (failures >= settings.maxShortConnections) return { kind: "fall-back", reason }
    const floorMs = failures > FREE_FAILURES ? spareMs : 0
    const delayMs = Math.max(delay(failures), floorMs, ending.failure?.retryAfterMs ?? 0)
    return { kind: "reconnect", transport, health: { failures }, delayMs }
  }
  const reconnect = (delayMs: number, newHealth = UNTRIED_SSE): SseVerdict => ({
    kind: "reconnect",
    transport: "sse",
    health: newHealth,
    delayMs,
  })
  const delay = (attempt: number) =>
    backoffDelayMs(
      {
        initialDelay: settings.backoffBaseDelay,
        maxDelay: settings.backoffMaxDelay,
        multiplier: 2,
      },
      attempt,
      random,
    )
  switch (ending.kind) {
    case "unsupported":
      return { kind: "fall-back", reason: "unsupported" }
    case "malformed":
      return failing("malformed")
    case "no-answer":
      return failing("silent", "catch-up")
    case "failed":
      return failing("failing", "catch-up")
    case "slept":
      return reconnect(0, health)
    case "idle":
      // Headers and then nothing, not even a first control event: something holds the events back.
      if (!ending.spoke) return { kind: "fall-back", reason: "silent" }
      return reconnect(0, health)
    case "closed":
      if (ending.buffered) return { kind: "fall-back", reason: "buffered" }
      if (ending.progressed) {
        // New data on every connection is no failure, but reconnecting must not become a loop without a pause.
        return reconnect(short ? delay(1) : 0)
      }
      if (short) return failing("short-connections")
      if (!ending.spoke) return failing("silent")
      return reconnect(spareMs)
  }
}

/** What to tell whoever runs the servers when long-poll takes over. */
export function fallbackAdvice(reason: SseFallbackReason): string {
  switch (reason) {
    case "short-connections":
      return "SSE connections end as soon as they begin; check the read timeouts of proxies and load balancers"
    case "buffered":
      return "a proxy holds SSE back until the connection ends; turn response buffering off (X-Accel-Buffering: no, proxy_buffering off)"
    case "silent":
      return "SSE connections stay silent; a proxy may hold events back (X-Accel-Buffering: no, proxy_buffering off)"
    case "failing":
      return "SSE requests fail while others are answered; check the timeouts and limits of proxies and load balancers"
    case "unsupported":
      return "the answer to an SSE request was no text/event-stream; check that proxies pass query strings and content types on"
    case "malformed":
      return "SSE events arrive damaged; check that proxies pass the body on unchanged"
  }
}
