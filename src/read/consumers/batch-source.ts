import type { ByteChunk, JsonBatch, TextChunk } from "../batches.ts"
import type { PageMark } from "../page.ts"
import type { Session } from "../session.ts"
import { pageSource, takeBytes, takeJson, takeParts, type BatchSource } from "./page-reader.ts"
import { batchMeta } from "./progress.ts"
import type { TextPages } from "./text-pages.ts"

/** The messages of a JSON stream, a page at a time. */
export function jsonBatchSource<T>(session: Session, url: string): BatchSource<JsonBatch<T>> {
  return pageSource(session, takeJson<T>(url), jsonBatch)
}

function jsonBatch<T>(items: T[], mark: PageMark): JsonBatch<T> {
  return { items, ...batchMeta(mark) }
}

/** The bytes of a stream, a page at a time. */
export function byteChunkSource(session: Session): BatchSource<ByteChunk> {
  return pageSource(session, takeBytes, byteChunk)
}

function byteChunk(data: Uint8Array, mark: PageMark): ByteChunk {
  return { data, ...batchMeta(mark) }
}

/** The bytes of a stream, a page at a time, each in the parts in which it came. */
export function bytePartsSource(session: Session): BatchSource<readonly Uint8Array[]> {
  return pageSource(session, takeParts, (parts) => parts)
}

/** The text of a stream, in whole characters. */
export function textChunkSource(pages: TextPages): BatchSource<TextChunk> {
  return async () => {
    const next = await pages.next()
    if (next === undefined) return undefined
    const { text, mark, empty } = next
    return { batch: { text, ...batchMeta(mark) }, mark, empty }
  }
}
