import type {
  CallOptions,
  CreateCallOptions,
  CreateOptions,
  DurableStreamOptions,
  ForkOptions,
  StreamCallOptions,
  WritableOptions,
} from "./durable-stream-options.ts"
import { endpointSymbol } from "./http/endpoint-of.ts"
import { createEndpoint, extendEndpoint, type Endpoint } from "./http/endpoint.ts"
import { checkFunction, checkObject } from "./http/option-checks.ts"
import { mergeHeaders, type HeadersRecord } from "./http/request-inputs.ts"
import { warnIfUsingHttpInBrowser } from "./platform/http-warning.ts"
import { randomId } from "./platform/random-id.ts"
import { ProducerCore } from "./producer/producer-core.ts"
import { openStream } from "./read/open-stream.ts"
import type { StreamResponse } from "./read/stream-response.ts"
import { AppendQueue } from "./write/append-queue.ts"
import { closeStream } from "./write/close-stream.ts"
import { splitCreateHeaders } from "./write/create-headers.ts"
import { createStream } from "./write/create-stream.ts"
import { deleteStream } from "./write/delete-stream.ts"
import { definedOptions, forkStream, forkUrl } from "./write/fork-stream.ts"
import { headExistingStream, headStream } from "./write/head-stream.ts"
import { disownBody } from "./write/promised-body.ts"
import type { AppendSource } from "./write/source-reader.ts"
import { contentTypeHeader, StreamContentType } from "./write/stream-content-type.ts"
import { streamedAppend } from "./write/streamed-append.ts"
import { writableTo } from "./write/writable.ts"
import { checkAppendOptions, checkHandleOptions, signalOf } from "./write/write-checks.ts"
import type {
  AppendOptions,
  AppendResult,
  CloseOptions,
  CloseResult,
  HeadResult,
} from "./write/write-options.ts"

/**
 * A handle of one stream: creates, writes, closes, forks and deletes it, and reads it. A handle holds no connection and
 * needs no closing. Its headers, params, fetch, signal and backoff hold for everything made from it.
 *
 * Every method rejects with a `DurableStreamError`: a `FetchError` where the server refused or the network failed (after
 * the retries that the protocol allows), a `FetchBackoffAbortError` where a signal ended it.
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
 */
export class DurableStream {
  /** The stream's URL: absolute, with the query that it was given with. */
  readonly url: string
  readonly #options: DurableStreamOptions
  readonly #endpoint: Endpoint
  readonly #createOnlyHeaders: HeadersRecord
  readonly #contentType: StreamContentType
  readonly #queue: AppendQueue

  /**
   * Makes a handle. No request is made: the stream need not exist.
   *
   * @param options - see {@link DurableStreamOptions}
   * @throws MissingStreamUrlError, InvalidSignalError, DurableStreamError `BAD_REQUEST` that names the option
   */
  constructor(options: DurableStreamOptions) {
    const endpoint = createEndpoint(options)
    checkHandleOptions(options)
    const { createOnly, others } = splitCreateHeaders(endpoint.headers)
    this.url = endpoint.url
    this.#options = { ...options, headers: others }
    this.#endpoint = { ...endpoint, headers: others }
    this.#createOnlyHeaders = createOnly
    this.#contentType = new StreamContentType(this.#endpoint, options.contentType)
    this.#queue = new AppendQueue(this.#endpoint, this.#contentType, options.batching ?? true)
    // What producers make their requests with; not for users, and so not in the type.
    Object.defineProperty(this, endpointSymbol, { value: this.#endpoint })
    warnIfUsingHttpInBrowser(this.url, options.warnOnHttp)
  }

  /**
   * Creates a stream and gives a handle whose content type is known. A stream that is there already with the same
   * configuration is no error; its content stays as it is, without `body`.
   *
   * @throws FetchError `CONFLICT_EXISTS` where a stream with another configuration is there
   * @throws DurableStreamError `BAD_REQUEST` for options that no server takes, `PARSE_ERROR` for a body that is not JSON
   *   on a JSON stream
   */
  static async create(options: CreateOptions): Promise<DurableStream> {
    return new DurableStream(options).create(options)
  }

  /**
   * Makes sure that a stream is there, and gives a handle whose content type is known.
   *
   * @throws FetchError `NOT_FOUND` where there is none
   */
  static async connect(options: DurableStreamOptions): Promise<DurableStream> {
    const handle = new DurableStream(options)
    const { contentType } = await headExistingStream(handle.#endpoint)
    handle.contentType = contentType ?? handle.contentType
    return handle
  }

  /** Asks for a stream's metadata, as {@link DurableStream.head} on a handle does. */
  static async head(options: DurableStreamOptions): Promise<HeadResult> {
    return new DurableStream(options).head()
  }

  /** Deletes a stream, as {@link DurableStream.delete} on a handle does. */
  static async delete(options: DurableStreamOptions): Promise<void> {
    return new DurableStream(options).delete()
  }

  /** The stream's content type; undefined until it is known, by an option or from the server. */
  get contentType(): string | undefined {
    return this.#contentType.current
  }

  /** Tells the handle what it is, for later writes. */
  set contentType(contentType: string | undefined) {
    this.#contentType.current = contentType
  }

  /**
   * Creates the stream of this handle, as the static method does.
   *
   * @param options - what they leave out is the handle's
   * @returns this handle
   */
  async create(options: CreateCallOptions = {}): Promise<this> {
    const headers = mergeHeaders(this.#endpoint.headers, this.#createOnlyHeaders)
    const endpoint = extendEndpoint({ ...this.#endpoint, headers }, options)
    const { contentType } = await createStream(endpoint, options, {
      signal: options.signal,
      defaultContentType: contentTypeHeader(options.headers) ?? this.contentType,
    })
    this.contentType = contentType ?? this.contentType
    return this
  }

  /**
   * Asks for the stream's metadata.
   *
   * @returns `{ exists: false }` where the server knows no such stream (404); every other refusal is an error
   */
  async head(options: CallOptions = {}): Promise<HeadResult> {
    const result = await headStream(this.#endpoint, signalOf(options))
    if (result.exists) this.contentType = result.contentType ?? this.contentType
    return result
  }

  /**
   * Deletes the stream and all that is in it.
   *
   * @throws FetchError `NOT_FOUND` where there is none, `GONE` where it was deleted and forks still need its data
   */
  async delete(options: CallOptions = {}): Promise<void> {
    await deleteStream(this.#endpoint, signalOf(options))
  }

  /**
   * Appends one body: on a JSON stream one message, else content.
   *
   * Calls that overlap are sent in their order, joined into one request while another is under way (`batching: false`
   * sends one request for each). A call fails for its own faults only. Where the content type is not known, it is
   * guessed from the body, and asked for where the server says that the guess was wrong.
   *
   * @param body - on a JSON stream: any value that JSON can express, where a string or bytes are one value serialized
   *   already; on any other: a string or bytes (an ArrayBuffer or a view of one). It is taken as it is at the call.
   *   A promise of it keeps the call's place.
   * @returns once the server has stored it
   * @throws DurableStreamError `PARSE_ERROR` for a body that is not one JSON value, `BAD_REQUEST` for an empty one;
   *   nothing was sent
   * @throws StreamClosedError where the stream is closed
   * @throws FetchError for any other refusal. A plain append is tried again only where the server says that it stored
   *   nothing; where nobody can say (`indeterminate: true`), look before you send it again, or use an IdempotentProducer
   */
  append(body: unknown, options?: AppendOptions): Promise<AppendResult> {
    // Not async, which would make a second promise for every call.
    try {
      return this.#queue.push(checkAppendOptions(options), body, options?.signal)
    } catch (error) {
      disownBody(body)
      return Promise.reject(error)
    }
  }

  /**
   * Appends what a source gives, as it gives it, with backpressure and without a limit of time. Goes beside `append`: the
   * two do not wait for each other.
   *
   * On a JSON stream the chunks are one text, wherever it is cut, of JSON values one after another (newlines between them
   * are welcome, and needed between numbers); each is a message, and an array is the messages in it. Elsewhere they are
   * content; strings become UTF-8.
   *
   * The source is sent in one request, which stores all or nothing, where the platform can (Node, Deno); elsewhere
   * (browsers) in several, of which those before a failure stay. It is never sent twice. An empty source makes no append
   * and resolves with the stream's tail.
   *
   * @param source - cancelled where the append fails or is aborted
   * @throws the source's own error; DurableStreamError `PARSE_ERROR` for JSON that is none; else as `append` does
   */
  appendStream(source: AppendSource, options: AppendOptions = {}): Promise<AppendResult> {
    const target = { endpoint: this.#endpoint, contentType: this.#contentType }
    return streamedAppend(target, source, options)
  }

  /**
   * Opens a WritableStream whose chunks are stored exactly once and in order, by an idempotent producer of its own. A write
   * waits while more than `highWaterMarkBytes` are not acknowledged. On a JSON stream each chunk is one serialized value.
   *
   * Closing it delivers everything and closes the stream for good; aborting it does neither. What fails the producer, or a chunk
   * that is refused, fails it. An aborted pipe waits for the write under way: give its signal here too, and it ends at once.
   *
   * @param options - the producer's; `producerId` is a new random one and `autoClaim` true unless they are given
   * @throws DurableStreamError `BAD_REQUEST` that names the option and its value
   */
  writable(options: WritableOptions = {}): WritableStream<Uint8Array | string> {
    const { producerId, autoClaim = true, onError } = checkObject("options", options)
    checkFunction("onError", onError)
    return writableTo((fail) => {
      const told = (error: Error) => {
        fail(error)
        return onError?.(error)
      }
      return new ProducerCore({
        endpoint: this.#endpoint,
        producerId: producerId ?? randomId(),
        isNewId: producerId === undefined,
        options: { ...options, autoClaim, onError: told },
        contentType: () => this.contentType,
      })
    })
  }

  /**
   * Closes the stream for good, after the appends that were called before: nothing can be appended any more, readers get
   * to the end. Closing a closed stream resolves with the same offset.
   *
   * @param options - `body` is a last message, stored together with the closure or not at all
   * @throws StreamClosedError where there is a body and the stream is closed already; the body was not stored
   */
  close(options: CloseOptions = {}): Promise<CloseResult> {
    return closeStream(this.#queue, this.#endpoint, options)
  }

  /**
   * Reads the stream, as `stream()` does.
   *
   * @param options - what they leave out is the handle's; headers and params are merged; either signal ends the session
   */
  async stream<TJson = unknown>(options: StreamCallOptions = {}): Promise<StreamResponse<TJson>> {
    const endpoint = extendEndpoint(this.#endpoint, options)
    const { onError = this.#options.onError, warnOnHttp = this.#options.warnOnHttp } = options
    return openStream<TJson>(endpoint, {
      ...options,
      ...(onError !== undefined && { onError }),
      ...(warnOnHttp !== undefined && { warnOnHttp }),
    })
  }

  /**
   * Creates a fork: a stream of its own that begins with this one's content up to an offset. It has this one's content
   * type, and its time to live or expiry where none is named.
   *
   * @param options - `url` may be relative to this stream's; what else is left out is the handle's; `signal` ends the
   *   call and not the fork's handle
   * @returns the fork's handle
   * @throws DurableStreamError `NOT_FOUND` where this stream is not there; FetchError `CONFLICT_EXISTS` where another
   *   stream is there already
   */
  async fork(options: ForkOptions): Promise<DurableStream> {
    const { headers, params } = extendEndpoint(this.#endpoint, options)
    const { signal, ...others } = options
    const url = forkUrl(options.url, this.url)
    const own = definedOptions(others)
    const fork = new DurableStream({ ...this.#options, ...own, url, headers, params })
    fork.contentType = options.contentType
    const targetHeaders = mergeHeaders(fork.#endpoint.headers, fork.#createOnlyHeaders)
    const target = { ...fork.#endpoint, headers: targetHeaders }
    const source = { endpoint: this.#endpoint, contentType: this.#contentType }
    const created = await forkStream(source, target, options, signal)
    fork.contentType = created.contentType
    return fork
  }
}
