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
import { headerOf, integerHeader, saysClosed } from "../protocol/response-metadata.ts"
import type { IdempotentAppendResult } from "./acknowledgements.ts"
import type { BatchNumber } from "./epochs.ts"

/** What one request for a batch came to. */
export type SendOutcome =
  | { readonly kind: "acknowledged"; readonly result: IdempotentAppendResult }
  /** It may succeed when it is repeated. */
  | { readonly kind: "retryable"; readonly error: Error; readonly failure: RequestFailure }
  | { readonly kind: "cancelled"; readonly effect: "none" | "unknown" }
  | FinalOutcome

/**
 * What ends the attempts under a number. The server did not store the batch by this request, unless `effect` is unknown.
 *
 * - `fenced`: another producer of the same id has a higher epoch.
 * - `foreign-duplicate`: what is stored under the batch's number is another producer's.
 * - `gap`: the server waits for an earlier batch.
 * - `rejected`: the server does not take these bytes (400, 413, 422).
 * - `failed`: it never succeeds.
 */
export type FinalOutcome = { readonly effect: "none" | "unknown" } & (
  | { readonly kind: "fenced" | "foreign-duplicate"; readonly error: StaleEpochError }
  | { readonly kind: "gap"; readonly error: SequenceGapError }
  | { readonly kind: "rejected"; readonly error: FetchError }
  | { readonly kind: "failed"; readonly error: Error }
)

/** What was sent, as far as its outcome depends on it. */
export interface SentBatch {
  readonly url: string
  readonly number: BatchNumber
  readonly closesStream: boolean
  /** The highest seq that this producer sent in the epoch. */
  readonly highestSentSeq: number
  /** Whether another producer can have stored a batch under the number: then a duplicate is not this batch. */
  readonly mayBeForeign: boolean
}

export function outcomeOfResponse(
  { status, headers }: ResponseMetadata,
  { url, number: { epoch }, closesStream, highestSentSeq, mayBeForeign }: SentBatch,
): SendOutcome {
  const offset = headerOf(headers, STREAM_OFFSET_HEADER) ?? ""
  if (status === 204 && saysClosed(headers)) {
    // Only the batch that closed the stream gets this response.
    if (closesStream) return acknowledged(offset, true)
    return { kind: "failed", error: new StreamClosedError(url, offset), effect: "unknown" }
  }
  const seq = integerHeader(headers, PRODUCER_SEQ_HEADER)
  const isDuplicate = (seq ?? integerHeader(headers, PRODUCER_EPOCH_HEADER)) !== undefined
  if (status !== 204 || !isDuplicate) return acknowledged(offset, false)
  if (!mayBeForeign && (seq ?? 0) <= highestSentSeq) return acknowledged(offset, true)
  const upTo = seq === undefined ? "" : ` up to ${seq}`
  const error = new StaleEpochError(
    epoch,
    `${describeUrl(url)}: another producer with the same id has stored batches${upTo} in epoch ${epoch}. ` +
      `${INDETERMINATE_HINT} Use autoClaim without an epoch, a higher epoch, or another producer id.`,
  )
  return { kind: "foreign-duplicate", error, effect: "unknown" }
}

/**
 * What a failure means.
 *
 * @param thrown - what the request was rejected with
 * @param isBareClosure - whether it was to close the stream, and had no message
 */
export function outcomeOfError(thrown: unknown, isBareClosure: boolean): SendOutcome {
  const error = asError(thrown)
  if (error instanceof StaleEpochError) return { kind: "fenced", error, effect: "none" }
  if (error instanceof SequenceGapError) return { kind: "gap", error, effect: "none" }
  // The stream was to be closed, by any writer; only a final message would be lost.
  if (error instanceof StreamClosedError && isBareClosure) {
    return acknowledged(error.finalOffset ?? "", true)
  }
  if (error instanceof FetchError && [400, 413, 422].includes(error.status)) {
    return { kind: "rejected", error, effect: "none" }
  }
  const failure = failureOf(thrown)
  if (failure?.retryable === true) return { kind: "retryable", error, failure }
  const isIndeterminate = error instanceof FetchError && error.indeterminate
  return { kind: "failed", error, effect: isIndeterminate ? "unknown" : "none" }
}

/**
 * Whether a batch that was sent behind another one may have come before it. A 400 is the response to a new epoch that does not
 * begin with seq 0. A 409 may not say what it is: a page reads only the headers that the server exposes.
 */
export function maybeOutOfOrder({ kind, error }: FinalOutcome): boolean {
  if (kind === "failed") return error instanceof FetchError && error.status === 409
  return kind === "gap" || kind === "rejected"
}

/** What was thrown, as an Error: a caller's function (a header, a fetch) can throw anything. */
export function asError(thrown: unknown): Error {
  if (thrown instanceof Error) return thrown
  const message = "A request failed."
  return new DurableStreamError(message, "UNKNOWN", undefined, undefined, { cause: thrown })
}

function acknowledged(offset: string, duplicate: boolean): SendOutcome {
  return { kind: "acknowledged", result: { offset, duplicate } }
}
