import { describe, expect, it } from "vitest"
import { measureCatchUp, measureLive } from "../../bench/scaling/measure-scaling.ts"
import { hasNginx } from "../support/nginx.ts"

const fleet = { readers: 60, processes: 2 }
const PAGES = 5
const MESSAGES = 5

describe.skipIf(!hasNginx())("many readers behind a cache (left out without nginx)", () => {
  it.each([1, 4])(
    "cost the server one request for each stored page, whether they read ahead by 1 or 4: %i",
    async (readAhead) => {
      const { atCache, atOrigin } = await measureCatchUp(fleet, readAhead)
      expect(atCache).toBeGreaterThanOrEqual(fleet.readers * PAGES)
      expect(atOrigin).toBeGreaterThanOrEqual(PAGES)
      // A connection that a busy machine opens too late is opened again.
      expect(atOrigin).toBeLessThanOrEqual(2 * PAGES)
    },
    90_000,
  )

  it("cost the server a request or two for each live message by long-poll, in several processes", async () => {
    const { atCache, atOrigin, lags } = await measureLive(fleet, "long-poll")
    expect(lags).toHaveLength(fleet.readers * MESSAGES)
    expect(atCache).toBeGreaterThanOrEqual(fleet.readers * MESSAGES)
    // One to catch up, one for each message, one for the end; as many again if a machine is so slow that cursors differ.
    expect(atOrigin).toBeGreaterThanOrEqual(MESSAGES + 1)
    expect(atOrigin).toBeLessThanOrEqual(2 * (MESSAGES + 2))
  }, 90_000)

  it("cost the server a connection each by SSE", async () => {
    const { atOrigin, lags } = await measureLive(fleet, "sse")
    expect(lags).toHaveLength(fleet.readers * MESSAGES)
    expect(atOrigin).toBeGreaterThanOrEqual(fleet.readers)
  }, 90_000)
})
