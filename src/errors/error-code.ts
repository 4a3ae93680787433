/**
 * What went wrong, in one word that programs can switch on.
 *
 * `NETWORK`, `TIMEOUT` and `ABORTED` come without a response of the server; `PROTOCOL` is a response that the protocol does
 * not know (a proxy strips headers, a page of HTML); `NO_PROGRESS` is a server or cache that sends the same response
 * indefinitely; `PAGE_TOO_LARGE` is data beyond `maxPageBytes`; `SCHEMA` is a message that the `schema` rejects.
 */
export type DurableStreamErrorCode =
  | "NOT_FOUND"
  | "CONFLICT_SEQ"
  | "CONFLICT_EXISTS"
  | "BAD_REQUEST"
  | "BUSY"
  | "SSE_NOT_SUPPORTED"
  | "UNAUTHORIZED"
  | "FORBIDDEN"
  | "RATE_LIMITED"
  | "ALREADY_CONSUMED"
  | "ALREADY_CLOSED"
  | "PARSE_ERROR"
  | "STREAM_CLOSED"
  | "UNKNOWN"
  | "GONE"
  | "PAYLOAD_TOO_LARGE"
  | "CONTENT_TYPE_MISMATCH"
  | "NETWORK"
  | "ABORTED"
  | "STALE_EPOCH"
  | "SEQUENCE_GAP"
  | "TIMEOUT"
  | "NO_PROGRESS"
  | "BUFFER_FULL"
  | "PROTOCOL"
  | "PAGE_TOO_LARGE"
  | "SCHEMA"
  | SubscriptionErrorCode
  | OutboxErrorCode

/** The code of `@durable-streams/client/outbox`, beside those of every request. */
export type OutboxErrorCode = "STORE_FAILED"

/** The codes of `@durable-streams/client/subscriptions`, beside those of every request. */
export type SubscriptionErrorCode =
  | "SUBSCRIPTION_EXISTS"
  | "SUBSCRIPTION_NOT_FOUND"
  | "SUBSCRIPTIONS_NOT_SUPPORTED"
  | "WEBHOOK_URL_REJECTED"
  | "FENCED"
  | "INVALID_OFFSET"
  | "TOKEN_INVALID"
  | "TOKEN_EXPIRED"
