const CARRIAGE_RETURN = 0x0d
const LINE_FEED = 0x0a

/**
 * Knows which text SSE can carry without changing it.
 *
 * SSE frames text by its lines: a CR or CRLF arrives as LF. A page that begins or ends inside a character arrives with
 * U+FFFD in its place. Other transports carry bytes, so what SSE may have changed is read again by one of them, and what
 * they bring tells whether this stream's lines are safe with SSE.
 */
export class TextFidelity {
  #sawCarriageReturn = false
  #sawLineFeed = false

  /** Whether the stream is known to hold what SSE changes. */
  get needsBytes(): boolean {
    return this.#sawCarriageReturn
  }

  /** Looks at bytes that came by another transport. */
  scan(bytes: Uint8Array): void {
    this.#sawCarriageReturn ||= bytes.includes(CARRIAGE_RETURN)
    this.#sawLineFeed ||= bytes.includes(LINE_FEED)
  }

  /**
   * Whether text that came by SSE can be taken as it is. Its line feeds can once others were seen to be what they are;
   * to ask for every line's bytes would make SSE pointless.
   */
  trusts(text: string): boolean {
    return !text.includes("\uFFFD") && (this.#sawLineFeed || !text.includes("\n"))
  }
}
