import {
  errorResponse,
  type BodySink,
  type ModelResponse,
  type ModelClock,
  type ModelRequest,
  type RandomSource,
} from "./messages.ts"
import { nextCursor, readStart, type ReadChoices } from "./read.ts"
import { mediaTypeOf, type ModelStream } from "./stream.ts"
import { offsetOf } from "./offsets.ts"

/** What a server may choose in how it writes events. */
export interface SseChoices {
  /** The connection is closed by the server after this long. */
  sseLifetimeMs: number
  /** A comment every so often, against silence; 0 for none. */
  sseHeartbeatMs: number
  /** Varies line ends, comments, data lines and how data is spread over events; plain if undefined. */
  sseStyle: RandomSource | undefined
  /** Tell the base64 encoding in a header (a browser across origins may not see it). */
  sseEncodingHeader: boolean
}

/** The defaults, close to the reference server. */
export const DEFAULT_SSE_CHOICES: SseChoices = {
  sseLifetimeMs: 60_000,
  sseHeartbeatMs: 15_000,
  sseStyle: undefined,
  sseEncodingHeader: true,
}

const encoder = new TextEncoder()

/** `GET` with `live=sse`: events from `offset` on until the stream ends or the server has had enough. */
export function handleSse(
  stream: ModelStream,
  choices: ReadChoices & SseChoices,
  clock: ModelClock,
  request: ModelRequest,
): ModelResponse {
  const offset = request.url.searchParams.get("offset")
  if (!offset) return errorResponse(400, "SSE requires an offset")
  const start = readStart(stream, offset)
  if (typeof start !== "number") return start
  const cursor = request.url.searchParams.get("cursor")
  const headers: Record<string, string> = {
    "content-type": "text/event-stream",
    "cache-control": "no-cache",
  }
  if (encodingOf(stream) === "base64" && choices.sseEncodingHeader) {
    headers["stream-sse-data-encoding"] = "base64"
  }
  const open = (sink: BodySink): (() => void) =>
    new SseConnection({ stream, choices, clock, sink, position: start, cursor }).open()
  return { status: 200, headers, body: { kind: "live", open } }
}

function encodingOf(stream: ModelStream): "json" | "text" | "base64" {
  if (stream.isJson) return "json"
  return mediaTypeOf(stream.contentType).startsWith("text/") ? "text" : "base64"
}

interface SseFields {
  stream: ModelStream
  choices: ReadChoices & SseChoices
  clock: ModelClock
  sink: BodySink
  position: number
  cursor: string | null
}

class SseConnection {
  readonly #fields: SseFields
  readonly #stops: Array<() => void> = []
  #position: number
  #lineEnd: string
  /** Servers disagree on the space behind the colon; each is true to its own way, as the reference server, which never writes it. */
  readonly #colon: "data:" | "data: "
  #ended = false

  constructor(fields: SseFields) {
    this.#fields = fields
    this.#position = fields.position
    this.#colon = fields.choices.sseStyle?.chance(0.5) ? "data: " : "data:"
    this.#lineEnd = fields.choices.sseStyle?.pick(["\n", "\r\n", "\r"]) ?? "\n"
  }

  open(): () => void {
    const { stream, choices, clock } = this.#fields
    if (choices.sseStyle?.chance(0.2)) this.#write("\uFEFF")
    this.#stops.push(stream.watch(() => this.#advance()))
    this.#stops.push(clock.after(choices.sseLifetimeMs, () => this.#end()))
    if (choices.sseHeartbeatMs > 0) this.#beat()
    this.#advance("initial")
    return () => this.#stop()
  }

  #beat(): void {
    const { clock, choices } = this.#fields
    const stop = clock.after(choices.sseHeartbeatMs, () => {
      this.#write(`: still here${this.#lineEnd}${this.#lineEnd}`)
      this.#beat()
    })
    this.#stops.push(stop)
  }

  #advance(reason?: "initial"): void {
    const { stream } = this.#fields
    if (this.#ended) return
    if (stream.deleted) {
      this.#end()
      return
    }
    const before = this.#position
    while (this.#writeGroup()) continue
    if (this.#position === before && (reason === "initial" || stream.closed)) this.#writeControl()
    if (stream.closed && this.#position === stream.length) this.#end()
  }

  /** Some data events and the control event they belong to; false at the tail. */
  #writeGroup(): boolean {
    const { stream, choices } = this.#fields
    const style = choices.sseStyle
    const pageEnd = this.#position + Math.max(1, choices.pageLimit())
    const end = this.#wholeCharacters(Math.min(stream.length, pageEnd))
    if (end <= this.#position) return false
    while (this.#position < end) {
      const wanted = style ? this.#position + style.int(1, end - this.#position) : end
      const next = Math.max(this.#wholeCharacters(wanted), this.#position)
      const to = next === this.#position ? end : next
      this.#writeEvent("data", this.#encode(stream.slice(this.#position, to)))
      this.#position = to
    }
    this.#writeControl()
    return true
  }

  /** Text events hold whole characters: the last boundary up to `end`, or the next one where there is none before. */
  #wholeCharacters(end: number): number {
    const { stream } = this.#fields
    if (encodingOf(stream) !== "text") return end
    const bytes = stream.slice(this.#position, Math.min(stream.length, end + 4))
    let length = end - this.#position
    while (length > 0 && isContinuation(bytes[length])) length--
    if (length === 0) {
      length = end - this.#position
      while (length < bytes.length && isContinuation(bytes[length])) length++
    }
    return this.#position + length
  }

  #encode(bytes: Uint8Array): string {
    const encoding = encodingOf(this.#fields.stream)
    if (encoding !== "base64") return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes)
    const text = btoa(String.fromCharCode(...bytes))
    const style = this.#fields.choices.sseStyle
    if (!style?.chance(0.3)) return text
    const cut = style.int(0, text.length)
    return `${text.slice(0, cut)}\n${text.slice(cut)}`
  }

  #writeControl(): void {
    const { stream, choices, clock, cursor } = this.#fields
    const atTail = this.#position === stream.length
    const closed = atTail && stream.closed
    const control = {
      streamNextOffset: offsetOf(this.#position),
      ...(choices.cursors && !closed ? { streamCursor: nextCursor(clock, cursor) } : {}),
      ...(atTail && !closed ? { upToDate: true } : {}),
      ...(closed ? { streamClosed: true } : {}),
    }
    this.#writeEvent("control", JSON.stringify(control))
  }

  #writeEvent(name: string, data: string): void {
    const style = this.#fields.choices.sseStyle
    const end = this.#lineEnd
    if (style?.chance(0.1)) this.#write(`: comment${end}`)
    if (style?.chance(0.1)) this.#write(`event: other${end}data: {"x":1}${end}${end}`)
    // Any line end of the data is the framing's from here on: which one it was is lost.
    const dataLines = data.split(/\r\n|\r|\n/).map((line) => this.#colon + line)
    const lines = [`event: ${name}`, ...dataLines]
    if (style?.chance(0.1)) lines.push("id: 7")
    this.#write(lines.join(end) + end + end)
  }

  #write(text: string): void {
    this.#fields.sink.write(encoder.encode(text))
  }

  #end(): void {
    if (this.#ended) return
    this.#stop()
    this.#fields.sink.end()
  }

  #stop(): void {
    this.#ended = true
    for (const stop of this.#stops) stop()
  }
}

function isContinuation(byte: number | undefined): boolean {
  return byte !== undefined && (byte & 0xc0) === 0x80
}
