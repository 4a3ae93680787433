import type { ReadableStreamAsyncIterable } from "../platform/async-iterable-stream.ts"
import type { Offset } from "../protocol/offset.ts"
import type { ByteChunk, JsonBatch, TextChunk } from "./batches.ts"
import type { LiveMode } from "./stream-options.ts"

/** What a callback of a subscription may give back; the next batch waits for a promise. */
export type CallbackResult = unknown

/**
 * A session that reads a stream. It has had its first answer; nothing more is requested until one of the consumption
 * methods is called. One of them may be called, once: a second call fails with `ALREADY_CONSUMED`.
 *
 * Whatever the network does, what is delivered is the stream's content, each message or byte once and in order. Reads
 * that break off are resumed behind what was delivered.
 */
export interface StreamResponse<TJson = unknown> {
  /** The stream's URL. */
  readonly url: string
  /** The stream's content type. */
  readonly contentType?: string
  readonly live: LiveMode
  /** Where the read started. */
  readonly startOffset: Offset

  /** The headers of the newest HTTP answer. */
  readonly headers: Headers
  /** The status of the newest HTTP answer. */
  readonly status: number
  readonly statusText: string
  readonly ok: boolean
  /** False: the first answer has come before there is a response. */
  readonly isLoading: boolean

  /** Where to resume: the end of what was delivered to the consumer, never ahead of it. */
  readonly offset: Offset
  readonly cursor?: string | undefined
  /** Whether what was delivered reaches the tail, as of then. */
  readonly upToDate: boolean
  /** Whether what was delivered reaches the end of a closed stream. */
  readonly streamClosed: boolean

  /**
   * Gathers bytes up to the first up-to-date page, then ends the session.
   *
   * @throws what ended the session before, with nothing delivered; retries are used up by then
   */
  body(): Promise<Uint8Array>
  /**
   * Gathers messages up to the first up-to-date page, then ends the session. `BAD_REQUEST` where the stream is not JSON.
   *
   * @throws as {@link StreamResponse.body} does; `PARSE_ERROR` where a page is no JSON, however often it is read
   */
  json<T = TJson>(): Promise<T[]>
  /**
   * Gathers text up to the first up-to-date page, then ends the session. A BOM is kept, as by every method for text. Where
   * the tail of an open stream lies inside a character, its first half is left out, `offset` stays behind the last page that
   * ends with one, and `upToDate` is false: a later read from there gives that last page again. `textChunks` does not.
   *
   * @throws as {@link StreamResponse.body} does
   */
  text(): Promise<string>

  /**
   * The bytes as they arrive. Read slowly, it reads the network slowly; cancelling it ends the session. `offset` moves at
   * the end of a page, of which parts may have been given before.
   */
  bodyStream(): ReadableStreamAsyncIterable<Uint8Array>
  /** The messages one by one. `BAD_REQUEST` where the stream is not JSON. */
  jsonStream(): ReadableStreamAsyncIterable<TJson>
  /**
   * The text as it arrives, never ending inside a character. It gives parts of pages, while `offset` moves at the end of a
   * page that ends with a character: to resume there can bring some of the text again. `textChunks()` never does.
   */
  textStream(): ReadableStreamAsyncIterable<string>

  /**
   * Calls back with each page's messages, one page at a time: the next waits for the callback's promise. A callback
   * that fails ends the session and rejects `closed`. `BAD_REQUEST` where the stream is not JSON.
   *
   * @returns a function that ends the session
   */
  subscribeJson<T = TJson>(callback: (batch: JsonBatch<T>) => CallbackResult): () => void
  /** As {@link StreamResponse.subscribeJson}, with bytes. */
  subscribeBytes(callback: (chunk: ByteChunk) => CallbackResult): () => void
  /** As {@link StreamResponse.subscribeJson}, with text in whole characters. */
  subscribeText(callback: (chunk: TextChunk) => CallbackResult): () => void

  /** The batches of {@link StreamResponse.subscribeJson} for `for await`; leaving the loop ends the session. */
  jsonBatches<T = TJson>(): AsyncIterableIterator<JsonBatch<T>>
  /** The chunks of {@link StreamResponse.subscribeBytes} for `for await`. */
  byteChunks(): AsyncIterableIterator<ByteChunk>
  /** The chunks of {@link StreamResponse.subscribeText} for `for await`. */
  textChunks(): AsyncIterableIterator<TextChunk>

  /** Ends the session at once. What is being gathered rejects, loops and streams end, `closed` resolves. */
  cancel(reason?: unknown): void
  /**
   * Resolves when the session is over (the end of the stream, caught up, cancelled, aborted) and the last callback has
   * finished. Rejects with what ended it otherwise: a request that failed for good, or what a callback threw. Nobody
   * has to look: it raises no unhandled rejection.
   */
  readonly closed: Promise<void>
  /** Ends the session and waits for the last callback. */
  [Symbol.asyncDispose](): Promise<void>
}
