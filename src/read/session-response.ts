import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { FetchBackoffAbortError } from "../errors/fetch-backoff-abort-error.ts"
import type { Endpoint } from "../http/endpoint.ts"
import { badOption } from "../http/option-checks.ts"
import { supportAsyncDispose } from "../platform/async-dispose.ts"
import type { ReadableStreamAsyncIterable } from "../platform/async-iterable-stream.ts"
import { warnIfUsingHttpInBrowser } from "../platform/http-warning.ts"
import { isJsonContentType, mediaType } from "../protocol/content-type.ts"
import type { Offset } from "../protocol/offset.ts"
import { describeUrl } from "../protocol/request-url.ts"
import type { StandardSchemaV1 } from "../protocol/standard-schema.ts"
import {
  bytesFormat,
  jsonFormat,
  textFormat,
  type Format,
  type FormatState,
  type Messages,
} from "./consumers/formats.ts"
import {
  MAX_PART_SIZE,
  PageReader,
  type Delivery,
  type Reader,
  type ReadMode,
} from "./consumers/page-reader.ts"
import { PulledValues, pullEach, pullMessages, type Pull } from "./consumers/pulled-stream.ts"
import { schemaReader } from "./consumers/schema-reader.ts"
import type { PageSource } from "./page.ts"
import type { ResponseHead } from "./session-events.ts"
import { Session } from "./session.ts"
import {
  sessionSettings,
  type ConnectionState,
  type LiveMode,
  type ReadOptions,
  type SessionSettings,
  type StreamErrorHandler,
} from "./stream-options.ts"
import type {
  ByteChunk,
  CallbackResult,
  JsonBatch,
  StreamBatch,
  StreamResponse,
  TextChunk,
} from "./stream-response.ts"

const chunks: ReadMode = { partSize: MAX_PART_SIZE }
const wholePages: ReadMode = { partSize: Infinity }
const everything: ReadMode = { partSize: Infinity, collects: true }

/**
 * What a response reads from: a session, or what a capability has in its place (tabs/ gives pages that another tab received).
 * It has had its first HTTP response.
 */
export interface ResponseSource extends PageSource {
  readonly latest: ResponseHead | undefined
  readonly connectionState: ConnectionState
}

export class SessionResponse<TJson> implements StreamResponse<TJson> {
  readonly url: string
  readonly contentType?: string
  readonly live: LiveMode
  readonly startOffset: Offset
  readonly isLoading = false
  readonly #session: ResponseSource
  readonly #isJson: boolean
  readonly #schema: StandardSchemaV1 | undefined
  readonly #onError: StreamErrorHandler | undefined
  /** Settles when the caller has finished with what it was given; undefined before a consumption method is called. */
  #consumed: Promise<void> | undefined
  #closed: Promise<void> | undefined

  /** @param schema - validates the messages */
  constructor(
    url: string,
    session: ResponseSource,
    settings: SessionSettings,
    schema?: StandardSchemaV1,
  ) {
    this.url = url
    this.live = settings.live
    this.startOffset = settings.offset
    if (session.contentType !== undefined) this.contentType = session.contentType
    this.#isJson = settings.json || isJsonContentType(session.contentType)
    this.#session = session
    this.#schema = schema
    this.#onError = settings.onError
    supportAsyncDispose(this)
  }

  get headers(): Headers {
    return this.#latest.headers
  }

  get status(): number {
    return this.#latest.status
  }

  get statusText(): string {
    return this.#latest.statusText
  }

  get ok(): boolean {
    return this.status >= 200 && this.status < 300
  }

  get offset(): Offset {
    return this.#session.position.offset
  }

  get cursor(): string {
    // A getter has no type for a property that may be missing: it is a string or undefined.
    return this.#session.position.cursor as string
  }

  get upToDate(): boolean {
    return this.#session.position.upToDate
  }

  get streamClosed(): boolean {
    return this.#session.position.streamClosed
  }

  get state(): ConnectionState {
    return this.#session.connectionState
  }

  get closed(): Promise<void> {
    this.#closed ??= unobserved(this.#close())
    return this.#closed
  }

  /** Keeps Vue from wrapping the response in a proxy, behind which private members fail. */
  get [Symbol.toStringTag](): string {
    return "StreamResponse"
  }

  /** Keeps valtio from wrapping it: it leaves what has this key. */
  get [Symbol.iterator](): undefined {
    return undefined
  }

  async body(): Promise<Uint8Array> {
    return this.#collect(this.#read(bytesFormat, everything))
  }

  async json<T = TJson>(): Promise<T[]> {
    return this.#collect(this.#readJson<T>(everything))
  }

  async text(): Promise<string> {
    return this.#collect(this.#read(textFormat, everything))
  }

  bodyStream(): ReadableStreamAsyncIterable<Uint8Array> {
    return this.#streamValues("bodyStream", this.#read(bytesFormat, this.#parts))
  }

  jsonStream(): ReadableStreamAsyncIterable<TJson> {
    const reader = this.#readJson<TJson>({ ...wholePages, skipsEmpty: true })
    return this.#stream("jsonStream", pullMessages(this.#session, reader))
  }

  textStream(): ReadableStreamAsyncIterable<string> {
    return this.#streamValues("textStream", this.#read(textFormat, this.#parts))
  }

  subscribeJson<T = TJson>(callback: (batch: JsonBatch<T>) => CallbackResult): () => void {
    return this.#subscribe(this.#readJson<T>(wholePages), callback)
  }

  subscribeBytes(callback: (chunk: ByteChunk) => CallbackResult): () => void {
    return this.#subscribe(this.#read(bytesFormat, chunks), callback)
  }

  subscribeText(callback: (chunk: TextChunk) => CallbackResult): () => void {
    return this.#subscribe(this.#read(textFormat, chunks), callback)
  }

  jsonBatches<T = TJson>(): AsyncIterableIterator<JsonBatch<T>> {
    return this.#iterate(this.#readJson<T>(wholePages))
  }

  byteChunks(): AsyncIterableIterator<ByteChunk> {
    return this.#iterate(this.#read(bytesFormat, chunks))
  }

  textChunks(): AsyncIterableIterator<TextChunk> {
    return this.#iterate(this.#read(textFormat, chunks))
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<StreamBatch<TJson>> {
    if (this.#isJson) return this.jsonBatches()
    return mediaType(this.contentType).startsWith("text/") ? this.textChunks() : this.byteChunks()
  }

  cancel(reason?: unknown): void {
    this.#session.cancel(reason)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cancel()
    // What ended the session is told by `closed`; disposing of it does not fail.
    await this.closed.catch(() => undefined)
  }

  get #latest(): ResponseHead {
    // The first one arrived before this object was made.
    return this.#session.latest as ResponseHead
  }

  async #close(): Promise<void> {
    const outcome = await this.#session.ended
    await this.#consumed
    if (outcome.kind === "failed") throw outcome.error
  }

  /** Parts as they arrive. A page of JSON is an array around some messages: half of one depends on where it ends. */
  get #parts(): ReadMode {
    const isFramed = isJsonContentType(this.contentType)
    return { partSize: isFramed ? Infinity : 1, skipsEmpty: true }
  }

  #read<S extends FormatState, T, TBatch>(
    format: Format<S, T, TBatch>,
    mode: ReadMode,
  ): Reader<T, TBatch> {
    return new PageReader(this.#session, this.url, format, mode)
  }

  #readJson<T>(mode: ReadMode): Reader<T[], JsonBatch<T>> {
    if (!this.#isJson) {
      throw new DurableStreamError(
        `${describeUrl(this.url)} is not JSON (${this.contentType ?? "no content type"}). Read it as bytes or text, or set json: true.`,
        "BAD_REQUEST",
      )
    }
    // That the messages are of this type is the caller's claim.
    const reader = this.#read(jsonFormat as Format<Messages, T[], JsonBatch<T>>, mode)
    if (this.#schema === undefined) return reader
    return schemaReader(reader, this.#schema, this.#session, this.url, this.#onError)
  }

  /** Everything up to the tail, as one value; then the session ends. */
  async #collect<T>(reader: Reader<T>): Promise<T> {
    const onEnd = this.#begin()
    const session = this.#session
    try {
      session.readToTail()
      const whole = await reader.next()
      if (whole !== undefined && reader.accept(whole) !== undefined) {
        // The value is complete: what ends the session now does not change it.
        await reader.next().catch(() => undefined)
        return whole.value
      }
      if (whole !== undefined) await reader.next()
      const { outcome } = session
      if (outcome?.kind === "cancelled") throw new FetchBackoffAbortError(outcome.reason)
      return reader.rest()
    } finally {
      onEnd()
    }
  }

  #streamValues<T>(method: string, reader: Reader<T>): ReadableStreamAsyncIterable<T> {
    return this.#stream(
      method,
      pullEach(reader, (value) => value),
    )
  }

  #stream<T>(method: string, pull: Pull<T>): ReadableStreamAsyncIterable<T> {
    if (typeof ReadableStream === "undefined") {
      throw new DurableStreamError(
        `${method}() needs ReadableStream, which this platform does not have. Use a subscription, batches or chunks, or a polyfill.`,
        "BAD_REQUEST",
      )
    }
    return new PulledValues(this.#session, pull, this.#begin()).stream()
  }

  #iterate<T, TBatch>(reader: Reader<T, TBatch>): AsyncIterableIterator<TBatch> {
    const pull = pullEach(reader, (_value, batch) => batch)
    return new PulledValues(this.#session, pull, this.#begin()).iterate()
  }

  #subscribe<T, TBatch>(
    reader: Reader<T, TBatch>,
    callback: (batch: TBatch) => CallbackResult,
  ): () => void {
    if (typeof callback !== "function") throw badOption("callback", "a function", callback)
    this.#begin()
    this.#consumed = unobserved(this.#callBack(reader, callback))
    return () => {
      this.cancel()
    }
  }

  /** Calls back with each batch. What a callback throws ends the session; what else ends it is told by the session. */
  async #callBack<T, TBatch>(
    reader: Reader<T, TBatch>,
    callback: (batch: TBatch) => CallbackResult,
  ): Promise<void> {
    // A function of its own: a loop that waits for the next batch would hold on to this one.
    const deliver = async (delivery: Delivery<T> | undefined): Promise<boolean> => {
      const batch = delivery && reader.accept(delivery)
      if (batch === undefined) return false
      try {
        await callback(batch)
        return true
      } catch (error) {
        this.#session.fail(error)
        throw error
      }
    }
    while (await reader.next().then(deliver, () => false));
  }

  /** Begins the one consumption; what it returns is called when the caller has finished. */
  #begin(): () => void {
    if (this.#consumed !== undefined) {
      throw new DurableStreamError(
        `The response of ${describeUrl(this.url)} is already consumed. Call one consumption method, or stream() again.`,
        "ALREADY_CONSUMED",
      )
    }
    let onEnd: () => void = () => undefined
    this.#consumed = new Promise((resolve) => {
      onEnd = resolve
    })
    return onEnd
  }
}

/** A caller that wants to know of a failure looks at the promise; no caller has to. */
function unobserved<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined)
  return promise
}

/** Begins to read a stream; settles with the first response. A signal of the options goes beside the endpoint's. */
export async function openStream<TJson>(
  endpoint: Endpoint,
  options: ReadOptions,
): Promise<StreamResponse<TJson>> {
  const settings = sessionSettings(options)
  warnIfUsingHttpInBrowser(endpoint.url, options.warnOnHttp)
  const session = new Session(endpoint, settings)
  await session.start()
  return new SessionResponse<TJson>(endpoint.url, session, settings, endpoint.schema)
}
