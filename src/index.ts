/**
 * TypeScript client for the Durable Streams protocol.
 *
 * - {@link stream} reads a stream from any offset and tails it live.
 * - {@link DurableStream} is a handle that creates, writes, closes, forks, deletes and reads a stream.
 * - {@link IdempotentProducer} writes every message exactly once, whatever the network does.
 *
 * @packageDocumentation
 */

export { DurableStream } from "./durable-stream.ts"
export type {
  AppendBody,
  CallOptions,
  CreateCallOptions,
  CreateOptions,
  DurableStreamOptions,
  ForkOptions,
  StreamCallOptions,
  StreamHandleOptions,
  WritableOptions,
} from "./durable-stream-options.ts"
export { IdempotentProducer } from "./idempotent-producer.ts"
export { stream } from "./stream.ts"
export { subscribe, type SubscribeHandlers } from "./subscribe.ts"

export {
  DurableStreamError,
  isDurableStreamError,
  type HttpFailure,
} from "./errors/durable-stream-error.ts"
export type { DurableStreamErrorCode } from "./errors/error-code.ts"
export type { SchemaErrorDetails } from "./errors/schema-error.ts"
export { FetchBackoffAbortError } from "./errors/fetch-backoff-abort-error.ts"
export { FetchError, type FetchErrorOptions } from "./errors/fetch-error.ts"
export { InvalidSignalError } from "./errors/invalid-signal-error.ts"
export { MissingStreamUrlError } from "./errors/missing-stream-url-error.ts"
export { SequenceGapError } from "./errors/sequence-gap-error.ts"
export { StaleEpochError } from "./errors/stale-epoch-error.ts"
export { StreamClosedError } from "./errors/stream-closed-error.ts"

export { BackoffDefaults, type BackoffOptions, type BackoffOverrides } from "./http/backoff.ts"
export type { FetchOptions } from "./http/endpoint.ts"
export type { RetryNotice, Retrying } from "./http/retry-loop.ts"
export { createFetchWithBackoff, createFetchWithConsumedBody } from "./http/fetch-wrappers.ts"
export type { ExistingStream, HeadResult } from "./http/stream-head.ts"
export type {
  HeadersOption,
  HeadersRecord,
  HeadersValues,
  MaybePromise,
  ParamsRecord,
} from "./http/request-inputs.ts"

export {
  asAsyncIterableReadableStream,
  type ReadableStreamAsyncIterable,
} from "./platform/async-iterable-stream.ts"
export { warnIfUsingHttpInBrowser } from "./platform/http-warning.ts"
export type { VisibilitySource } from "./platform/page-lifecycle.ts"

export {
  CURSOR_QUERY_PARAM,
  cors,
  DURABLE_STREAM_PROTOCOL_QUERY_PARAMS,
  LIVE_QUERY_PARAM,
  OFFSET_QUERY_PARAM,
  PRODUCER_EPOCH_HEADER,
  PRODUCER_EXPECTED_SEQ_HEADER,
  PRODUCER_ID_HEADER,
  PRODUCER_RECEIVED_SEQ_HEADER,
  PRODUCER_SEQ_HEADER,
  SSE_CLOSED_FIELD,
  SSE_COMPATIBLE_CONTENT_TYPES,
  SSE_CURSOR_FIELD,
  SSE_OFFSET_FIELD,
  STREAM_CLOSED_HEADER,
  STREAM_CURSOR_HEADER,
  STREAM_EXPECTED_OFFSET_HEADER,
  STREAM_EXPIRES_AT_HEADER,
  STREAM_FORKED_FROM_HEADER,
  STREAM_FORK_OFFSET_HEADER,
  STREAM_FORK_SUB_OFFSET_HEADER,
  STREAM_OFFSET_HEADER,
  STREAM_SEQ_HEADER,
  STREAM_TTL_HEADER,
  STREAM_UP_TO_DATE_HEADER,
} from "./protocol/names.ts"
export type { CloseResult, Offset } from "./protocol/offset.ts"
export type {
  MessageFor,
  SchemaInput,
  SchemaIssue,
  SchemaOutput,
  SchemaResult,
  StandardSchemaV1,
} from "./protocol/standard-schema.ts"

export type { IdempotentAppendResult } from "./producer/acknowledgements.ts"
export type {
  IdempotentProducerOptions,
  ProducerConnectionState,
  ProducerEvent,
  WaitOptions,
} from "./producer/producer-options.ts"
export type { RejectedMessageDetails } from "./producer/recovery.ts"

export type {
  ByteChunk,
  JsonBatch,
  JsonBatchMeta,
  StreamBatch,
  TextChunk,
} from "./read/stream-response.ts"
export type {
  SessionEnd,
  ConnectionState,
  PauseReason,
  SseFallbackReason,
  StreamEvent,
  Transport,
} from "./read/stream-options.ts"
export type {
  LegacyLiveMode,
  LiveMode,
  ReadOptions,
  RetryOpts,
  SSEResilienceOptions,
  StreamErrorHandler,
  StreamFailure,
  StreamOptions,
} from "./read/stream-options.ts"
export type { StreamResponse } from "./read/stream-response.ts"

export type { AppendSource } from "./write/append-stream.ts"
export type {
  AppendOptions,
  AppendResult,
  AppendWithResultOptions,
  CloseOptions,
} from "./write/write-options.ts"
