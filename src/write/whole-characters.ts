/** Keeps half of a character at the end of a text chunk back: its other half begins the next one. */
export class WholeCharacters {
  #half = ""

  /** Takes a chunk and gives the characters that are whole. */
  push(chunk: string): string {
    const text = this.#half + chunk
    this.#half = /[\uD800-\uDBFF]$/.test(text) ? text.slice(-1) : ""
    return text.slice(0, text.length - this.#half.length)
  }

  /** @returns the half that is left at the end, or nothing */
  end(): string {
    const left = this.#half
    this.#half = ""
    return left
  }
}
