import type {
  AppendBody,
  CallOptions,
  CreateCallOptions,
  CreateOptions,
  DurableStreamOptions,
  ForkOptions,
  StreamCallOptions,
  WritableOptions,
} from "./durable-stream-options.ts"
import {
  checkSignal,
  createEndpoint,
  endpointSymbol,
  extendEndpoint,
  type Endpoint,
} from "./http/endpoint.ts"
import { warnOfUnknownOptions } from "./http/unknown-options.ts"
import { checkFunction, checkObject } from "./http/option-checks.ts"
import {
  checkHeaders,
  mergeHeaders,
  resolveHeaders,
  type HeadersRecord,
} from "./http/request-inputs.ts"
import { headExistingStream, headStream, type HeadResult } from "./http/stream-head.ts"
import { matchingMessage } from "./errors/schema-error.ts"
import { randomId } from "./platform/random-id.ts"
import { isWorkerd } from "./platform/runtime.ts"
import { Producer } from "./producer/producer.ts"
import { openStream } from "./read/session-response.ts"
import type { StandardSchemaV1 } from "./protocol/standard-schema.ts"
import type { StreamResponse } from "./read/stream-response.ts"
import { AppendQueue } from "./write/append-queue.ts"
import type { WriteTarget } from "./write/append-request.ts"
import { appendStream, type AppendSource } from "./write/append-stream.ts"
import { appendWithResult } from "./write/append-with-result.ts"
import { closeStream } from "./write/close-stream.ts"
import { createStream, forkStream, forkUrl, splitCreateHeaders } from "./write/create-stream.ts"
import { deleteStream } from "./write/delete-stream.ts"
import { disownBody, isThenable } from "./write/promised-body.ts"
import { writableTo } from "./write/writable.ts"
import {
  checkAppendOptions,
  checkHandleOptions,
  contentTypeHeader,
  signalOf,
} from "./write/write-checks.ts"
import type { CloseResult } from "./protocol/offset.ts"
import type {
  AppendOptions,
  AppendResult,
  AppendWithResultOptions,
  CloseOptions,
} from "./write/write-options.ts"

/**
 * A handle of one stream: creates, writes, closes, forks and deletes it, and reads it. A handle holds no connection and
 * does not need to be closed. Its headers, params, fetch, signal and backoff apply to everything created from it.
 *
 * Every method rejects with a `DurableStreamError`: a `FetchError` if the server rejected the request or the network failed
 * (after the retries that the protocol permits), a `FetchBackoffAbortError` if a signal ended it.
 *
 * @example
 * ```ts
 * import { DurableStream } from "@durable-streams/client"
 *
 * const chat = await DurableStream.create({
 *   url: "https://streams.example.com/chat",
 *   contentType: "application/json",
 * })
 * await chat.append({ from: "ann", text: "hello" })
 * const { finalOffset } = await chat.close()
 * console.log(finalOffset)
 * ```
 * @template TJson - what reads give: what the schema makes of a message
 * @template TBody - what appends take: what the schema accepts
 */
export class DurableStream<TJson = unknown, TBody = unknown> {
  /** The stream's URL: absolute, with the query that it was given with. */
  readonly url: string
  /** The stream's content type; undefined until an option, the server or an append that was stored tells it. */
  contentType: string | undefined
  readonly #options: DurableStreamOptions<TBody, TJson>
  readonly #endpoint: Endpoint
  readonly #createOnlyHeaders: HeadersRecord
  readonly #queue: AppendQueue

  /**
   * Makes a handle. No request is made: the stream does not have to exist.
   *
   * @param options - see {@link DurableStreamOptions}
   * @throws MissingStreamUrlError, InvalidSignalError, DurableStreamError `BAD_REQUEST` that names the option
   */
  constructor(options: DurableStreamOptions<TBody, TJson>) {
    const endpoint = createEndpoint(options)
    checkHandleOptions(options)
    warnOfUnknownOptions(options)
    const { createOnly, others } = splitCreateHeaders(endpoint.headers)
    this.url = endpoint.url
    this.#options = { ...options, headers: others }
    this.#endpoint = { ...endpoint, headers: others }
    this.#createOnlyHeaders = createOnly
    // What a schema validates is JSON.
    const ofSchema = endpoint.schema && "application/json"
    this.contentType = options.contentType ?? contentTypeHeader(others) ?? ofSchema
    this.#queue = new AppendQueue(this.#target, options.batching ?? !isWorkerd())
    // What producers make their requests with; not for users, and so not in the type.
    Object.defineProperty(this, endpointSymbol, { value: this.#endpoint })
  }

  /**
   * Creates a stream and gives a handle of it. A stream that exists with the same configuration is not an error; its
   * content stays as it is, without `body`.
   *
   * @throws FetchError `CONFLICT_EXISTS` if a stream with another configuration exists
   * @throws DurableStreamError `BAD_REQUEST` for options that no server accepts, `PARSE_ERROR` for a body that is not JSON
   *   on a JSON stream
   */
  static async create<TJson = unknown, TBody = unknown>(
    options: CreateOptions<TBody, TJson>,
  ): Promise<DurableStream<TJson, TBody>> {
    return new DurableStream(options).create(options)
  }

  /**
   * Makes sure that a stream exists, and gives a handle whose content type is known.
   *
   * @throws FetchError `NOT_FOUND` if there is none
   */
  static async connect<TJson = unknown, TBody = unknown>(
    options: DurableStreamOptions<TBody, TJson>,
  ): Promise<DurableStream<TJson, TBody>> {
    const handle = new DurableStream(options)
    const { contentType } = await headExistingStream(handle.#endpoint)
    handle.contentType = contentType ?? handle.contentType
    return handle
  }

  /** Requests a stream's metadata, as {@link DurableStream.head} on a handle does. */
  static async head(options: DurableStreamOptions): Promise<HeadResult> {
    return new DurableStream(options).head()
  }

  /** Deletes a stream, as {@link DurableStream.delete} on a handle does. */
  static async delete(options: DurableStreamOptions): Promise<void> {
    return new DurableStream(options).delete()
  }

  /** Vue leaves an object alone that says what it is. Behind its proxy, private members fail. */
  get [Symbol.toStringTag](): string {
    return "DurableStream"
  }

  /** Valtio leaves an object alone that has this key. Behind its proxy, private members fail. */
  get [Symbol.iterator](): undefined {
    return undefined
  }

  get #target(): WriteTarget {
    return { endpoint: this.#endpoint, handle: this }
  }

  /**
   * Creates the stream of this handle, as the static method does.
   *
   * @param options - what you omit is the handle's
   * @returns this handle
   */
  async create(options: CreateCallOptions = {}): Promise<this> {
    const headers = mergeHeaders(this.#endpoint.headers, this.#createOnlyHeaders)
    const endpoint = extendEndpoint({ ...this.#endpoint, headers }, options)
    const contentType = await createStream(endpoint, this.#checkedOptions(options, true), {
      signal: options.signal,
      defaultContentType:
        contentTypeHeader(checkHeaders(options.headers).headers) ?? this.contentType,
    })
    this.contentType = contentType ?? this.contentType
    return this
  }

  /**
   * Requests the stream's metadata.
   *
   * @returns `{ exists: false }` if the server knows no such stream (404); every other rejection is an error
   */
  async head(options: CallOptions = {}): Promise<HeadResult> {
    const result = await headStream(this.#endpoint, signalOf(options))
    if (result.exists) this.contentType = result.contentType ?? this.contentType
    return result
  }

  /**
   * Deletes the stream and all that is in it.
   *
   * @throws FetchError `NOT_FOUND` if there is none, `GONE` if it was deleted and forks still need its data
   */
  async delete(options: CallOptions = {}): Promise<void> {
    await deleteStream(this.#endpoint, signalOf(options))
  }

  /**
   * Appends one body: on a JSON stream one message, else content.
   *
   * Calls that overlap are sent in their order, and those that are called while a request is in flight share the next one (see
   * `batching`). A call fails for its own faults only. If the content type is not known, it is guessed from the body, and a
   * HEAD follows if the server rejects the guess.
   *
   * An empty body on a stream that is not JSON sends nothing, and resolves; with `seq` or producer numbers, which it would not
   * use up, it fails with `BAD_REQUEST`.
   *
   * @param body - on a JSON stream: any value that JSON can express, where a string or bytes are one value that is serialized
   *   already; on any other: a string or bytes (an ArrayBuffer or a view of one). It is taken as it is at the call.
   *   A promise of it keeps the call's place.
   * @returns once the server has stored it
   * @throws DurableStreamError `PARSE_ERROR` for a body that is not one JSON value, or has none ('BigInt at .n', a Map); `BAD_REQUEST`
   *   for a value that the stream does not take, and for text with half of a character (a lone surrogate). Nothing was sent
   * @throws StreamClosedError if the stream is closed
   * @throws FetchError for any other rejection. A plain append is retried only if the server states that it stored nothing
   *   (429, 500, 503), or never saw it. If the outcome is unknown (`indeterminate: true`), check the stream before you send it
   *   again, or use an IdempotentProducer
   */
  append(body: AppendBody<TBody>, options?: AppendOptions): Promise<void> {
    // Not async, which would make a second promise for every call.
    try {
      const terms = checkAppendOptions(options)
      return this.#queue.push(terms, this.#checked(body), options?.signal)
    } catch (error) {
      disownBody(body)
      return Promise.reject(error)
    }
  }

  /**
   * Appends one body, as `append` does, always in a request of its own, and returns its outcome: conflicts are results and not
   * exceptions. Every other failure rejects.
   *
   * With `expectedOffset` or `close`, and no producer numbers of yours, the handle sends its own: after a lost response it retries,
   * and the server recognises what it has stored. After an attempt whose outcome is unknown, a conflict may be that attempt's own
   * doing: it is not returned, and the call rejects with `indeterminate: true`.
   *
   * @returns once the server has stored it, or rejected it for a conflict; nothing was stored then
   * @throws as `append` does; FetchError `CONTENT_TYPE_MISMATCH` if a conflict cannot be distinguished from a wrong content type
   */
  async appendWithResult(
    body: AppendBody<TBody>,
    options: AppendWithResultOptions = {},
  ): Promise<AppendResult> {
    return appendWithResult(this.#target, this.#queue, this.#checked(body), options)
  }

  /**
   * Appends what a source gives, as it gives it, with backpressure and without a timeout. It does not wait for `append`
   * calls, nor they for it.
   *
   * On a JSON stream the chunks are one text, wherever it is cut, of JSON values one after another (newlines between them
   * are welcome, and needed between numbers); each is a message, and an array is the messages in it. Otherwise they are
   * content; strings become UTF-8.
   *
   * The source is sent in one request, which stores all or nothing, if the platform can send a stream (Node, Deno); else
   * (browsers, a `fetch` that would make text of the stream, such as node-fetch) in several, of which those before a failure
   * stay. It is never sent twice. An empty source appends nothing.
   *
   * @param source - cancelled if the append fails or is aborted
   * @throws the source's own error; DurableStreamError `PARSE_ERROR` for text that is not JSON; else as `append` does
   */
  appendStream(source: AppendSource, options: AppendOptions = {}): Promise<void> {
    return appendStream(this.#target, source, options)
  }

  /**
   * Opens a WritableStream whose chunks are stored exactly once and in order, by an idempotent producer of its own. A write
   * waits while more than `highWaterMarkBytes` are not acknowledged. On a JSON stream each chunk is one serialized value;
   * elsewhere the chunks are one text, which must not end in half of a character.
   *
   * Closing it delivers everything and closes the stream for good; aborting it does neither. What fails the producer, or a chunk
   * that is rejected, fails it. An aborted pipe waits for the write in flight: pass its signal here too, and it ends at once.
   *
   * @param options - the producer's; `producerId` is a new random one and `autoClaim` true unless they are given
   * @throws DurableStreamError `BAD_REQUEST` that names the option and its value
   */
  writable(options: WritableOptions = {}): WritableStream<Uint8Array | string> {
    const { producerId, autoClaim = true, onError, signal } = checkObject("options", options)
    checkFunction("onError", onError)
    return writableTo(checkSignal(signal), (given, fail) => {
      const onFailed = (error: Error) => {
        fail(error)
        return onError?.(error)
      }
      const own = { ...options, autoClaim, signal: given, onError: onFailed }
      const isNewId = producerId === undefined
      return new Producer(this.#endpoint, this, producerId ?? randomId(), own, isNewId)
    })
  }

  /**
   * Closes the stream for good, after the appends that were called before (without `batching`: at once). Nothing can be appended any
   * more, and readers reach the end. Closing a closed stream resolves with the same offset.
   *
   * @param options - `body` is a last message, stored together with the closure or not at all; a retry does not store it twice
   * @throws StreamClosedError if there is a body and the stream is closed already; the body was not stored
   */
  async close(options: CloseOptions = {}): Promise<CloseResult> {
    return closeStream(this.#queue, this.#endpoint, this.#checkedOptions(options))
  }

  /**
   * Reads the stream, as `stream()` does.
   *
   * @param options - what you omit is the handle's; headers and params are merged; either signal ends the session
   */
  async stream<T = TJson>(
    options:
      StreamCallOptions | (StreamCallOptions & { schema: StandardSchemaV1<unknown, T> }) = {},
  ): Promise<StreamResponse<T>> {
    const endpoint = extendEndpoint(this.#endpoint, options)
    const { onError = this.#options.onError, warnOnHttp = this.#options.warnOnHttp } = options
    return openStream<T>(endpoint, {
      ...options,
      ...(onError !== undefined && { onError }),
      ...(warnOnHttp !== undefined && { warnOnHttp }),
    })
  }

  /**
   * Creates a fork: a stream of its own that begins with this one's content up to an offset. It has this one's content
   * type, and its time to live or expiry if none is named.
   *
   * @param options - `url` may be relative to this stream's, and must not lead to another origin; what else you omit is the
   *   handle's; `signal` ends the call and not the fork's handle
   * @returns the fork's handle
   * @throws DurableStreamError `BAD_REQUEST` for a `url` of another origin; nothing was sent
   * @throws FetchError `NOT_FOUND` if this stream does not exist, `CONFLICT_EXISTS` if another stream exists there,
   *   `BAD_REQUEST` for an offset, or a `subOffset`, at which the server cannot fork
   */
  async fork(options: ForkOptions): Promise<DurableStream<TJson, TBody>> {
    const url = forkUrl(checkObject("options", options).url, this.url)
    const extended = extendEndpoint(this.#endpoint, options)
    const { params, moreHeaders } = extended
    const headers = moreHeaders === undefined ? extended.headers : () => resolveHeaders(extended)
    const { signal, ...others } = options
    const given = Object.entries(others).filter(([, value]) => value !== undefined)
    const own = Object.fromEntries(given)
    const fork = new DurableStream<TJson, TBody>({ ...this.#options, ...own, url, headers, params })
    fork.contentType = options.contentType
    const targetHeaders = mergeHeaders(fork.#endpoint.headers, fork.#createOnlyHeaders)
    const target = { ...fork.#endpoint, headers: targetHeaders }
    const settings = fork.#checkedOptions(options, true)
    fork.contentType = await forkStream(this.#target, target, settings, signal)
    return fork
  }

  /** A body that matches the schema, as it is sent; a promise of a body stays one. @throws as `matchingMessage` does */
  #checked(body: unknown, hasMany = false): unknown {
    const { schema } = this.#endpoint
    if (schema === undefined || body === undefined) return body
    const check = (given: unknown) => matchingMessage(schema, this.url, given, hasMany)
    return isThenable(body) ? Promise.resolve(body).then(check) : check(body)
  }

  /** The same for options that may have a body. */
  #checkedOptions<T extends { readonly body?: unknown }>(options: T, hasMany = false): T {
    if (this.#endpoint.schema === undefined) return options
    return { ...options, body: this.#checked(options.body, hasMany) }
  }
}
