import type { ByteChunk, JsonBatch, TextChunk } from "../batches.ts"
import type { PageMark } from "../page.ts"
import type { Session } from "../session.ts"
import { takeBytes, takeJson, takePage, takeParts, type TakenPage } from "./page-reader.ts"
import { batchMeta } from "./progress.ts"
import { TextPages } from "./text-pages.ts"

/** A batch and what the session is told once the consumer has it. */
export interface Delivery<TBatch> {
  readonly batch: TBatch
  readonly mark: PageMark
  readonly empty: boolean
}

/**
 * Gives the next batch; undefined at the end. Rejects with what ended the session.
 * Whoever gets a batch says `session.delivered` once it is the consumer's.
 */
export type BatchSource<TBatch> = () => Promise<Delivery<TBatch> | undefined>

/** The messages of a JSON stream, a page at a time. */
export function jsonBatchSource<T>(session: Session, url: string): BatchSource<JsonBatch<T>> {
  const take = takeJson<T>(url)
  return () => takePage(session, take).then(jsonDelivery)
}

function jsonDelivery<T>(taken: TakenPage<T[]> | undefined): Delivery<JsonBatch<T>> | undefined {
  if (taken === undefined) return undefined
  const { page: mark, value: items, empty } = taken
  return { batch: { items, ...batchMeta(mark) }, mark, empty }
}

/** The bytes of a stream, a page at a time. */
export function byteChunkSource(session: Session): BatchSource<ByteChunk> {
  return async () => {
    const taken = await takePage(session, takeBytes)
    if (taken === undefined) return undefined
    const { page: mark, value: data, empty } = taken
    return { batch: { data, ...batchMeta(mark) }, mark, empty }
  }
}

/** The bytes of a stream, a page at a time, each in the parts in which it came. */
export function bytePartsSource(session: Session): BatchSource<readonly Uint8Array[]> {
  return async () => {
    const taken = await takePage(session, takeParts)
    return taken && { batch: taken.value, mark: taken.page, empty: taken.empty }
  }
}

/** The text of a stream, in whole characters. */
export function textChunkSource(
  session: Session,
  start: PageMark,
  stopAtTail: boolean,
): BatchSource<TextChunk> {
  const pages = new TextPages(session, start, stopAtTail)
  return async () => {
    const next = await pages.next()
    if (next === undefined) return undefined
    const { text, mark, empty } = next
    return { batch: { text, ...batchMeta(mark) }, mark, empty }
  }
}
