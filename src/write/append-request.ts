import type { Endpoint } from "../http/endpoint.ts"
import {
  exchange,
  type RequestBody,
  type ResponseMetadata,
  type StreamRequest,
} from "../http/request.ts"
import { askContentType } from "../http/stream-head.ts"
import {
  CONTENT_TYPE_HEADER,
  PRODUCER_EPOCH_HEADER,
  PRODUCER_ID_HEADER,
  PRODUCER_SEQ_HEADER,
  STREAM_CLOSED_HEADER,
  STREAM_EXPECTED_OFFSET_HEADER,
  STREAM_SEQ_HEADER,
} from "../protocol/names.ts"
import type { Offset } from "../protocol/offset.ts"

/** What a stream is written through: its handle. */
export interface WriteTarget {
  readonly endpoint: Endpoint
  /** Knows the content type, or learns it here. */
  readonly handle: { contentType?: string | undefined }
}

/** The numbers that make a write idempotent. */
export interface ProducerTuple {
  readonly id: string
  readonly epoch: number
  readonly seq: number
}

export interface WriteTerms {
  /** Default: the stream's. */
  readonly contentType?: string | undefined
  readonly seq?: string | undefined
  readonly producer?: ProducerTuple | undefined
  /** Closes the stream with this write. */
  readonly close?: boolean
  /** The tail at which alone the body is stored. */
  readonly expectedOffset?: Offset | undefined
  readonly isAlone?: boolean
  readonly onRetry?: (error: Error) => void
  readonly onResponse?: (response: ResponseMetadata) => void
}

/** The body of a write. A function is called for each attempt. */
export interface WriteContent {
  readonly type: string
  readonly body: RequestBody | (() => RequestBody)
  /** Whether the body is a stream: it can be sent once only, and takes as long as its source. */
  readonly isStream?: boolean
}

export function mayShareRequest({ seq, producer, close, isAlone }: WriteTerms): boolean {
  return seq === undefined && producer === undefined && close !== true && isAlone !== true
}

/**
 * Makes the POST of an append or a close. A plain append is retried only if the server states that it stored nothing, or
 * never saw it; one with producer numbers, and a close without content, after every failure.
 *
 * @param content - undefined to close the stream and store nothing
 * @throws as `exchange`
 */
export function postWrite(
  endpoint: Endpoint,
  { contentType, seq, producer, close = false, expectedOffset, onRetry }: WriteTerms,
  content: WriteContent | undefined,
  signal: AbortSignal,
): Promise<ResponseMetadata> {
  const isIdempotent = producer !== undefined || content === undefined
  const isStream = content?.isStream === true
  const request: StreamRequest = {
    method: "POST",
    operation: close ? "close" : "append",
    retry: isStream ? "never" : isIdempotent ? "idempotent" : "not-processed",
    headers: {
      [CONTENT_TYPE_HEADER]: content?.type ?? contentType,
      [STREAM_SEQ_HEADER]: seq,
      [STREAM_EXPECTED_OFFSET_HEADER]: expectedOffset,
      [STREAM_CLOSED_HEADER]: close ? "true" : undefined,
      ...(content !== undefined && {
        [PRODUCER_ID_HEADER]: producer?.id,
        [PRODUCER_EPOCH_HEADER]: producer?.epoch.toString(),
        [PRODUCER_SEQ_HEADER]: producer?.seq.toString(),
      }),
    },
    ...(content !== undefined && { body: content.body }),
    ...(isStream && { timeoutMs: Infinity }),
    observer: {
      onRetry({ error }) {
        onRetry?.(error)
      },
    },
  }
  return exchange(endpoint, request, signal)
}

/** @returns the stream's content type, which is asked for if the handle does not know it; undefined if the server does not say */
export async function learnContentType(
  { endpoint, handle }: WriteTarget,
  signal: AbortSignal,
  isNeeded = false,
): Promise<string | undefined> {
  if (handle.contentType === undefined) {
    const asked = await askContentType(endpoint, signal, isNeeded)
    if (asked !== undefined) handle.contentType ??= asked
  }
  return handle.contentType
}
