import type { ReadableStreamAsyncIterable } from "../platform/async-iterable-stream.ts"
import type { Offset } from "../protocol/offset.ts"
import type { ConnectionState, LiveMode } from "./stream-options.ts"

/** What a callback of a subscription may return; the next batch waits for a promise. */
export type CallbackResult = unknown

/**
 * A session that reads a stream. It has had its first HTTP response and requests nothing more until a consumption method is
 * called (iterating over the response is one). Call one of them, once: a second call fails with `ALREADY_CONSUMED`.
 *
 * Regardless of network behaviour, what is delivered is the stream's content, each message or byte once and in order. Reads
 * that break are resumed behind what was delivered.
 */
export interface StreamResponse<TJson = unknown> {
  /** The stream's URL. */
  readonly url: string
  /** The stream's content type. */
  readonly contentType?: string
  /** How the session continues at the tail. */
  readonly live: LiveMode
  /** Where the read started. */
  readonly startOffset: Offset

  /** The headers of the latest HTTP response. */
  readonly headers: Headers
  /** The status of the latest HTTP response. */
  readonly status: number
  /** The status text of the latest HTTP response. */
  readonly statusText: string
  /** Whether the latest HTTP response was a success. */
  readonly ok: boolean
  /** False: the first HTTP response arrives before this object exists. */
  readonly isLoading: boolean

  /** Where to resume: the end of what was delivered, never ahead of it. */
  readonly offset: Offset
  /** The cursor that belongs to `offset`. */
  readonly cursor?: string
  /** Whether what was delivered reached the tail when it was read. */
  readonly upToDate: boolean
  /** Whether what was delivered reaches the end of a closed stream. */
  readonly streamClosed: boolean
  /** What the session is at. `observe` has each change. */
  readonly state: ConnectionState

  /**
   * Collects bytes up to the first up-to-date page, then ends the session. Rejects with what ended the session before that
   * (after its retries); nothing is delivered then.
   */
  body(): Promise<Uint8Array>
  /**
   * Collects messages up to the first up-to-date page, then ends the session. Rejects as {@link StreamResponse.body} does,
   * with `BAD_REQUEST` if the stream is not JSON, with `PARSE_ERROR` if a page is not valid JSON even after retries, and with
   * `PAGE_TOO_LARGE` if a page exceeds `maxPageBytes` or the engine's longest string.
   */
  json<T = TJson>(): Promise<T[]>
  /**
   * Collects text up to the first up-to-date page, then ends the session. A BOM is kept, as by every method for text. If the
   * tail of an open stream lies inside a character, that half is omitted, `offset` stays behind the last page that ends with
   * a character, and `upToDate` is false: a later read from there delivers that last page again. `textChunks` does not.
   * Rejects as {@link StreamResponse.body} does.
   */
  text(): Promise<string>

  /**
   * The bytes as they arrive. To read slowly is to read the network slowly; to cancel it ends the session. `offset` moves
   * at the end of a page, of which parts may have been delivered before. `BAD_REQUEST` if the platform has no ReadableStream.
   */
  bodyStream(): ReadableStreamAsyncIterable<Uint8Array>
  /**
   * The messages one by one; `offset` moves with the last one of a page. `BAD_REQUEST` if the stream is not JSON, or the
   * platform has no ReadableStream.
   */
  jsonStream(): ReadableStreamAsyncIterable<TJson>
  /**
   * The text as it arrives, never ending inside a character. It delivers parts of pages, and `offset` moves at the end of a
   * page that ends with a character: to resume there can deliver some of the text again. `textChunks()` never does.
   * `BAD_REQUEST` if the platform has no ReadableStream.
   */
  textStream(): ReadableStreamAsyncIterable<string>

  /**
   * Calls back with each page's messages, one page at a time: the next waits for the callback's promise. A callback
   * that fails ends the session and rejects `closed`. `BAD_REQUEST` if the stream is not JSON.
   *
   * @returns a function that ends the session
   */
  subscribeJson<T = TJson>(callback: (batch: JsonBatch<T>) => CallbackResult): () => void
  /** As {@link StreamResponse.subscribeJson}, with bytes. */
  subscribeBytes(callback: (chunk: ByteChunk) => CallbackResult): () => void
  /** As {@link StreamResponse.subscribeJson}, with text in whole characters. */
  subscribeText(callback: (chunk: TextChunk) => CallbackResult): () => void

  /**
   * The batches of {@link StreamResponse.subscribeJson} for `for await`. To leave the loop ends the session. It throws what
   * ends the session otherwise: a request that failed for good, or an error named `AbortError` after an abort.
   */
  jsonBatches<T = TJson>(): AsyncIterableIterator<JsonBatch<T>>
  /** The chunks of {@link StreamResponse.subscribeBytes} for `for await`. */
  byteChunks(): AsyncIterableIterator<ByteChunk>
  /** The chunks of {@link StreamResponse.subscribeText} for `for await`. */
  textChunks(): AsyncIterableIterator<TextChunk>
  /** As `jsonBatches()`, `textChunks()` (`text/*`) or `byteChunks()`, by the content type. */
  [Symbol.asyncIterator](): AsyncIterableIterator<StreamBatch<TJson>>

  /** Ends the session at once. What is being collected rejects, loops and streams end, `closed` resolves. */
  cancel(reason?: unknown): void
  /**
   * Resolves when the session is over (the end of the stream, caught up, cancelled, aborted) and the last callback has
   * finished. Rejects with what ended it otherwise: a request that failed for good, an exception while a page was processed,
   * or what a callback threw. It raises no unhandled rejection if no caller observes it.
   */
  readonly closed: Promise<void>
  /** Ends the session and waits for the last callback. */
  [Symbol.asyncDispose](): Promise<void>
}

/** What comes with every batch: its place in the stream. */
export interface JsonBatchMeta {
  /** Where to resume once this batch is processed: nothing up to here is delivered again, nothing behind it is missed. */
  offset: Offset
  /** Whether this batch reached the tail when it was read. */
  upToDate: boolean
  /** Whether this batch is the last one: the stream is closed. */
  streamClosed: boolean
  /** Passed back to the server on live requests, so that no cache returns an old response. */
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
