const CARRIAGE_RETURN = 0x0d

/**
 * Knows which text SSE can carry without changing it.
 *
 * SSE frames text by its lines: whether a line ended in LF, CR or CRLF is lost, and every one of them arrives as LF. A page
 * that begins or ends inside a character arrives with U+FFFD in its place. Other transports carry bytes, so what SSE may
 * have changed is read again by one of them. No line break is safe because others were: a log of plain lines can draw a
 * progress bar at any time.
 */
export class TextFidelity {
  readonly #leavesSse: boolean
  #sawCarriageReturn = false
  #doubted = false
  #mended = false

  /** @param leavesSse - whether SSE is to be left for good once it brought text that it may have changed */
  constructor(leavesSse: boolean) {
    this.#leavesSse = leavesSse
  }

  /** Whether the stream is known to hold what is better not asked for by SSE. */
  get needsBytes(): boolean {
    return this.#sawCarriageReturn || (this.#leavesSse && this.#mended)
  }

  /** Looks at bytes that came by another transport. */
  scan(bytes: Uint8Array): void {
    this.#sawCarriageReturn ||= bytes.includes(CARRIAGE_RETURN)
    this.#mended ||= this.#doubted && bytes.byteLength > 0
  }

  /** Whether texts that came by SSE are what was written, for sure. */
  trusts(texts: readonly string[]): boolean {
    const trusted = !texts.some((text) => text.includes("\n") || text.includes("\uFFFD"))
    this.#doubted ||= !trusted
    return trusted
  }
}
