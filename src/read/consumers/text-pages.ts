import { DurableStreamError } from "../../errors/durable-stream-error.ts"
import { describeUrl } from "../../protocol/request-url.ts"
import { Utf8Assembler } from "../../protocol/utf8-assembler.ts"
import type { PageMark } from "../page.ts"
import { readWhole, type Payload } from "../payload.ts"
import type { Session } from "../session.ts"
import { pageSource, type BatchSource, type TakePayload } from "./page-reader.ts"

/** Text that ends with a character, and the place of that end. */
export interface TextPage {
  readonly text: string
  readonly mark: PageMark
  /** Whether the newest page behind it held nothing. */
  readonly empty: boolean
}

/** So many pages in a row may end inside a character, and so much text may be kept back for that, before it is an error. */
const MAX_HELD_PAGES = 64
const MAX_HELD_CHARS = 1 << 20

/**
 * Reads pages as text, so that the place that goes with a text never lies inside a character. A page that ends inside
 * one is kept back until the next has come, and both are given as one. Where the session ends before that, at the tail of
 * an open stream, what was kept back is not given: whoever resumes at the last place that was, gets it then.
 *
 * A text of which no page ends with a character is no UTF-8, and ends the session.
 */
export class TextPages {
  readonly #session: Session
  readonly #url: string
  readonly #source: BatchSource<string>
  readonly #utf8 = new Utf8Assembler()
  #held = ""
  #heldPages = 0

  /**
   * @param session - where the pages come from
   * @param url - the stream, for an error
   */
  constructor(session: Session, url: string) {
    this.#session = session
    this.#url = url
    this.#source = pageSource(session, this.#take, (text) => text)
  }

  /** The text that was kept back, less the half of a character that it waits for. No place goes with it. */
  get rest(): string {
    return this.#held
  }

  /**
   * The next text. Whoever gets it says `session.delivered` once it is the consumer's.
   *
   * @returns undefined at the end of the session
   * @throws what ended the session
   */
  async next(): Promise<TextPage | undefined> {
    for (;;) {
      const taken = await this.#source()
      if (taken === undefined) return undefined
      const { batch, mark, empty } = taken
      const text = this.#held + batch + (mark.streamClosed ? this.#utf8.flush() : "")
      if (this.#utf8.aligned) {
        this.#held = ""
        this.#heldPages = 0
        return { text, mark, empty }
      }
      this.#held = text
      if (!empty) this.#heldPages++
      if (this.#heldPages > MAX_HELD_PAGES && text.length > MAX_HELD_CHARS) {
        this.#session.fail(noText(this.#url))
      } else this.#session.delivered(0, empty)
    }
  }

  readonly #take: TakePayload<string> = async (payload: Payload) => {
    if (payload.texts !== undefined && this.#utf8.aligned) {
      const text = payload.texts.join("")
      return { kind: "whole", value: text, empty: text === "" }
    }
    const whole = await readWhole(payload)
    if (whole.kind === "broken") return whole
    const { bytes } = whole
    return { kind: "whole", value: this.#utf8.push(bytes), empty: bytes.byteLength === 0 }
  }
}

function noText(url: string): DurableStreamError {
  return new DurableStreamError(
    `${describeUrl(url)} is no UTF-8 text: more than ${MAX_HELD_PAGES} pages in a row end inside a character. Read it as bytes.`,
    "PARSE_ERROR",
  )
}
