import type { EndpointOptions } from "./http/endpoint.ts"
import type { MessageFor, StandardSchemaV1 } from "./protocol/standard-schema.ts"
import type { IdempotentProducerOptions } from "./producer/producer-options.ts"
import type { ReadOptions, StreamErrorHandler } from "./read/stream-options.ts"
import type { CreateSettings, ForkPoint } from "./write/write-options.ts"

/** The settings of a handle that hold for every request made with it. */
export interface StreamHandleOptions<TBody = unknown, TJson = unknown> extends EndpointOptions {
  /**
   * Validates and types each JSON message, read or written: a schema of zod, valibot, arktype, or any that follows the Standard
   * Schema convention. Reads deliver what it makes of a message. Appends and producers send a message as it was given, if it
   * matches. One that does not match fails with `SCHEMA`, with its place in `details`. A stream with a schema is JSON, unless
   * `contentType` says otherwise.
   */
  schema?: StandardSchemaV1<TBody, TJson> | undefined
  /** Called for failed requests of the sessions that `stream()` opens; `stream({ onError })` replaces it. */
  onError?: StreamErrorHandler | undefined
  /**
   * Warns if a browser reads over plain http.
   * @default true
   */
  warnOnHttp?: boolean | undefined
  /** The stream's content type, if you know it. Otherwise the first write finds it out. */
  contentType?: string | undefined
  /**
   * Joins the appends that are called while a request is in flight into the next one, which the first of the callers makes: in
   * its async context, with what the functions in `headers` give it. With false, every append is sent at once, by its own
   * caller; await one before the next to keep their order.
   * @default true; false in Cloudflare's workerd, where a request must not wait for another one's
   */
  batching?: boolean | undefined
}

/** What `append` takes: a message, or a promise of one. */
export type AppendBody<TBody> = MessageFor<TBody> | PromiseLike<MessageFor<TBody>>

/** The options of `new DurableStream()` and of `DurableStream.connect()`. */
export type DurableStreamOptions<TBody = unknown, TJson = unknown> = StreamHandleOptions<
  TBody,
  TJson
>

/** The options of `DurableStream.create()`. */
export interface CreateOptions<TBody = unknown, TJson = unknown>
  extends DurableStreamOptions<TBody, TJson>, CreateSettings {}

/** The options of `create()` on a handle: what you omit is the handle's; headers and params are merged. */
export type CreateCallOptions = Omit<CreateOptions, "url" | "onError" | "warnOnHttp" | "batching">

/** The options of `fork()`: what you omit is the handle's; headers and params are merged. */
export interface ForkOptions extends Omit<CreateOptions, "url">, ForkPoint {
  /** Where the fork will be: absolute, or relative to the source's URL. The origin must be the source's. */
  url: string | URL
}

/** The options of `stream()` on a handle: what you omit is the handle's; headers and params are merged. */
export interface StreamCallOptions
  extends Omit<EndpointOptions, "url" | "requestTimeoutMs" | "signal">, ReadOptions {}

/** The options of `writable()`: those of the producer behind it. */
export interface WritableOptions extends IdempotentProducerOptions {
  /** The producer's identity. Default: a new random one. */
  producerId?: string | undefined
}

/** The options of a call that has no others. */
export interface CallOptions {
  /** Ends the call. */
  signal?: AbortSignal | undefined
}
