import type { ConnectionState, StreamEvent } from "@durable-streams/client"
import type { OutboxEvent } from "@durable-streams/client/outbox"

/** What the pill on top shows. */
export interface Connection {
  readonly tone: "live" | "busy" | "waiting" | "paused" | "ended"
  readonly label: string
}

/** A request without a response: over HTTP/1.1 a browser opens six connections to a server, for all tabs together. */
export const NO_RESPONSE: Connection = { tone: "waiting", label: "Too many connections?" }

/** What users are told of the connection's state. */
export function connectionInWords(state: ConnectionState): Connection {
  switch (state.kind) {
    case "connecting":
      return { tone: "busy", label: "Connecting" }
    case "catching-up":
      return { tone: "busy", label: "Catching up" }
    case "live":
      return { tone: "live", label: `Live by ${state.transport === "sse" ? "SSE" : "long-poll"}` }
    case "retrying":
      return { tone: "waiting", label: "Reconnecting" }
    case "offline":
      return { tone: "waiting", label: "Offline" }
    case "paused":
      return { tone: "paused", label: "Paused while hidden" }
    case "ended":
      return {
        tone: "ended",
        label: state.reason === "eof" ? "The room is closed" : "Disconnected",
      }
  }
}

/** What reading does in a few words, for the list beside the chat; nothing for what other events say. */
export function readInWords(event: StreamEvent): string | undefined {
  switch (event.kind) {
    case "request":
      return `GET ${event.transport} from ${shortOffset(event.offset)}`
    case "response":
      return `${event.status} after ${Math.round(event.durationMs)} ms`
    case "retry":
      return `failed, again in ${seconds(event.delayMs)}`
    case "transport":
      return `${event.from} → ${event.to}`
    case "offset-mismatch":
      return "the room was created again"
    case "state":
      return connectionInWords(event.state).label.toLowerCase()
    case "pause":
    case "resume":
    case "end":
      return undefined
  }
}

/** What the outbox does, in the same words. */
export function writeInWords(event: OutboxEvent): string | undefined {
  switch (event.kind) {
    case "queued":
      return `queued ${event.bytes} bytes on disk`
    case "sealed":
      return undefined
    case "sent":
      return `POST batch ${event.seq}`
    case "acknowledged":
      return `batch ${event.seq} stored (${event.count})`
    case "retrying":
      return `failed, again in ${seconds(event.delayMs)}`
    case "paused":
      return `POST rejected: ${event.code}`
    case "failed":
      return `not sent: ${event.error.code}`
  }
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}

/** The end of an offset, where this server's differ. Offsets are opaque: good for showing and sending back, nothing else. */
export function shortOffset(offset: string): string {
  return offset.length > 8 ? `…${offset.slice(-7)}` : offset
}
