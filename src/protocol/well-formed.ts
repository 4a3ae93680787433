/** Half a character: a surrogate without its other half. No `\p{…}` and no lookbehind, which Hermes cannot compile. */
const LONE_SURROGATE = /[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?:^|[^\uD800-\uDBFF])[\uDC00-\uDFFF]/

/** Whether a text has no lone surrogate: one that has is not encodable as UTF-8. */
export function isWellFormed(text: string): boolean {
  // The platform's own check is much faster, but younger than some platforms and than the library's type.
  const checked = text as string & { isWellFormed?: () => boolean }
  return checked.isWellFormed?.() ?? !LONE_SURROGATE.test(text)
}

/** Text in chunks that are cut anywhere: keeps the first half of a character for the chunk that brings the second. */
export class WholeCharacters {
  #half = ""

  push(chunk: string): string {
    const text = this.#half + chunk
    this.#half = /[\uD800-\uDBFF]$/.test(text) ? text.slice(-1) : ""
    return text.slice(0, text.length - this.#half.length)
  }

  /** @returns the half that is left if no more text follows, or nothing */
  end(): string {
    const left = this.#half
    this.#half = ""
    return left
  }
}
