import { describe, expect, it } from "vitest"
import { isShort, judgeSse, MIN_LIVED_MS, type SseEnding } from "../../../src/read/sse-health.ts"
import { fallbackAdvice } from "../../../src/read/session-events.ts"
import type { SseFallbackReason } from "../../../src/read/stream-options.ts"

const settings = {
  minConnectionDuration: 1000,
  maxShortConnections: 3,
  backoffBaseDelay: 100,
  backoffMaxDelay: 5000,
  logWarnings: true,
}

/** A server that closes its connection after a minute in which there was nothing new. */
const healthy: SseEnding = {
  kind: "closed",
  brought: "events",
  livedMs: 60_000,
}
const cutAtOnce: SseEnding = { ...healthy, livedMs: 5 }

function judge(ending: SseEnding, failures = 0, change = {}) {
  return judgeSse(ending, failures, { ...settings, ...change }, 0.5)
}

describe("what follows the end of an SSE connection", () => {
  it("a healthy reconnect once a minute is no failure, however often", () => {
    expect(judge(healthy, 2)).toEqual({
      kind: "reconnect",
      transport: "sse",
      failures: 0,
      delayMs: 0,
    })
  })

  it("after a few short connections in a row long-poll takes over, with growing delays until then", () => {
    const first = judge(cutAtOnce)
    expect(first).toEqual({
      kind: "reconnect",
      transport: "sse",
      failures: 1,
      delayMs: 50,
    })
    const second = judge(cutAtOnce, 1)
    expect(second).toEqual({
      kind: "reconnect",
      transport: "sse",
      failures: 2,
      delayMs: 100,
    })
    const third = judge(cutAtOnce, 2)
    expect(third).toEqual({ kind: "fall-back", reason: "short-connections" })
  })

  it("delays double up to their limit", () => {
    const patient = { maxShortConnections: Infinity }
    const delays = [0, 1, 5, 6, 20].map((failures) => {
      const verdict = judge(cutAtOnce, failures, patient)
      return verdict.kind === "reconnect" ? verdict.delayMs : undefined
    })
    expect(delays).toEqual([50, 100, 1600, 2500, 2500])
  })

  it("a short connection that brought something new is no failure, and waits a little", () => {
    const verdict = judge({ ...cutAtOnce, brought: "content" }, 2)
    expect(verdict).toEqual({
      kind: "reconnect",
      transport: "sse",
      failures: 0,
      delayMs: 50,
    })
  })

  it("a request that failed, or got no response, asks by catch-up whether it is the server", () => {
    for (const kind of ["network", "timeout"] as const) {
      expect(judge({ ...cutAtOnce, kind, brought: "no-response" })).toMatchObject({
        transport: "catch-up",
      })
    }
  })

  it("waits as long as the server asks", () => {
    const failure = { error: new Error("busy"), retryAfterMs: 7_000 }
    const ending: SseEnding = { ...cutAtOnce, kind: "network", brought: "no-response", failure }
    expect(judge(ending)).toMatchObject({ kind: "reconnect", delayMs: 7_000 })
  })

  it("settings that want no delay at all do not make a loop", () => {
    const hasty = { backoffBaseDelay: 0, maxShortConnections: Infinity, minConnectionDuration: 0 }
    expect(judge(cutAtOnce, 2, hasty)).toMatchObject({ delayMs: 0 })
    expect(judge(cutAtOnce, 3, hasty)).toMatchObject({ delayMs: 295 })
    expect(judge({ ...healthy, livedMs: 60 }, 0, hasty)).toMatchObject({ delayMs: 240 })
  })

  it("a connection that was cut at once is short even where the settings call none short", () => {
    const never = { minConnectionDuration: 0 }
    expect(isShort({ livedMs: MIN_LIVED_MS - 1 }, { ...settings, ...never })).toBe(true)
    expect(isShort({ livedMs: MIN_LIVED_MS }, { ...settings, ...never })).toBe(false)
    expect(judge(cutAtOnce, 2, never)).toMatchObject({ kind: "fall-back" })
  })

  it.each<[SseEnding["kind"], Partial<SseEnding>, SseFallbackReason]>([
    ["unsupported", {}, "unsupported"],
    ["lossy-text", {}, "lossy-text"],
    ["timeout", { brought: "nothing" }, "silent"],
    ["closed", { brought: "burst" }, "buffered"],
  ])("%s %j falls back at once: %s", (kind, ending, reason) => {
    expect(judge({ ...healthy, ...ending, kind })).toEqual({ kind: "fall-back", reason })
  })

  it.each<[SseEnding["kind"], Partial<SseEnding>, SseFallbackReason]>([
    ["malformed", {}, "malformed"],
    ["timeout", { brought: "no-response" }, "silent"],
    ["network", { brought: "no-response", livedMs: 0 }, "failing"],
    ["closed", { brought: "nothing" }, "silent"],
    ["closed", { livedMs: 3 }, "short-connections"],
    ["network", { livedMs: 3 }, "short-connections"],
  ])("%s %j falls back after three in a row: %s", (kind, ending, reason) => {
    const end = { ...healthy, ...ending, kind }
    expect(judge(end)).toMatchObject({
      kind: "reconnect",
      failures: 1,
    })
    expect(judge(end, 2)).toEqual({ kind: "fall-back", reason })
  })

  it("a connection that brought events and then fell silent is replaced at once", () => {
    const verdict = judge({ ...healthy, kind: "timeout", livedMs: 75_000 }, 1)
    expect(verdict).toMatchObject({ kind: "reconnect", delayMs: 0 })
  })

  it("spaces connections that an idle timeout of 30 ms replaces", () => {
    const verdict = judge({ ...healthy, kind: "timeout", livedMs: 30 })
    expect(verdict).toMatchObject({ kind: "reconnect", delayMs: 270 })
  })

  it("a suspended machine says nothing about SSE", () => {
    const verdict = judge({ ...cutAtOnce, kind: "suspended", brought: "nothing" }, 2)
    expect(verdict).toEqual({ kind: "reconnect", transport: "sse", failures: 2, delayMs: 0 })
  })

  it.each<SseFallbackReason>([
    "short-connections",
    "buffered",
    "silent",
    "unsupported",
    "malformed",
  ])("tells those who run the servers what to check: %s", (reason) => {
    expect(fallbackAdvice[reason]).toMatch(/prox/)
  })

  it("has nothing to fix for text that SSE cannot carry", () => {
    expect(fallbackAdvice["lossy-text"]).toBe("")
  })
})
