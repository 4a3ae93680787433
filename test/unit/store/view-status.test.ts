import { describe, expect, it } from "vitest"
import type { ConnectionState } from "../../../src/index.ts"
import type { StreamStoreStatus } from "../../../src/store/index.ts"
import { statusOf } from "../../../src/store/view-status.ts"

const error = new Error("fetch failed")

describe("the status of a view", () => {
  it.each<[ConnectionState, StreamStoreStatus | undefined]>([
    [{ kind: "connecting" }, "loading"],
    [{ kind: "catching-up" }, "loading"],
    [{ kind: "live", transport: "sse" }, "live"],
    [{ kind: "retrying", error, attempt: 1, retryAtMs: 0 }, "retrying"],
    [{ kind: "offline" }, "offline"],
    [{ kind: "paused", reason: "hidden" }, "paused"],
    [{ kind: "ended", reason: "eof" }, undefined],
  ])("of a session at %j that has read nothing is %s", (state, status) => {
    expect(statusOf(state, "loading")).toBe(status)
  })

  it("is catching-up if there is a value that has not reached the tail", () => {
    expect(statusOf({ kind: "connecting" }, "catching-up")).toBe("catching-up")
  })
})
