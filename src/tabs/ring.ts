import { joinBytes } from "../protocol/bytes.ts"
import { isDocuments, sizeOf, type SharedContent, type SharedPage } from "./wire.ts"
import type { Offset } from "../protocol/offset.ts"

/** What the ring keeps, in bytes or characters of JSON. */
const RING_SIZE = 256 * 1024
/** What a page takes beside its content. */
const PAGE_SIZE = 200

/** The latest pages of a connection, each behind the one before, for followers that missed some. */
export class Ring {
  #pages: readonly SharedPage[] = []
  #size = 0

  add(page: SharedPage): void {
    this.#pages = [...this.#pages, page]
    this.#size += PAGE_SIZE + sizeOf(page.content)
    while (this.#size > RING_SIZE) {
      const [oldest, ...rest] = this.#pages
      this.#size -= PAGE_SIZE + sizeOf(oldest?.content)
      this.#pages = rest
    }
  }

  /** Everything from an offset, as one page that ends in front of the next announced one; undefined if no page starts there. */
  from(offset: Offset): SharedPage | undefined {
    const index = this.#pages.findIndex(({ start }) => start === offset)
    const [first, ...others] = index < 0 ? [] : this.#pages.slice(index)
    if (first?.content === undefined) return first
    const announced = others.findIndex((page) => page.content === undefined)
    const pages = [first, ...(announced < 0 ? others : others.slice(0, announced))]
    const contents = pages.flatMap(({ content }) => (content === undefined ? [] : [content]))
    return { start: offset, end: (pages.at(-1) ?? first).end, content: joinContents(contents) }
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
