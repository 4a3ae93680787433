import { FetchError } from "../errors/fetch-error.ts"
import type { Endpoint } from "../http/endpoint.ts"
import {
  exchange,
  type ResponseMetadata,
  type RequestBody,
  type StreamRequest,
} from "../http/request.ts"
import {
  CONTENT_TYPE_HEADER,
  PRODUCER_EPOCH_HEADER,
  PRODUCER_ID_HEADER,
  PRODUCER_SEQ_HEADER,
  STREAM_CLOSED_HEADER,
  STREAM_SEQ_HEADER,
} from "../protocol/names.ts"

/** The numbers that make a write idempotent. */
export interface ProducerTuple {
  readonly id: string
  readonly epoch: number
  readonly seq: number
}

/** What a write says beside its content. A write that says any of it shares its request with nobody. */
export interface AppendMarks {
  readonly seq?: string
  readonly producer?: ProducerTuple
  /** Closes the stream with this write. */
  readonly close?: boolean
}

/** What is said of a write beside its body. */
export interface WriteTerms {
  /** Default: the stream's. */
  readonly contentType: string | undefined
  readonly marks: AppendMarks
  /** False where the stream is closed and that is all. */
  readonly hasContent: boolean
}

/** One POST: content to append, the closure, or both. */
export interface AppendRequest {
  /** Undefined where there is no body: the stream is closed and that is all. */
  readonly content?: {
    readonly type: string
    readonly body: RequestBody | (() => RequestBody)
  }
  readonly marks: AppendMarks
  /** The body can be sent once only, and for as long as it takes. */
  readonly streamed?: boolean
}

/**
 * Makes the POST of an append or a close. A plain append is tried again only where the server says that it stored
 * nothing; one with producer numbers, and a mere closure, whatever fails.
 *
 * @throws as `exchange` does
 */
export function sendAppend(
  endpoint: Endpoint,
  { content, marks, streamed = false }: AppendRequest,
  signal: AbortSignal,
): Promise<ResponseMetadata> {
  const { seq, producer, close = false } = marks
  const repeatable = producer !== undefined || (close && content === undefined)
  const request: StreamRequest = {
    method: "POST",
    operation: close ? "close" : "append",
    retry: streamed ? "never" : repeatable ? "idempotent" : "not-processed",
    headers: {
      ...(content !== undefined && { [CONTENT_TYPE_HEADER]: content.type }),
      ...(seq !== undefined && { [STREAM_SEQ_HEADER]: seq }),
      ...(close && { [STREAM_CLOSED_HEADER]: "true" }),
      ...(producer !== undefined && {
        [PRODUCER_ID_HEADER]: producer.id,
        [PRODUCER_EPOCH_HEADER]: String(producer.epoch),
        [PRODUCER_SEQ_HEADER]: String(producer.seq),
      }),
    },
    ...(content !== undefined && { body: content.body }),
    ...(streamed && { timeoutMs: Infinity }),
  }
  return exchange(endpoint, request, signal)
}

/** Whether an answer refuses a body for what is in it, so that nothing of it was stored. */
export function blamesBody(error: unknown): boolean {
  return error instanceof FetchError && [400, 413, 422].includes(error.status)
}

/** Whether an answer refuses a body for its size. */
export function isTooLarge(error: unknown): boolean {
  return error instanceof FetchError && error.status === 413
}

/** Whether an answer can mean that the content type is not the stream's. Nothing was stored then. */
export function mayBlameContentType(error: unknown): boolean {
  return error instanceof FetchError && [400, 409, 415].includes(error.status)
}
