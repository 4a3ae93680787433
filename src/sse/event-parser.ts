import { decodeChunk, NO_TEXT, type PartialText } from "../protocol/utf8-decoder.ts"

export interface SseEvent {
  /** The `event` field; `message` where there was none. */
  readonly name: string
  /**
   * The `data` lines joined by line feeds, each as it stood behind its colon: whether a leading space is padding or
   * content is not decided here (see page-assembler.ts).
   */
  readonly rawData: string
}

/**
 * Splits the bytes of a `text/event-stream` into events. Push based and synchronous: every event that a chunk completes is
 * passed to the callback before `feed` returns. Bytes may be split anywhere, lines end in LF, CR or CRLF, a BOM may come
 * first; comments, unknown fields and events without data are skipped. What no empty line ends is not an event.
 *
 * Each byte is inspected a fixed number of times, whatever the chunks: a chunk is decoded once, searched for line ends by the
 * platform's own search, and the pieces of a long line are joined once, when it ends.
 */
export class SseEventParser {
  readonly #onEvent: (event: SseEvent) => void
  #decoded: PartialText = NO_TEXT
  #isAtStart = true
  #partialLine = ""
  #afterCarriageReturn = false
  #name = ""
  #rawData: string | undefined
  #heldBytes = 0

  constructor(onEvent: (event: SseEvent) => void) {
    this.#onEvent = onEvent
  }

  /**
   * At least the bytes that the unfinished line and the data of the unfinished event take; at most those and the last
   * chunk's. The caller limits it: the parser does not.
   */
  get heldBytes(): number {
    return this.#heldBytes
  }

  feed(chunk: Uint8Array): void {
    this.#decoded = decodeChunk({ ...this.#decoded, text: "" }, chunk)
    const { text } = this.#decoded
    this.#heldBytes += chunk.byteLength
    if (text === "") return
    // A BOM comes first, or the line end is the other half of a CRLF that was split between two chunks.
    const skipped = this.#isAtStart ? "\uFEFF" : this.#afterCarriageReturn ? "\n" : undefined
    let start = skipped !== undefined && text.startsWith(skipped) ? 1 : 0
    this.#isAtStart = false
    this.#afterCarriageReturn = false
    let cr = text.indexOf("\r", start)
    let lf = text.indexOf("\n", start)
    while (cr !== -1 || lf !== -1) {
      const end = cr === -1 || (lf !== -1 && lf < cr) ? lf : cr
      this.#takeLine(this.#partialLine + text.slice(start, end))
      this.#partialLine = ""
      // Nothing from before this chunk is held any more.
      if (this.#rawData === undefined) this.#heldBytes = chunk.byteLength
      start = end + 1
      if (end === cr) {
        if (start === text.length) this.#afterCarriageReturn = true
        else if (start === lf) start++
        cr = text.indexOf("\r", start)
      }
      if (lf !== -1 && lf < start) lf = text.indexOf("\n", start)
    }
    this.#partialLine += text.slice(start)
    if (this.#partialLine === "" && this.#rawData === undefined) this.#heldBytes = 0
  }

  #takeLine(line: string): void {
    if (line === "") {
      this.#endEvent()
      return
    }
    const colon = line.indexOf(":")
    const field = colon === -1 ? line : line.slice(0, colon)
    if (field === "data") {
      const value = colon === -1 ? "" : line.slice(colon + 1)
      this.#rawData = this.#rawData === undefined ? value : `${this.#rawData}\n${value}`
    } else if (field === "event") {
      this.#name = colon === -1 ? "" : line.slice(colon + 1).replace(/^ /, "")
    }
  }

  #endEvent(): void {
    const rawData = this.#rawData
    const name = this.#name === "" ? "message" : this.#name
    this.#rawData = undefined
    this.#name = ""
    if (rawData !== undefined) this.#onEvent({ name, rawData })
  }
}
