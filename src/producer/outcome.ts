import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { FetchError, INDETERMINATE_HINT } from "../errors/fetch-error.ts"
import { SequenceGapError } from "../errors/sequence-gap-error.ts"
import { StaleEpochError } from "../errors/stale-epoch-error.ts"
import { StreamClosedError } from "../errors/stream-closed-error.ts"
import { failureOf, type RequestFailure } from "../http/failure.ts"
import type { ResponseMetadata } from "../http/request.ts"
import {
  PRODUCER_EPOCH_HEADER,
  PRODUCER_SEQ_HEADER,
  STREAM_OFFSET_HEADER,
} from "../protocol/names.ts"
import { describeUrl } from "../protocol/request-url.ts"
import { integerHeader, saysClosed } from "../protocol/response-metadata.ts"
import type { IdempotentAppendResult } from "./acknowledgements.ts"
import type { BatchNumber } from "./epochs.ts"

/** What one request for a batch came to. */
export type SendOutcome =
  | {
      readonly kind: "acknowledged"
      readonly result: IdempotentAppendResult
    }
  /** It may succeed when it is repeated. */
  | { readonly kind: "retryable"; readonly error: Error; readonly failure: RequestFailure }
  /** It was cancelled by the sender. */
  | { readonly kind: "cancelled"; readonly effect: "none" | "unknown" }
  | FinalOutcome

/** What ends the attempts under a number. The server did not store the batch by this request, unless `effect` is unknown. */
export type FinalOutcome =
  /** Another producer of the same id has a higher epoch. */
  | { readonly kind: "fenced"; readonly error: StaleEpochError; readonly effect: "none" }
  /** What is stored under the batch's number is another producer's. */
  | {
      readonly kind: "foreign-duplicate"
      readonly error: StaleEpochError
      readonly effect: "unknown"
    }
  /** The server waits for an earlier batch. */
  | { readonly kind: "gap"; readonly error: SequenceGapError; readonly effect: "none" }
  /** The server does not take these bytes (400, 413, 422). */
  | { readonly kind: "rejected"; readonly error: FetchError; readonly effect: "none" }
  /** It never succeeds. */
  | { readonly kind: "failed"; readonly error: Error; readonly effect: "none" | "unknown" }

/** What was sent, as far as its outcome depends on it. */
export interface SentBatch {
  readonly url: string
  readonly number: BatchNumber
  readonly closesStream: boolean
  readonly isEmpty: boolean
  /** The highest seq that this producer sent in the epoch. */
  readonly highestSentSeq: number
  /** Whether another producer can have stored a batch under the number: then a duplicate is not this batch. */
  readonly mayBeForeign: boolean
  /** Whether the id is certainly new: then nothing is another producer's. */
  readonly isNewId: boolean
}

const REJECTIONS: readonly number[] = [400, 413, 422]

/** What a success means. */
export function outcomeOfResponse(
  { status, headers }: ResponseMetadata,
  sent: SentBatch,
): SendOutcome {
  const offset = headers.get(STREAM_OFFSET_HEADER) ?? ""
  if (status === 204 && saysClosed(headers)) {
    // Only the batch that closed the stream gets this response.
    if (sent.closesStream) return acknowledged(offset, true)
    return { kind: "failed", error: new StreamClosedError(sent.url, offset), effect: "unknown" }
  }
  const epoch = integerHeader(headers, PRODUCER_EPOCH_HEADER)
  const seq = integerHeader(headers, PRODUCER_SEQ_HEADER)
  if (status !== 204 || (epoch === undefined && seq === undefined)) {
    return acknowledged(offset, false)
  }
  if (sent.isNewId) return acknowledged(offset, true)
  const error = foreignError(sent, seq)
  const isAboveSent = seq !== undefined && seq > sent.highestSentSeq
  if (isAboveSent || sent.mayBeForeign) {
    return { kind: "foreign-duplicate", error, effect: "unknown" }
  }
  return acknowledged(offset, true)
}

/** What a failure means. @param error - what the request was rejected with */
export function outcomeOfError(
  error: unknown,
  { closesStream, isEmpty }: Pick<SentBatch, "closesStream" | "isEmpty">,
): SendOutcome {
  if (error instanceof StaleEpochError) return { kind: "fenced", error, effect: "none" }
  if (error instanceof SequenceGapError) return { kind: "gap", error, effect: "none" }
  if (error instanceof StreamClosedError) {
    // The stream was to be closed, by any writer; only a final message would be lost.
    if (closesStream && isEmpty) return acknowledged(error.finalOffset ?? "", true)
    return { kind: "failed", error, effect: "none" }
  }
  const failure = failureOf(error)
  if (error instanceof FetchError && REJECTIONS.includes(error.status)) {
    return { kind: "rejected", error, effect: "none" }
  }
  if (failure?.retryable === true) return { kind: "retryable", error: asError(error), failure }
  const isIndeterminate = error instanceof FetchError && error.indeterminate
  return { kind: "failed", error: asError(error), effect: isIndeterminate ? "unknown" : "none" }
}

/**
 * Whether a batch that was sent behind another one may have come before it. A 400 is the response to a new epoch that does not
 * begin with seq 0. A 409 may not say what it is: a page reads only the headers that the server exposes.
 */
export function maybeOutOfOrder(outcome: FinalOutcome): boolean {
  const { kind, error } = outcome
  if (kind === "failed") return error instanceof FetchError && error.status === 409
  return kind === "gap" || kind === "rejected"
}

/** What was thrown, as an Error: a caller's function (a header, a fetch) can throw anything. */
export function asError(thrown: unknown): Error {
  if (thrown instanceof Error) return thrown
  return new DurableStreamError("A request failed.", "UNKNOWN", undefined, undefined, {
    cause: thrown,
  })
}

function acknowledged(offset: string, duplicate: boolean): SendOutcome {
  return { kind: "acknowledged", result: { offset, duplicate } }
}

function foreignError({ url, number }: SentBatch, seq: number | undefined): StaleEpochError {
  const upTo = seq === undefined ? "" : ` up to ${seq}`
  return new StaleEpochError(
    number.epoch,
    `${describeUrl(url)}: another producer with the same id has stored batches${upTo} in epoch ${number.epoch}. ` +
      `${INDETERMINATE_HINT} Use autoClaim without an epoch, a higher epoch, or another producer id.`,
  )
}
