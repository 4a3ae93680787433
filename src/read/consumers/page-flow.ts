import { endOf, type Page } from "../page.ts"
import { unbrokenPayload } from "../payload.ts"
import type { Session } from "../session.ts"

/** What a flow is told to do. */
export interface PageFlowOptions {
  /** Whether nothing of a page is given before it has come whole: a page that breaks off leaves no trace then. */
  readonly wholePages: boolean
  /** Whether a page that came as text may be given as text, whole. */
  readonly acceptsText: () => boolean
  /** Told when all of a page has been given. */
  readonly onPageEnd: (page: Page) => void
}

/**
 * Gives the content of a stream part by part, as the network brings it. Parts that were given cannot be taken back, so
 * where a page breaks off the flow goes on behind them: positions in a stream never change.
 */
export class PageFlow {
  readonly #session: Session
  readonly #options: PageFlowOptions
  #page: Page | undefined
  #pageBytes = 0
  #skipBytes = 0
  /** The page was given as text: this. */
  #givenText: string | undefined

  constructor(session: Session, options: PageFlowOptions) {
    this.#session = session
    this.#options = options
  }

  /**
   * The next part, never empty.
   *
   * @returns undefined at the end of the session
   * @throws what ended the session
   */
  async next(): Promise<Uint8Array | string | undefined> {
    for (;;) {
      this.#page ??= await this.#begin()
      if (this.#page === undefined) return undefined
      const part = this.#takeText(this.#page) ?? (await this.#takeBytes(this.#page))
      if (part !== undefined && part.length > 0) return part
    }
  }

  async #begin(): Promise<Page | undefined> {
    const page = await this.#session.next()
    this.#pageBytes = 0
    this.#givenText = undefined
    this.#skipBytes = this.#session.state.handedOnBytes
    if (page === undefined || !this.#options.wholePages) return page
    return { ...page, payload: unbrokenPayload(page.payload) }
  }

  #takeText({ payload }: Page): string | undefined {
    if (payload.texts === undefined || this.#givenText !== undefined || this.#skipBytes > 0)
      return undefined
    if (this.#pageBytes > 0 || !this.#options.acceptsText()) return undefined
    this.#givenText = payload.texts.join("")
    return this.#givenText
  }

  async #takeBytes(page: Page): Promise<Uint8Array | undefined> {
    if (this.#givenText !== undefined) {
      this.#end(page, this.#givenText === "")
      return undefined
    }
    const part = await page.payload.read()
    if (part.kind === "end") {
      this.#end(page, this.#pageBytes === 0)
      return undefined
    }
    if (part.kind === "broken") {
      this.#page = undefined
      this.#session.broken(part, this.#pageBytes)
      return undefined
    }
    this.#pageBytes += part.bytes.byteLength
    const skipped = Math.min(this.#skipBytes, part.bytes.byteLength)
    this.#skipBytes -= skipped
    return skipped === 0 ? part.bytes : part.bytes.subarray(skipped)
  }

  #end(page: Page, empty: boolean): void {
    this.#page = undefined
    this.#givenText = undefined
    this.#options.onPageEnd(endOf(page, this.#session.state.offset, empty))
    this.#session.delivered(this.#pageBytes, empty)
  }
}
