import type { SessionState } from "./session-state.ts"
import type { ConnectionState, Transport } from "./stream-options.ts"

// One object for each: a change of what users are shown is another object.
const CONNECTING: ConnectionState = { kind: "connecting" }
export const OFFLINE: ConnectionState = { kind: "offline" }
const PAUSED: ConnectionState = { kind: "paused", reason: "hidden" }
export const READING: Readonly<Record<Transport, ConnectionState>> = {
  "catch-up": { kind: "catching-up" },
  "long-poll": { kind: "live", transport: "long-poll" },
  sse: { kind: "live", transport: "sse" },
}

/**
 * What users are shown of a session's state. Pure; the same object as long as it is the same.
 *
 * @param isOffline - asked only if something failed, or the network was reported as gone
 */
export function connectionState(state: SessionState, isOffline: () => boolean): ConnectionState {
  if (state.kind === "ended") return state.shown
  if (state.kind === "paused") return PAUSED
  const { retrying, lostNetwork, started, transport } = state.context
  if ((retrying !== undefined || lostNetwork) && isOffline()) return OFFLINE
  if (retrying !== undefined) return retrying
  return started ? READING[transport] : CONNECTING
}
