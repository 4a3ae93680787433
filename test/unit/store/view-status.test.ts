import { describe, expect, it, onTestFinished, vi } from "vitest"
import type { StreamEvent } from "../../../src/index.ts"
import { statusAfter, type StreamStoreStatus } from "../../../src/store/view-status.ts"

const retry = (transport: "catch-up" | "sse"): StreamEvent => ({
  kind: "retry",
  transport,
  attempt: 1,
  delayMs: 1,
  error: new Error("fetch failed"),
})
const request = (transport: "catch-up" | "sse" | "long-poll"): StreamEvent => ({
  kind: "request",
  transport,
  offset: "1",
  attempt: 1,
})
const response = (transport: "catch-up" | "sse", status = 200): StreamEvent => ({
  kind: "response",
  transport,
  status,
  durationMs: 1,
})

describe("the status of a view", () => {
  it.each<[StreamStoreStatus, StreamEvent, StreamStoreStatus]>([
    ["loading", request("catch-up"), "loading"],
    ["loading", response("catch-up"), "loading"],
    ["catching-up", request("sse"), "live"],
    ["catching-up", request("long-poll"), "live"],
    ["live", request("catch-up"), "live"],
    ["live", retry("sse"), "retrying"],
    ["loading", retry("catch-up"), "retrying"],
    ["retrying", request("sse"), "retrying"],
    ["retrying", response("sse", 503), "retrying"],
    ["retrying", response("sse"), "live"],
    ["offline", response("catch-up"), "catching-up"],
    ["live", { kind: "pause", reason: "hidden" }, "paused"],
    ["paused", { kind: "resume", reason: "hidden" }, "catching-up"],
    ["live", { kind: "transport", from: "sse", to: "long-poll" }, "live"],
    ["live", { kind: "end", reason: "eof" }, "live"],
  ])("%s, and then %j, is %s", (before, event, after) => {
    expect(statusAfter(event, before, "catching-up")).toBe(after)
  })

  it("is offline if the platform knows that there is no network", () => {
    vi.stubGlobal("navigator", { onLine: false })
    onTestFinished(() => void vi.unstubAllGlobals())
    expect(statusAfter(retry("sse"), "live", "catching-up")).toBe("offline")
  })
})
