/** What went wrong, in one word that programs can switch on. */
export type DurableStreamErrorCode =
  /** There is no such stream. Create it, or check the URL. */
  | "NOT_FOUND"
  /** `seq` is not greater than the last one: another writer was faster. */
  | "CONFLICT_SEQ"
  /** A stream with another configuration exists. Connect to it, or use another URL. */
  | "CONFLICT_EXISTS"
  /** An option, a value or a request is invalid: the message names it. From a read, the offset is not one of this stream. */
  | "BAD_REQUEST"
  /** 503, and retries are exhausted. Check the server. */
  | "BUSY"
  /** Of 0.2.x; a session falls back to long-poll instead. */
  | "SSE_NOT_SUPPORTED"
  /** Credentials are missing or expired (401). Use functions in `headers`, or `onError`. */
  | "UNAUTHORIZED"
  /** The credentials do not allow it (403 without an epoch). */
  | "FORBIDDEN"
  /** 429, and retries are exhausted. Send fewer requests. */
  | "RATE_LIMITED"
  /** A second consumption method. Call `stream()` again, from `response.offset`. */
  | "ALREADY_CONSUMED"
  /** The producer was closed or detached. Create another one. */
  | "ALREADY_CLOSED"
  /** An appended value is not one JSON value, or a page is not JSON. Fix the value; check the server. */
  | "PARSE_ERROR"
  /** The stream is closed: nothing can be appended. Write to another stream, or to a fork. */
  | "STREAM_CLOSED"
  /** A status that nothing else here names; `status` has it. */
  | "UNKNOWN"
  /** The stream was deleted, or the offset is older than what is retained. Read from `"-1"` or `"now"`. */
  | "GONE"
  /** The server accepts no body of this size (413). Send smaller messages. */
  | "PAYLOAD_TOO_LARGE"
  /** The content type is not the stream's. Omit `contentType`, or use the one of `head()`. */
  | "CONTENT_TYPE_MISMATCH"
  /** No response: the connection was refused, reset or lost, and retries are exhausted or unsafe. If `indeterminate`, check the stream. */
  | "NETWORK"
  /** Your signal, or `cancel()`. The error's name is `AbortError`, its `cause` the signal's reason. */
  | "ABORTED"
  /** The producer was fenced by a newer one, or its epoch was used before. Stop, or take over. */
  | "STALE_EPOCH"
  /** The server misses batches of the producer, or forgot it. Check the stream, then take over. */
  | "SEQUENCE_GAP"
  /** No response in time (or 408), and retries are exhausted or unsafe. If `indeterminate`, check the stream. */
  | "TIMEOUT"
  /** The server, or a cache, sends the same response indefinitely. Check the cache's key and lifetime. */
  | "NO_PROGRESS"
  /** `append()` would exceed `maxBufferedBytes`. Await `producer.ready`. */
  | "BUFFER_FULL"
  /** The response is not that of a stream's server: a login page, removed headers. Check what is in between; in browsers, CORS. */
  | "PROTOCOL"
  /** Data exceeds `maxPageBytes`, or the engine's limit. Raise it, or use `bodyStream()` or `textStream()`. */
  | "PAGE_TOO_LARGE"
  /** A message does not match the `schema`; `details` has its place. Skip it in `onError`, or fix it. */
  | "SCHEMA"
  | SubscriptionErrorCode
  | OutboxErrorCode

/** The code of `@durable-streams/client/outbox`, beside those of every request. */
export type OutboxErrorCode =
  /** The outbox's store failed; `cause` has its error. */
  "STORE_FAILED"

/** The codes of `@durable-streams/client/subscriptions`, beside those of every request. */
export type SubscriptionErrorCode =
  /** A subscription of this id has another configuration. */
  | "SUBSCRIPTION_EXISTS"
  /** There is no such subscription. */
  | "SUBSCRIPTION_NOT_FOUND"
  /** The server has no subscriptions under this root. */
  | "SUBSCRIPTIONS_NOT_SUPPORTED"
  /** The server calls no such URL: it must be https, or http to localhost. */
  | "WEBHOOK_URL_REJECTED"
  /** The lease is over, or another worker has it: nothing of this claim is valid any more. */
  | "FENCED"
  /** The offset is behind the acknowledged one, beyond the tail, or of a stream that is not linked. */
  | "INVALID_OFFSET"
  /** The token is not one of this subscription. */
  | "TOKEN_INVALID"
  /** The token is too old. Claim again. */
  | "TOKEN_EXPIRED"
