import { pageTooLarge } from "../errors/page-too-large.ts"
import { decodeBase64 } from "../platform/base64.ts"
import { monotonicMs, nextTurn } from "../platform/clock.ts"
import { joinBytes } from "../protocol/bytes.ts"
import { isJsonContentType, isPlainInSse } from "../protocol/content-type.ts"
import { STREAM_SSE_DATA_ENCODING_HEADER } from "../protocol/names.ts"
import type { Offset } from "../protocol/offset.ts"
import { SseEventParser } from "../sse/event-parser.ts"
import { SsePageAssembler, type SsePage } from "../sse/page-assembler.ts"
import { bodyPayload, type BodyContext } from "./body.ts"
import { bufferedPayload, textPayload, type ArrivedPage, type Payload } from "./page.ts"
import type { SseEnding } from "./sse-health.ts"

export interface SseContext extends BodyContext {
  readonly offset: Offset
  readonly contentType: string | undefined
  /** When the request was sent, by `monotonicMs()`. */
  readonly startedAtMs: number
  /** How long the first byte may take: headers without a body come from something that buffers it. */
  readonly firstByteTimeoutMs: number
  readonly maxPageBytes: number | undefined
}

export type SseRead = ArrivedPage | { readonly kind: "sse-closed"; readonly ending: SseEnding }

type Encoding = "json" | "text" | "base64"

/** A connection that was waited for no longer than this after its first event brought everything in one burst. */
const BURST_MS = 100

/** A buffered connection is one that stayed silent for longer than any healthy server does before its first event. */
const BUFFERED_MS = 1_000

/** Events that have all arrived must not keep the event loop from everything else: a page drops frames after 50 ms. */
const MAX_BUSY_MS = 30

/** 128 KiB: what is parsed at once of a chunk. Browsers deliver all that has arrived as one, which can be megabytes. */
const MAX_PARSED_BYTES = 131_072

/** The default of `maxPageBytes` for a line or an event. */
const MAX_EVENT_BYTES = 64 * 1024 * 1024

/** An open SSE connection. Reports what arrives as values; does not reconnect. */
export class SseConnection {
  readonly #body: Payload
  readonly #context: SseContext
  readonly #encoding: Encoding
  readonly #assembler = new SsePageAssembler()
  readonly #parser = new SseEventParser((event) => {
    this.#firstEventAtMs ??= monotonicMs()
    const page = this.#assembler.take(event)
    if (page === undefined) return
    this.#unclaimedBytes = 0
    if (page === "malformed") this.#defect ??= page
    else this.#arrived.push(page)
  })
  #arrived: SsePage[] = []
  /** What ends the connection once the pages before it are taken. */
  #defect: "malformed" | "lossy-text" | undefined
  #hasBytes = false
  #firstEventAtMs: number | undefined
  #listenedMs = 0
  /** What is left to parse of the last chunk. */
  #unparsed: Uint8Array = new Uint8Array()
  /** When the event loop had its last turn. */
  #busySinceMs = 0
  #progressed = false
  /** The end of the last content. */
  #position: Offset
  /** Data whose control event has not arrived: what `#listenedMs` was then, and how many bytes arrived since then. */
  #unclaimedSinceMs: number | undefined
  #unclaimedBytes = 0

  constructor(response: Response, context: SseContext) {
    this.#body = bodyPayload(response, context)
    this.#context = context
    this.#position = context.offset
    this.#encoding = encodingOf(response, context.contentType)
  }

  /**
   * The next page: all that one chunk of the network completed, or one part of a large chunk, because a consumer gains nothing
   * from smaller parts. One call at a time.
   *
   * @throws DurableStreamError `PAGE_TOO_LARGE`
   */
  async next(): Promise<SseRead> {
    for (;;) {
      const page = this.#takeArrived()
      if (page !== undefined) return page
      if (this.#defect !== undefined) return this.#closed(this.#defect)
      if (this.#unparsed.length === 0) {
        const hadEvents = this.#firstEventAtMs !== undefined
        const read = this.#read()
        const sinceMs = monotonicMs()
        const part = await read
        // A consumer that takes its time between two reads says nothing about the connection.
        const waitedMs = monotonicMs() - sinceMs
        if (hadEvents) this.#listenedMs += waitedMs
        // Less may be the work of others: a chunk that is there is not waited for.
        if (waitedMs > MAX_BUSY_MS / 2) this.#busySinceMs = monotonicMs()
        if (part.kind !== "chunk") {
          return this.#closed(part.kind === "end" ? "closed" : part.failure.kind)
        }
        this.#unparsed = part.bytes
      }
      if (monotonicMs() - this.#busySinceMs > MAX_BUSY_MS) {
        await nextTurn()
        this.#busySinceMs = monotonicMs()
      }
      this.#feed(this.#unparsed.subarray(0, MAX_PARSED_BYTES))
      this.#unparsed = this.#unparsed.subarray(MAX_PARSED_BYTES)
    }
  }

  #read(): ReturnType<Payload["read"]> {
    const read = this.#body.read()
    if (!this.#hasBytes) this.#context.watch.listen(this.#context.firstByteTimeoutMs)
    return read
  }

  #feed(bytes: Uint8Array): void {
    const { maxPageBytes = MAX_EVENT_BYTES, url, idleTimeoutMs } = this.#context
    this.#hasBytes = true
    this.#parser.feed(bytes)
    const { isPending } = this.#assembler
    this.#unclaimedBytes = isPending ? this.#unclaimedBytes + bytes.byteLength : 0
    this.#unclaimedSinceMs = isPending ? (this.#unclaimedSinceMs ?? this.#listenedMs) : undefined
    if (this.#parser.heldBytes > maxPageBytes) {
      throw pageTooLarge(url, "A line or event of SSE", maxPageBytes)
    }
    if (this.#unclaimedBytes > maxPageBytes) {
      throw pageTooLarge(url, "SSE data without a control event", maxPageBytes)
    }
    // Data whose control event does not arrive for as long as a silence may last is not a stream of pages.
    const unclaimedMs = this.#listenedMs - (this.#unclaimedSinceMs ?? Infinity)
    if (unclaimedMs > idleTimeoutMs) this.#defect ??= "malformed"
  }

  /** Pages that continue each other, as one. One that is empty, does not move or goes back is the session's to judge. */
  #takeArrived(): SseRead | undefined {
    const contents: Data[] = []
    const passed = new Set([this.#position])
    let last: SsePage | undefined
    for (const page of this.#arrived) {
      const content = this.#decode(page)
      if (content === undefined) break
      const continues = content.some(isContent) && !passed.has(page.offset)
      if (!continues && last !== undefined) break
      contents.push(content)
      passed.add(page.offset)
      last = page
      if (!continues || page.streamClosed) break
    }
    const isOver = this.#defect !== undefined || last?.streamClosed === true
    this.#arrived = isOver ? [] : this.#arrived.slice(contents.length)
    if (last === undefined) return undefined
    const { offset, cursor, upToDate, streamClosed } = last
    const [first = []] = contents
    const data = contents.length === 1 ? first : contents.flat()
    if (offset !== this.#position && data.some(isContent)) {
      this.#progressed = true
      this.#position = offset
    }
    const payload =
      this.#encoding === "base64"
        ? // What was decoded.
          bufferedPayload(joinBytes(data as readonly Uint8Array[]))
        : // What was not.
          textPayload(data as readonly string[])
    const end = { offset, cursor, upToDate, streamClosed }
    return { kind: "page", end, payload, elapsedMs: Infinity }
  }

  #decode({ data }: SsePage): Data | undefined {
    if (this.#encoding === "base64") {
      const chunks = decodeAll(data)
      if (chunks === undefined) this.#defect ??= "malformed"
      return chunks
    }
    // A page that begins or ends inside a character arrives with U+FFFD in place of the halves.
    if (this.#encoding === "text" && data.some((text) => text.includes("\uFFFD"))) {
      this.#defect ??= "lossy-text"
      return undefined
    }
    return data
  }

  #closed(kind: SseEnding["kind"]): SseRead {
    this.#body.release()
    const livedMs = monotonicMs() - this.#context.startedAtMs
    return { kind: "sse-closed", ending: { kind, brought: this.#brought, livedMs } }
  }

  get #brought(): SseEnding["brought"] {
    if (this.#firstEventAtMs === undefined) return "nothing"
    const silentMs = this.#firstEventAtMs - this.#context.startedAtMs
    if (silentMs > BUFFERED_MS && this.#listenedMs < BURST_MS) return "burst"
    return this.#progressed ? "content" : "events"
  }
}

/** Of one page: all of it text, or all of it bytes. */
type Data = readonly (string | Uint8Array)[]

function isContent(data: string | Uint8Array): boolean {
  return data.length > 0 && data !== "[]"
}

function encodingOf(response: Response, contentType: string | undefined): Encoding {
  const header = response.headers.get(STREAM_SSE_DATA_ENCODING_HEADER)?.trim().toLowerCase()
  // Across origins a browser may hide the header: the content type determines it as well.
  if (header === "base64" || !isPlainInSse(contentType)) return "base64"
  return isJsonContentType(contentType) ? "json" : "text"
}

function decodeAll(data: readonly string[]): Uint8Array[] | undefined {
  const chunks: Uint8Array[] = []
  for (const text of data) {
    // Line ends are the framing's, and so is a space that some servers put behind the colon.
    const bytes = decodeBase64(text.replace(/[\r\n ]+/g, ""))
    if (bytes === undefined) return undefined
    chunks.push(bytes)
  }
  return chunks
}
