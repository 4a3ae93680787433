import type { Offset } from "../protocol/offset.ts"

/** What comes with every batch: its place in the stream. */
export interface JsonBatchMeta {
  /** Where to resume once this batch is dealt with. */
  readonly offset: Offset
  /** Whether this batch reached the tail as of then. */
  readonly upToDate: boolean
  /** Whether this batch is the last one: the stream is closed. */
  readonly streamClosed: boolean
  readonly cursor?: string
}

/** Messages of a JSON stream. May be empty, where a batch only tells that the reader is up to date or at the end. */
export interface JsonBatch<T = unknown> extends JsonBatchMeta {
  /** A list of its own: it may be kept and changed. */
  readonly items: T[]
}

/** Bytes of a stream. May be empty, as a {@link JsonBatch} may. */
export interface ByteChunk extends JsonBatchMeta {
  readonly data: Uint8Array
}

/**
 * Text of a stream: whole characters only. Where a page ends inside a character, it is delivered with the next one, so
 * that `offset` never lies inside a character. A read that ends at such a tail, while the stream is open, leaves that page
 * to the next read: `upToDate` stays false then.
 */
export interface TextChunk extends JsonBatchMeta {
  readonly text: string
}
