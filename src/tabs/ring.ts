import { joinBytes } from "../protocol/bytes.ts"
import { isDocuments, sizeOf, type SharedContent, type SharedPage } from "./wire.ts"
import type { Offset } from "../protocol/offset.ts"

/** What the ring keeps, and sends at once, in bytes or characters of JSON. */
const RING_SIZE = 256 * 1024
/** What a page takes beside its content. */
const PAGE_SIZE = 200

/** The latest pages of a connection, each behind the one before, for followers that missed some. */
export class Ring {
  readonly #maxPageSize: number
  #pages: readonly SharedPage[] = []
  #size = 0

  /** @param maxPageSize - several pages are sent as one up to this size */
  constructor(maxPageSize = Infinity) {
    this.#maxPageSize = maxPageSize
  }

  add(page: SharedPage): void {
    // An empty one would be sent in place of an announced page behind it, which starts at the same offset.
    if (page.start === page.end.offset) return
    this.#pages = [...this.#pages, page]
    this.#size += PAGE_SIZE + sizeOf(page.content)
    while (this.#size > RING_SIZE) {
      const [oldest, ...rest] = this.#pages
      this.#size -= PAGE_SIZE + sizeOf(oldest?.content)
      this.#pages = rest
    }
  }

  /**
   * What there is from an offset, as one page: up to the next announced one, or as much as one page may have. undefined if no
   * page starts there.
   */
  from(offset: Offset): SharedPage | undefined {
    const index = this.#pages.findIndex(({ start }) => start === offset)
    const [first, ...others] = index < 0 ? [] : this.#pages.slice(index)
    if (first?.content === undefined) return first
    const contents = [first.content]
    let { end } = first
    let size = sizeOf(first.content)
    for (const { content, end: next } of others) {
      size += sizeOf(content)
      if (content === undefined || size > this.#maxPageSize) break
      contents.push(content)
      end = next
    }
    return { start: offset, end, content: joinContents(contents) }
  }
}

function joinContents(contents: readonly SharedContent[]): SharedContent {
  const documents: string[] = []
  const bytes: Uint8Array[] = []
  for (const content of contents) {
    if (isDocuments(content)) documents.push(...content)
    else bytes.push(content)
  }
  return bytes.length > 0 ? joinBytes(bytes) : documents
}
