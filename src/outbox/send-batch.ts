import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { SequenceGapError } from "../errors/sequence-gap-error.ts"
import { StaleEpochError } from "../errors/stale-epoch-error.ts"
import { StreamClosedError } from "../errors/stream-closed-error.ts"
import type { Endpoint } from "../http/endpoint.ts"
import { failureOf } from "../http/failure.ts"
import { exchange } from "../http/request.ts"
import {
  CONTENT_TYPE_HEADER,
  PRODUCER_EPOCH_HEADER,
  PRODUCER_ID_HEADER,
  PRODUCER_SEQ_HEADER,
  STREAM_CLOSED_HEADER,
} from "../protocol/names.ts"
import { integerHeader, saysClosed } from "../protocol/response-metadata.ts"
import type { OutboxRecord, SealedBatch } from "./outbox-records.ts"
import type { SendOutcome } from "./outbox-rules.ts"

/** Sends a sealed batch once. Never rejects. */
export async function sendBatch(
  endpoint: Endpoint,
  { producerId, contentType }: OutboxRecord,
  { epoch, seq, closesStream, body }: SealedBatch,
  signal: AbortSignal,
): Promise<SendOutcome> {
  const isEmpty = body.byteLength === 0
  let isSent = false
  try {
    const { status, headers } = await exchange(
      endpoint,
      {
        method: "POST",
        operation: closesStream ? "close" : "append",
        // Each attempt is recorded in the store before it is sent.
        retry: "never",
        headers: {
          ...(!isEmpty && { [CONTENT_TYPE_HEADER]: contentType }),
          ...(closesStream && { [STREAM_CLOSED_HEADER]: "true" }),
          [PRODUCER_ID_HEADER]: producerId,
          [PRODUCER_EPOCH_HEADER]: String(epoch),
          [PRODUCER_SEQ_HEADER]: String(seq),
        },
        ...(!isEmpty && { body }),
        observer: { onRequest: () => (isSent = true) },
      },
      signal,
    )
    if (status === 204 && saysClosed(headers) && !closesStream) {
      return fatal(new StreamClosedError(endpoint.url), true)
    }
    const storedSeq = status === 204 ? integerHeader(headers, PRODUCER_SEQ_HEADER) : undefined
    return { kind: "acknowledged", storedSeq }
  } catch (error) {
    // Closing was to be done, by any writer; only a final message would be lost.
    if (error instanceof StreamClosedError && closesStream && isEmpty) {
      return { kind: "acknowledged" }
    }
    return outcomeOf(error, isSent)
  }
}

function outcomeOf(error: unknown, isSent: boolean): SendOutcome {
  if (!(error instanceof DurableStreamError)) {
    // An abort, which can come before or after the server's response, or what the caller's function for a header threw.
    const message = "the request was not made, or was aborted"
    return { kind: "retry", isUnknown: isSent, code: "ABORTED", message, retryAfterMs: 0 }
  }
  const { code, message, status } = error
  if (error instanceof SequenceGapError) {
    return { kind: "gap", expectedSeq: error.expectedSeq, code, message }
  }
  if (error instanceof StaleEpochError || error instanceof StreamClosedError) {
    return fatal(error, false)
  }
  if (status === 401 || status === 403) return { kind: "paused", code, message }
  if (status === 400 || status === 413 || status === 422) {
    return { kind: "rejected", isTooLarge: status === 413, code, message }
  }
  const failure = failureOf(error)
  const isUnknown = isSent && failure?.effect !== "none"
  // A network without a login, or a proxy, can respond in the server's place for days.
  if (failure?.kind !== "response" || failure.retryable) {
    const retryAfterMs = failure?.retryAfterMs ?? 0
    return { kind: "retry", isUnknown, code, message, retryAfterMs }
  }
  return fatal(error, isUnknown)
}

function fatal(error: DurableStreamError, isUnknown: boolean): SendOutcome {
  const currentEpoch = error instanceof StaleEpochError ? error.currentEpoch : undefined
  return { kind: "fatal", isUnknown, code: error.code, message: error.message, currentEpoch }
}
