import type { Offset } from "../protocol/offset.ts"

/** What comes with every batch: its place in the stream. */
export interface JsonBatchMeta {
  /** Where to resume once this batch is processed: nothing up to here is delivered again, nothing behind it is missed. */
  offset: Offset
  /** Whether this batch reached the tail when it was read. */
  upToDate: boolean
  /** Whether this batch is the last one: the stream is closed. */
  streamClosed: boolean
  /** Passed back to the server on live requests, so that no cache answers them with an old response. */
  cursor?: string
  /**
   * Set on the first batch behind an offset that `onError` returned: the stream was recreated, or truncated at its start.
   * Discard what was read before.
   */
  restarted?: true
}

/** Messages of a JSON stream. Can be empty, if a batch only says that the reader is up to date or at the end. */
export interface JsonBatch<T = unknown> extends JsonBatchMeta {
  /** An array of its own: it may be kept and changed. */
  items: T[]
}

/**
 * Bytes of a stream. Can be empty, as a {@link JsonBatch} can.
 *
 * A page larger than 256 MiB is delivered in several chunks. All but the last have the `offset` before the page: a read
 * from there delivers the page again, from its start.
 */
export interface ByteChunk extends JsonBatchMeta {
  data: Uint8Array
}

/**
 * Text of a stream: whole characters only. If a page ends inside a character, its text is delivered with the next page, so
 * that `offset` never lies inside a character. A read that ends at such a tail, while the stream is open, leaves that page
 * to the next read: `upToDate` stays false then. Large pages are delivered as in {@link ByteChunk}.
 */
export interface TextChunk extends JsonBatchMeta {
  text: string
}

/** What iterating over a response delivers: by its content type, messages, text (`text/*`) or bytes. */
export type StreamBatch<T = unknown> = JsonBatch<T> | TextChunk | ByteChunk
