import type { PageMark } from "../page.ts"
import { readWhole, type Payload } from "../payload.ts"
import type { Session } from "../session.ts"
import { pageSource, type BatchSource, type TakePayload } from "./page-reader.ts"
import { Utf8Assembler } from "../../protocol/utf8-assembler.ts"

/** Text that ends with a character, and the place of that end. */
export interface TextPage {
  readonly text: string
  readonly mark: PageMark
  /** Whether the newest page behind it held nothing. */
  readonly empty: boolean
}

/** More text than this is not kept back while a character is waited for; then `mark` stays behind the text. */
const MAX_HELD_CHARS = 1 << 20

/**
 * Reads pages as text, so that the place that goes with a text never lies inside a character. A page that ends inside
 * one is kept back until the next has come, and both are given as one.
 *
 * Only where no next page is wanted (`stopAtTail`) and where too much would be kept back is the text given as far as
 * its characters are whole, with the last place that is sound: to resume there repeats some of it and loses none.
 */
export class TextPages {
  readonly #session: Session
  readonly #source: BatchSource<string>
  readonly #stopAtTail: boolean
  readonly #utf8 = new Utf8Assembler()
  #held = ""
  #soundMark: PageMark

  /**
   * @param session - where the pages come from
   * @param start - where the read starts
   * @param stopAtTail - whether nothing behind the first up-to-date page will be read
   */
  constructor(session: Session, start: PageMark, stopAtTail: boolean) {
    this.#session = session
    this.#source = pageSource(session, this.#take, (text) => text)
    this.#soundMark = start
    this.#stopAtTail = stopAtTail
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
        this.#soundMark = mark
        return { text, mark, empty }
      }
      if ((mark.upToDate && this.#stopAtTail) || text.length > MAX_HELD_CHARS) {
        this.#held = ""
        return { text, mark: { ...this.#soundMark, upToDate: mark.upToDate }, empty }
      }
      this.#held = text
      this.#session.delivered(0, empty)
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
