import type { Offset } from "../protocol/offset.ts"

/** What an append can be told. */
export interface AppendOptions {
  /**
   * The writer's own sequence, sent as `Stream-Seq`: an opaque string that the server compares byte by byte and
   * refuses (`CONFLICT_SEQ`) unless it is greater than the last one. Such an append never shares a POST. White space at
   * its ends, which HTTP takes off, is refused with `BAD_REQUEST`.
   */
  seq?: string
  /** The content type of this body. Default: the stream's. */
  contentType?: string
  /** Ends this append, and nothing else. One that was already sent may be stored all the same. */
  signal?: AbortSignal
  /**
   * With `producerEpoch` and `producerSeq`: makes this append idempotent under numbers that you keep yourself. It is
   * retried whatever fails. IdempotentProducer keeps the numbers for you.
   */
  producerId?: string
  /** A whole number from 0. A higher one fences every lower one. */
  producerEpoch?: number
  /** A whole number: 0 for the first append of an epoch, one more for each further one. */
  producerSeq?: number
}

/** What became of an append. */
export interface AppendResult {
  /**
   * Where the stream went on after what was appended (and after what shared its request). An empty string where the
   * server did not say: a duplicate of an idempotent append, a proxy that strips headers.
   */
  offset: Offset
}

/** How a stream is closed. */
export interface CloseOptions {
  /** A last message, stored with the closure or not at all. */
  body?: unknown
  /** The content type of the body. Default: the stream's. */
  contentType?: string
  /** Ends the call. */
  signal?: AbortSignal
}

/** What became of a close. */
export interface CloseResult {
  /** Where the stream ends. An empty string where the server does not say. */
  finalOffset: Offset
}

/** What `head()` found. Where there is no stream, `exists: false` is all there is; the rest can be asked for all the same. */
export type HeadResult =
  | {
      exists: false
      contentType?: undefined
      offset?: undefined
      etag?: undefined
      cacheControl?: undefined
      streamClosed?: undefined
      ttlSeconds?: undefined
      expiresAt?: undefined
    }
  | {
      exists: true
      contentType?: string
      /** The tail: where the next append will be stored. */
      offset?: Offset
      etag?: string
      cacheControl?: string
      /** Whether the stream is closed for good. */
      streamClosed: boolean
      /** The sliding time to live in seconds, where the stream has one. */
      ttlSeconds?: number
      /** The time of expiry, RFC 3339, where the stream has one. */
      expiresAt?: string
    }

/** What a new stream can be told. */
export interface CreateSettings {
  /** Fixed for the life of the stream. Default: a `content-type` among the headers, else what the body is. */
  contentType?: string
  /** How many seconds the stream lives after it was last read or written. A whole number above 0. */
  ttlSeconds?: number
  /** When the stream expires: an RFC 3339 time, such as `new Date(…).toISOString()`. Not together with `ttlSeconds`. */
  expiresAt?: string
  /**
   * The first content. On a JSON stream: a JSON value, or one serialized as a string or bytes; an array is the list of the
   * first messages (`[]` for none), anything else one message. May be a promise. Not stored again where the stream exists already.
   */
  body?: unknown
  /** Creates the stream closed: what `body` holds is all that it will ever hold. */
  closed?: boolean
}

/** Where a fork starts. */
export interface ForkPoint {
  /** The offset of the source at which the fork begins. Default: its tail. */
  offset?: Offset
  /** So many messages (JSON) or bytes past the offset. A whole number from 0. */
  subOffset?: number
}
