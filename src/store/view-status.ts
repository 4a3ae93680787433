import { isOffline } from "../platform/network.ts"
import type { StreamEvent } from "../read/stream-options.ts"

/**
 * What a view is doing:
 *
 * - `loading`: nothing was read yet
 * - `catching-up`: there is a value, which has not reached the tail
 * - `live`: up to date, and following
 * - `retrying`: a request failed and is retried; `error` says with what
 * - `offline`: the same, and the platform says that there is no network
 * - `paused`: the page is hidden, or nobody listens
 * - `closed`: the stream is closed, and the view has all of it
 * - `failed`: reading ended with `error`; `refresh()` begins again
 */
export type StreamStoreStatus =
  "loading" | "catching-up" | "live" | "retrying" | "offline" | "paused" | "closed" | "failed"

/**
 * The status after an event of the session.
 *
 * @param before - the status until then
 * @param reading - the status while the tail has not been reached
 */
export function statusAfter(
  event: StreamEvent,
  before: StreamStoreStatus,
  reading: "loading" | "catching-up",
): StreamStoreStatus {
  const isTroubled = before === "retrying" || before === "offline"
  const isLive =
    (event.kind === "request" || event.kind === "response") && event.transport !== "catch-up"
  switch (event.kind) {
    case "retry":
      return isOffline() ? "offline" : "retrying"
    case "pause":
      return "paused"
    case "resume":
      return reading
    case "request":
      // A live request starts at the tail. That a retry works only its response shows.
      return isLive && !isTroubled ? "live" : before
    case "response":
      if (!isTroubled || event.status >= 400) return before
      return isLive ? "live" : reading
    default:
      return before
  }
}
