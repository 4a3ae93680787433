import { decodeBase64 } from "../platform/base64.ts"
import { isJsonContentType, isPlainInSse } from "../protocol/content-type.ts"
import { joinBytes } from "../protocol/join-bytes.ts"
import { STREAM_SSE_DATA_ENCODING_HEADER } from "../protocol/names.ts"
import type { Offset } from "../protocol/offset.ts"
import { SseEventParser } from "../sse/event-parser.ts"
import { SsePageAssembler, type SsePage } from "../sse/page-assembler.ts"
import { bodyPayload, type BodyContext } from "./body-payload.ts"
import type { Page } from "./page.ts"
import { bufferedPayload, textPayload, type Payload } from "./payload.ts"
import type { SseEnding } from "./sse-health.ts"
import type { TextFidelity } from "./text-fidelity.ts"
import { SilentRead } from "./silent-read.ts"
import type { ReadRequest } from "./read-request.ts"

/** What a connection's events are taken for. */
export interface SseContext {
  readonly request: ReadRequest
  readonly contentType: string | undefined
  readonly fidelity: TextFidelity
  /** When the request went out, as `performance.now()` tells it. */
  readonly startedAt: number
}

/** What a connection brought next. */
export type SseRead =
  | { readonly kind: "page"; readonly page: Page }
  /** Text that SSE could not carry faithfully: read it by another transport. */
  | { readonly kind: "inexact" }
  | { readonly kind: "sse-ended"; readonly ending: SseEnding }

/** How events are encoded: decided once for a connection. */
type Encoding = "json" | "text" | "base64"

/** A connection that was waited for no longer than this after its first event brought everything in one burst. */
const BURST_MS = 100

/** A buffered connection is one that stayed silent for longer than any healthy server does before it speaks. */
const HELD_BACK_MS = 1_000

/** An open SSE connection. Reports what comes as values; does not reconnect. */
export class SseConnection {
  readonly #body: Payload
  readonly #idleTimeoutMs: number
  readonly #context: SseContext
  readonly #encoding: Encoding
  readonly #assembler = new SsePageAssembler()
  readonly #parser = new SseEventParser((event) => {
    this.#spokeAt ??= performance.now()
    const arrival = this.#assembler.take(event)
    if (arrival.kind === "page") this.#arrived.push(arrival.page)
    if (arrival.kind === "malformed") this.#malformed = true
  })
  #arrived: SsePage[] = []
  #malformed = false
  #inexact = false
  #spokeAt: number | undefined
  #listenedSinceMs = 0
  #progressed = false
  /** The end of the last content. */
  #position: Offset
  #pendingSince: number | undefined

  constructor(response: Response, body: BodyContext, context: SseContext) {
    this.#body = bodyPayload(response, body)
    this.#idleTimeoutMs = body.idleTimeoutMs
    this.#context = context
    this.#position = context.request.offset
    this.#encoding = encodingOf(response, context.contentType)
  }

  /**
   * The next page: all that one chunk of the network completed, as one, since a consumer gains nothing from taking
   * it in smaller parts. One call at a time.
   */
  async next(): Promise<SseRead> {
    for (;;) {
      const page = this.#takeArrived()
      if (page !== undefined) return { kind: "page", page }
      if (this.#inexact) return { kind: "inexact" }
      if (this.#malformed) return this.#ended("malformed")
      const spoke = this.#spokeAt !== undefined
      const listeningSince = performance.now()
      const part = await this.#body.read()
      // A consumer that takes its time between two reads says nothing about the connection.
      if (spoke) this.#listenedSinceMs += performance.now() - listeningSince
      if (part.kind === "chunk") this.#feed(part.bytes)
      else if (part.kind === "end") return this.#ended("closed")
      else if (part.error instanceof SilentRead) {
        return this.#ended(part.damage === "stale" ? "slept" : "idle")
      } else return this.#ended("closed")
    }
  }

  /** Data whose control event does not come, for as long as a silence may last, is no stream of pages. */
  #feed(bytes: Uint8Array): void {
    this.#parser.feed(bytes)
    const now = performance.now()
    this.#pendingSince = this.#assembler.isPending ? (this.#pendingSince ?? now) : undefined
    if (now - (this.#pendingSince ?? now) > this.#idleTimeoutMs) this.#malformed = true
  }

  /** Pages that go on from each other, as one. One that is empty, stands still or goes back is the session's to judge. */
  #takeArrived(): Page | undefined {
    const texts: string[] = []
    const chunks: Uint8Array[] = []
    const passed = new Set([this.#position])
    let count = 0
    let last: SsePage | undefined
    let content = false
    for (const page of this.#arrived) {
      const decoded = this.#decode(page)
      if (decoded === undefined) break
      const filled = hasContent(decoded)
      const goesOn = filled && !passed.has(page.offset)
      if (!goesOn && last !== undefined) break
      if (decoded.kind === "bytes") chunks.push(decoded.bytes)
      else for (const text of decoded.texts) texts.push(text)
      passed.add(page.offset)
      content ||= filled
      last = page
      count++
      if (!goesOn || page.streamClosed) break
    }
    const isOver = this.#inexact || this.#malformed || last?.streamClosed === true
    this.#arrived = isOver ? [] : this.#arrived.slice(count)
    if (last === undefined) return undefined
    const { offset, cursor, upToDate, streamClosed } = last
    if (offset !== this.#position && content) {
      this.#progressed = true
      this.#position = offset
    }
    const payload =
      this.#encoding === "base64" ? bufferedPayload(joinBytes(chunks)) : textPayload(texts)
    return { offset, cursor, upToDate, streamClosed, payload }
  }

  #decode(page: SsePage): DecodedData | undefined {
    const { fidelity, request } = this.#context
    if (this.#encoding === "text" && !request.anyText && !fidelity.trusts(page.data)) {
      this.#inexact = true
      return undefined
    }
    const decoded = decode(page.data, this.#encoding)
    this.#malformed ||= decoded === undefined
    return decoded
  }

  #ended(kind: SseEnding["kind"]): SseRead {
    const now = performance.now()
    const { startedAt } = this.#context
    const spokeAt = this.#spokeAt
    const buffered =
      spokeAt !== undefined &&
      spokeAt - startedAt > HELD_BACK_MS &&
      this.#listenedSinceMs < BURST_MS
    this.#body.release()
    return {
      kind: "sse-ended",
      ending: {
        kind,
        livedMs: now - startedAt,
        spoke: spokeAt !== undefined,
        progressed: this.#progressed,
        buffered,
      },
    }
  }
}

type DecodedData =
  | { readonly kind: "texts"; readonly texts: readonly string[] }
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }

function hasContent(data: DecodedData): boolean {
  if (data.kind === "bytes") return data.bytes.byteLength > 0
  return data.texts.some((text) => text !== "" && text !== "[]")
}

function encodingOf(response: Response, contentType: string | undefined): Encoding {
  const header = response.headers.get(STREAM_SSE_DATA_ENCODING_HEADER)?.trim().toLowerCase()
  // Across origins a browser may hide the header: the content type says it as well.
  if (header === "base64" || !isPlainInSse(contentType)) return "base64"
  return isJsonContentType(contentType) ? "json" : "text"
}

function decode(data: readonly string[], encoding: Encoding): DecodedData | undefined {
  if (encoding !== "base64") return { kind: "texts", texts: data }
  const chunks: Uint8Array[] = []
  for (const text of data) {
    // Line ends are the framing's, and so is a space that some servers put behind the colon.
    const bytes = decodeBase64(text.replace(/[\r\n ]+/g, ""))
    if (bytes === undefined) return undefined
    chunks.push(bytes)
  }
  return { kind: "bytes", bytes: joinBytes(chunks) }
}
