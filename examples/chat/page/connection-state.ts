import type { StreamEvent } from "@durable-streams/client"

/** What the pill on top shows. */
export interface ConnectionState {
  readonly tone: "live" | "busy" | "waiting" | "paused" | "ended"
  readonly label: string
}

export const CONNECTING: ConnectionState = { tone: "busy", label: "Connecting" }

/** The connection's state after something that `observe` told. */
export function connectionAfter(state: ConnectionState, event: StreamEvent): ConnectionState {
  switch (event.kind) {
    case "request":
      if (event.attempt > 1) return { tone: "busy", label: "Trying again" }
      return event.transport === "catch-up" ? { tone: "busy", label: "Catching up" } : state
    case "response":
      if (event.transport === "catch-up") return { tone: "busy", label: "Catching up" }
      return {
        tone: "live",
        label: event.transport === "sse" ? "Live by SSE" : "Live by long-poll",
      }
    case "retry": {
      const seconds = Math.max(1, Math.round(event.delayMs / 1000))
      return { tone: "waiting", label: `Offline, next try in ${seconds} s` }
    }
    case "pause":
      return { tone: "paused", label: "Paused while hidden" }
    case "resume":
      return { tone: "busy", label: "Catching up" }
    case "end":
      return {
        tone: "ended",
        label: event.reason === "eof" ? "The room is closed" : "Disconnected",
      }
    case "transport":
    case "offset-mismatch":
    case "state":
      return state
  }
}

/** An event in a few words, for the list beside the chat; nothing for those that would only fill it. */
export function inWords(event: StreamEvent): string | undefined {
  switch (event.kind) {
    case "request":
      return `GET ${event.transport} from ${shortOffset(event.offset)}`
    case "response":
      return `${event.status} after ${Math.round(event.durationMs)} ms`
    case "retry":
      return `failed, again in ${Math.round(event.delayMs)} ms`
    case "transport":
      return `${event.from} → ${event.to}`
    case "offset-mismatch":
      return "the room was created again"
    case "pause":
      return "paused: the tab is hidden"
    case "resume":
      return "resumed: the tab is back"
    case "end":
      return `ended: ${event.reason}`
    case "state":
      return undefined
  }
}

/** The end of an offset, where this server's differ. Offsets are opaque: good for showing and sending back, nothing else. */
export function shortOffset(offset: string): string {
  return offset.length > 8 ? `…${offset.slice(-7)}` : offset
}
