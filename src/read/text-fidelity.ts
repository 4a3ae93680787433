const CARRIAGE_RETURN = 0x0d

/** So many connections in a row may bring nothing but text that they may have changed. */
const MAX_DOUBTS = 2

/**
 * Knows which text SSE can carry without changing it.
 *
 * SSE frames text by its lines: whether a line ended in LF, CR or CRLF is lost, and every one of them arrives as LF. A page
 * that begins or ends inside a character arrives with U+FFFD in its place. Other transports carry bytes, so what SSE may
 * have changed is read again by one of them. No line break is safe because others were: a log of plain lines can draw a
 * progress bar at any time.
 */
export class TextFidelity {
  #sawCarriageReturn = false
  #doubts = 0
  #mended = false

  /**
   * Whether SSE is to be left for good: the stream holds carriage returns, or all that SSE brought last had to be read again.
   * While a connection brings what it can carry (tokens, with a line break now and then), it saves more requests than it costs.
   */
  get needsBytes(): boolean {
    return this.#sawCarriageReturn || (this.#mended && this.#doubts >= MAX_DOUBTS)
  }

  /** Looks at bytes that came by another transport. */
  scan(bytes: Uint8Array): void {
    this.#sawCarriageReturn ||= bytes.includes(CARRIAGE_RETURN)
    this.#mended ||= this.#doubts > 0 && bytes.byteLength > 0
  }

  /** Whether texts that came by SSE are what was written, for sure. */
  trusts(texts: readonly string[]): boolean {
    const trusted = !texts.some((text) => text.includes("\n") || text.includes("\uFFFD"))
    if (!trusted) this.#doubts++
    else if (texts.some((text) => text !== "")) this.#doubts = 0
    return trusted
  }
}
