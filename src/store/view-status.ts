import type { ConnectionState } from "../read/stream-options.ts"

/**
 * What a view is doing:
 *
 * - `loading`: nothing was read yet
 * - `catching-up`: there is a value, which has not reached the tail
 * - `live`: up to date, and following
 * - `retrying`: a request failed and is retried; `error` says with what
 * - `offline`: the browser says that it has no network; `error` says with what a request failed
 * - `paused`: the page is hidden, or nobody listens
 * - `closed`: the stream is closed, and the view has all of it
 * - `failed`: reading ended with `error`; `refresh()` begins again
 */
export type StreamStoreStatus =
  "loading" | "catching-up" | "live" | "retrying" | "offline" | "paused" | "closed" | "failed"

/**
 * The status of a view whose session is at a state.
 *
 * @param unfinished - the status before the tail is reached
 * @returns undefined after the session: how it ended the view knows by itself
 */
export function statusOf(
  { kind }: ConnectionState,
  unfinished: "loading" | "catching-up",
): StreamStoreStatus | undefined {
  if (kind === "ended") return undefined
  return kind === "connecting" || kind === "catching-up" ? unfinished : kind
}
