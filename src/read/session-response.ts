import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { asyncDispose } from "../platform/async-dispose.ts"
import type { ReadableStreamAsyncIterable } from "../platform/async-iterable-stream.ts"
import { isJsonContentType } from "../protocol/content-type.ts"
import { joinBytes } from "../protocol/join-bytes.ts"
import type { Offset } from "../protocol/offset.ts"
import { describeUrl } from "../protocol/request-url.ts"
import type { ByteChunk, JsonBatch, TextChunk } from "./batches.ts"
import { gather, iterateBatches, subscribe, type Consumption } from "./consumers/batch-consumers.ts"
import {
  byteChunkSource,
  bytePartsSource,
  jsonBatchSource,
  textChunkSource,
} from "./consumers/batch-source.ts"
import type { BatchSource } from "./consumers/page-reader.ts"
import { Progress } from "./consumers/progress.ts"
import { jsonStream } from "./consumers/json-stream.ts"
import { byteStream, textStream } from "./consumers/streams.ts"
import { TextPages } from "./consumers/text-pages.ts"
import { joinLists } from "./join-lists.ts"
import type { Session } from "./session.ts"
import type { SessionSettings } from "./session-settings.ts"
import type { LiveMode } from "./stream-options.ts"
import type { CallbackResult, StreamResponse } from "./stream-response.ts"

/** The response over a session that has had its first answer. */
export class SessionResponse<TJson> implements StreamResponse<TJson> {
  readonly url: string
  readonly contentType?: string
  readonly live: LiveMode
  readonly startOffset: Offset
  readonly isLoading = false
  readonly #session: Session
  readonly #settings: SessionSettings
  readonly #progress: Progress
  #consumed: Promise<void> | undefined
  #closed: Promise<void> | undefined

  constructor(url: string, session: Session, settings: SessionSettings) {
    this.url = url
    this.live = settings.live
    this.startOffset = settings.offset
    if (session.contentType !== undefined) this.contentType = session.contentType
    this.#session = session
    this.#settings = settings
    this.#progress = new Progress(settings.offset)
  }

  get headers(): Headers {
    return this.#session.newest?.headers ?? new Headers()
  }

  get status(): number {
    return this.#session.newest?.status ?? 0
  }

  get statusText(): string {
    return this.#session.newest?.statusText ?? ""
  }

  get ok(): boolean {
    return this.status >= 200 && this.status < 300
  }

  get offset(): Offset {
    return this.#progress.mark.offset
  }

  get cursor(): string | undefined {
    return this.#progress.mark.cursor
  }

  get upToDate(): boolean {
    return this.#progress.mark.upToDate
  }

  get streamClosed(): boolean {
    return this.#progress.mark.streamClosed
  }

  get closed(): Promise<void> {
    this.#closed ??= quiet(this.#close())
    return this.#closed
  }

  async body(): Promise<Uint8Array> {
    const pages = await this.#gather(() => bytePartsSource(this.#session))
    return joinBytes(pages.flat())
  }

  async json<T = TJson>(): Promise<T[]> {
    const batches = await this.#gather(() => this.#jsonSource<T>())
    return joinLists(batches.map(({ items }) => items))
  }

  async text(): Promise<string> {
    const pages = this.#textPages()
    const chunks = await this.#gather(() => textChunkSource(pages))
    // Who wants all there is wants this too, although no place goes with it.
    return chunks.map(({ text }) => text).join("") + pages.rest
  }

  bodyStream(): ReadableStreamAsyncIterable<Uint8Array> {
    return this.#open((consumption, onEnd) => byteStream(consumption, onEnd))
  }

  jsonStream(): ReadableStreamAsyncIterable<TJson> {
    const source = this.#jsonSource<TJson>()
    return this.#open((consumption, onEnd) => jsonStream(consumption, source, onEnd))
  }

  textStream(): ReadableStreamAsyncIterable<string> {
    return this.#open((consumption, onEnd) => textStream(consumption, onEnd))
  }

  subscribeJson<T = TJson>(callback: (batch: JsonBatch<T>) => CallbackResult): () => void {
    return this.#subscribe(this.#jsonSource<T>(), callback)
  }

  subscribeBytes(callback: (chunk: ByteChunk) => CallbackResult): () => void {
    return this.#subscribe(byteChunkSource(this.#session), callback)
  }

  subscribeText(callback: (chunk: TextChunk) => CallbackResult): () => void {
    return this.#subscribe(textChunkSource(this.#textPages()), callback)
  }

  jsonBatches<T = TJson>(): AsyncIterableIterator<JsonBatch<T>> {
    return this.#iterate(this.#jsonSource<T>())
  }

  byteChunks(): AsyncIterableIterator<ByteChunk> {
    return this.#iterate(byteChunkSource(this.#session))
  }

  textChunks(): AsyncIterableIterator<TextChunk> {
    return this.#iterate(textChunkSource(this.#textPages()))
  }

  cancel(reason?: unknown): void {
    this.#session.cancel(reason)
  }

  async [asyncDispose](): Promise<void> {
    this.cancel()
    // What ended the session is told by `closed`; disposing of it is no place to fail.
    await this.closed.catch(() => undefined)
  }

  async #close(): Promise<void> {
    const outcome = await this.#session.ended
    await this.#consumed
    if (outcome.kind === "failed") throw outcome.error
  }

  #jsonSource<T>(): BatchSource<JsonBatch<T>> {
    if (!this.#settings.json && !isJsonContentType(this.contentType)) {
      throw new DurableStreamError(
        `${describeUrl(this.url)} is ${this.contentType ?? "of no content type"}, not JSON: read it as bytes or ` +
          "text, or say json: true.",
        "BAD_REQUEST",
      )
    }
    return jsonBatchSource<T>(this.#session, this.url)
  }

  #textPages(): TextPages {
    return new TextPages(this.#session, this.url)
  }

  #gather<TBatch>(source: () => BatchSource<TBatch>): Promise<TBatch[]> {
    const batches = source()
    return this.#open((consumption, onEnd) => gather(consumption, batches).finally(onEnd))
  }

  #subscribe<TBatch>(
    source: BatchSource<TBatch>,
    callback: (batch: TBatch) => CallbackResult,
  ): () => void {
    if (typeof callback !== "function") {
      throw new DurableStreamError(
        "The callback of a subscription must be a function.",
        "BAD_REQUEST",
      )
    }
    const consumption = this.#begin()
    this.#consumed = quiet(subscribe(consumption, source, callback))
    return () => {
      this.#session.cancel(undefined)
    }
  }

  #iterate<TBatch>(source: BatchSource<TBatch>): AsyncIterableIterator<TBatch> {
    return this.#open((consumption, onEnd) => iterateBatches(consumption, source, onEnd))
  }

  /** Begins a consumption whose end the consumer tells. */
  #open<T>(consume: (consumption: Consumption, onEnd: () => void) => T): T {
    const consumption = this.#begin()
    let onEnd: () => void = () => undefined
    this.#consumed = new Promise((resolve) => {
      onEnd = resolve
    })
    return consume(consumption, onEnd)
  }

  #begin(): Consumption {
    if (this.#consumed !== undefined) {
      throw new DurableStreamError(
        `The response from ${describeUrl(this.url)} is consumed already: call one consumption method, once, or ` +
          "stream() again.",
        "ALREADY_CONSUMED",
      )
    }
    return { session: this.#session, progress: this.#progress }
  }
}

/** Whoever wants to know of a failure looks at the promise; nobody has to. */
function quiet<T>(promise: Promise<T>): Promise<T> {
  promise.catch(ignore)
  return promise
}

function ignore(): void {}
