import type { Offset } from "../../protocol/offset.ts"
import type { JsonBatchMeta } from "../batches.ts"
import type { PageMark } from "../page.ts"

/** What the consumer has been given, as the response shows it: never ahead of it. */
export class Progress {
  #mark: PageMark

  /** @param offset - where the read starts */
  constructor(offset: Offset) {
    this.#mark = { offset, cursor: undefined, upToDate: false, streamClosed: false }
  }

  /** The end of the last page that was handed over whole. */
  get mark(): PageMark {
    return this.#mark
  }

  /**
   * A page is handed over.
   *
   * @returns a function that takes it back, for a consumer that failed to take it
   */
  move(mark: PageMark): () => void {
    const before = this.#mark
    // The consumer's own view has no payload: holding on to one would hold on to its memory.
    const { offset, upToDate, streamClosed } = mark
    this.#mark = { offset, upToDate, streamClosed, cursor: mark.cursor ?? before.cursor }
    return () => {
      this.#mark = before
    }
  }
}

/** What a batch tells about its place. */
export function batchMeta(mark: PageMark): JsonBatchMeta {
  const { offset, cursor, upToDate, streamClosed } = mark
  return { offset, upToDate, streamClosed, ...(cursor !== undefined && { cursor }) }
}
