import type { DurableStreamError } from "../errors/durable-stream-error.ts"
import type { EndpointOptions } from "../http/endpoint.ts"
import type { HeadersRecord, MaybePromise, ParamsRecord } from "../http/request-inputs.ts"
import type { VisibilitySource } from "../platform/visibility.ts"
import type { Offset } from "../protocol/offset.ts"
import type { StreamEvent } from "./stream-event.ts"

/**
 * How a session goes on once it has caught up.
 *
 * - `false`: it ends.
 * - `true`: live, by the transport that fits the content type: SSE for JSON and `text/*`, long-poll otherwise.
 * - `"long-poll"`, `"sse"`: live by this transport. Where SSE does not work, long-poll takes over.
 *
 * SSE does not tell CR, CRLF and LF apart: text with a line break that comes by it is read again by another request, and
 * long-poll takes over where there is little else, or a carriage return.
 */
export type LiveMode = boolean | "long-poll" | "sse"

/** The live modes that name a transport. */
export type LegacyLiveMode = "long-poll" | "sse"

/** What an error handler can change before a request is made again. Both are merged over what is there, and stay. */
export interface RetryOpts {
  params?: ParamsRecord
  headers?: HeadersRecord
}

/** An error as handlers get it: this package's have a code, a header function's own error may not. */
export type StreamFailure = Error & Partial<Pick<DurableStreamError, "code" | "status" | "details">>

/**
 * Decides about a request that failed for good: an object means go on (with merged headers and params), nothing means
 * end with this error. 5xx, 429 and network failures arrive here only once retries are used up.
 */
export type StreamErrorHandler = (
  error: StreamFailure,
) => MaybePromise<RetryOpts | undefined | void>

/** When SSE is given up for long-poll. */
export interface SSEResilienceOptions {
  /** A connection that ends sooner than this, in milliseconds, without bringing anything new is short. Default 1000. */
  minConnectionDuration?: number
  /** After so many short connections in a row, long-poll takes over. Default 3. */
  maxShortConnections?: number
  /** The limit of the first delay after a short connection, in milliseconds. Default 100. */
  backoffBaseDelay?: number
  /** The limit that the delays double up to, in milliseconds. Default 5000. */
  backoffMaxDelay?: number
  /** Warns on the console when long-poll takes over, and says what to configure. Default true. */
  logWarnings?: boolean
}

/** Where and how to read; shared by `stream()` and `DurableStream.stream()`. */
export interface ReadOptions {
  /** Where to start: a stored offset, `"-1"` (the start, default) or `"now"` (skip what is stored). */
  offset?: Offset
  /** How to go on once caught up. Default true. */
  live?: LiveMode
  /** Ends the session. */
  signal?: AbortSignal
  /** Treats the stream as JSON whatever its content type says. Default false. */
  json?: boolean
  /** Asked about every request of the session that failed for good. */
  onError?: StreamErrorHandler
  /** When SSE is given up for long-poll. */
  sseResilience?: SSEResilienceOptions
  /** Warns when a browser reads over plain http. Default true. */
  warnOnHttp?: boolean
  /**
   * A live read that is silent for longer than this, in milliseconds, is dropped and resumed. SSE comments count as
   * sound. Default 75 000.
   */
  idleTimeoutMs?: number
  /** Pauses a live session while nobody can see it: the document's visibility (default), none, or your own. */
  pauseWhenHidden?: boolean | VisibilitySource
  /** How many catch-up pages are requested ahead of the consumer, once it has begun. Default 1; 0 turns it off. */
  readAhead?: number
  /** Told what the session does: requests, answers, retries, changes of transport, pauses, the end. */
  observe?: (event: StreamEvent) => void
}

/** The options of `stream()`. */
export interface StreamOptions extends Omit<EndpointOptions, "requestTimeoutMs">, ReadOptions {}
