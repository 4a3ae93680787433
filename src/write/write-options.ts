import type { Offset } from "../protocol/offset.ts"

/** The options of an append. */
export interface AppendOptions {
  /**
   * The writer's own sequence, sent as `Stream-Seq`: an opaque string that the server compares byte by byte and rejects
   * (`CONFLICT_SEQ`) unless it is greater than the last one. Such an append never shares a POST. White space at its ends,
   * which HTTP removes, fails with `BAD_REQUEST`.
   */
  seq?: string | undefined
  /** The content type of this body. Default: the stream's. */
  contentType?: string | undefined
  /** Ends this append, and nothing else. An append that was already sent may be stored all the same. */
  signal?: AbortSignal | undefined
  /**
   * With `producerEpoch` and `producerSeq`: makes this append idempotent under numbers that you keep yourself. It is
   * retried after every failure. IdempotentProducer keeps the numbers for you.
   */
  producerId?: string | undefined
  /** A whole number from 0. A higher one fences every lower one. */
  producerEpoch?: number | undefined
  /** A whole number: 0 for the first append of an epoch, one more for each further one. */
  producerSeq?: number | undefined
}

/** The options of an append whose outcome is a value. */
export interface AppendWithResultOptions extends AppendOptions {
  /**
   * Stores the body only if the stream's tail is this offset: one that the server gave, never `-1` or `now`. **A server that does
   * not know conditional appends ignores it** and stores the body; success alone does not tell which. To find out, append
   * to a stream of its own with a tail that has passed: only a server that knows them returns a conflict.
   */
  expectedOffset?: Offset | undefined
  /**
   * Closes the stream together with the append, or does neither.
   *
   * @default false
   */
  close?: boolean | undefined
}

/** The outcome of an append. Nothing was stored unless it is `ok`. */
export type AppendResult =
  | {
      kind: "ok"
      /** The stream's tail after the append, if the server says it. */
      nextOffset?: Offset
      /** Whether an earlier attempt, or an earlier append with the same producer numbers, had stored it. */
      deduped: boolean
      /** Whether the stream is closed now. */
      closed?: boolean
    }
  | {
      /** The `seq` is not greater than the last one, or the tail is not `expectedOffset`. */
      kind: "seq-conflict"
      /** The stream's tail, if the server says it. */
      nextOffset?: Offset
      /** `unknown` if both were sent and the server does not say which one it was. */
      conflict: "seq" | "expected-offset" | "unknown"
    }
  | { kind: "closed"; nextOffset?: Offset }
  | { kind: "stale-epoch"; currentEpoch: number }
  | { kind: "producer-gap"; expectedSeq: number; receivedSeq: number }

/** The options of a close. */
export interface CloseOptions {
  /** A last message, stored together with the closure or not at all. */
  body?: unknown
  /** The content type of the body. Default: the stream's. */
  contentType?: string | undefined
  /** Ends the call. */
  signal?: AbortSignal | undefined
}

/** How a new stream is created. */
export interface CreateSettings {
  /**
   * Fixed for the life of the stream. Default: a `content-type` among the headers, else the handle's, else the type of a
   * Blob that is the body, else none: the server chooses (`application/octet-stream`).
   */
  contentType?: string | undefined
  /** How many seconds the stream lives after it was last read or written. A whole number above 0. */
  ttlSeconds?: number | undefined
  /**
   * When the stream expires: an RFC 3339 time, such as `new Date(…).toISOString()`. Not together with `ttlSeconds`. The
   * server's clock decides.
   */
  expiresAt?: string | undefined
  /**
   * The first content. On a JSON stream: a JSON value, or one serialized as a string, bytes or Blob; an array is the list of
   * the first messages (`[]` for none), anything else one message. May be a promise. Not stored again if the stream exists.
   */
  body?: unknown
  /**
   * Creates the stream closed: `body` is all that it will ever hold.
   *
   * @default false
   */
  closed?: boolean | undefined
}

/** Where a fork starts. */
export interface ForkPoint {
  /**
   * The offset of the source at which the fork begins. Default: its tail. `-1` is not a fork offset: a fork that starts empty
   * has to name the offset of a stream that was empty. `now` is the tail.
   */
  offset?: Offset | undefined
  /**
   * So many messages (JSON) or bytes past the offset. A whole number from 0. It reaches only into the one entry (an append or
   * a batch) that follows the offset: beyond it, and at the tail, the server rejects the fork with 400.
   */
  subOffset?: number | undefined
}
