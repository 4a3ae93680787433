import type { EndpointOptions } from "./http/endpoint.ts"
import type { IdempotentProducerOptions } from "./producer/producer-options.ts"
import type { ReadOptions, StreamErrorHandler } from "./read/stream-options.ts"
import type { CreateSettings, ForkPoint } from "./write/write-options.ts"

/** The settings of a handle that hold for every request made with it. */
export interface StreamHandleOptions extends EndpointOptions {
  /** Asked about failed requests of the sessions that `stream()` opens; `stream({ onError })` replaces it. */
  onError?: StreamErrorHandler
  /** Warns when a browser uses plain http. Default true. */
  warnOnHttp?: boolean
}

/** The options of `new DurableStream()` and of `DurableStream.connect()`. */
export interface DurableStreamOptions extends StreamHandleOptions {
  /** The stream's content type, where it is known. Otherwise it is found out with the first write. */
  contentType?: string
  /** Joins appends that wait for a request under way into one request. Default true. */
  batching?: boolean
}

/** The options of `DurableStream.create()`. */
export interface CreateOptions extends DurableStreamOptions, CreateSettings {}

/** The options of `create()` on a handle: what they leave out is the handle's; headers and params are merged. */
export type CreateCallOptions = Omit<CreateOptions, "url" | "onError" | "warnOnHttp" | "batching">

/** The options of `fork()`: what they leave out is the handle's; headers and params are merged. */
export interface ForkOptions extends Omit<CreateOptions, "url">, ForkPoint {
  /** Where the fork will be, on the source's server: absolute, or relative to the source's URL. */
  url: string | URL
}

/** The options of `stream()` on a handle: what they leave out is the handle's; headers and params are merged. */
export interface StreamCallOptions
  extends Omit<EndpointOptions, "url" | "requestTimeoutMs" | "signal">, ReadOptions {}

/** The options of `writable()`: those of the producer behind it. */
export interface WritableOptions extends IdempotentProducerOptions {
  /** The producer's identity. Default: a new random one. */
  producerId?: string
}

/** The options of a call that can only be ended. */
export interface CallOptions {
  /** Ends the call. */
  signal?: AbortSignal
}
