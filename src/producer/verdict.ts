import { FetchError } from "../errors/fetch-error.ts"
import { SequenceGapError } from "../errors/sequence-gap-error.ts"
import { StaleEpochError } from "../errors/stale-epoch-error.ts"
import { StreamClosedError } from "../errors/stream-closed-error.ts"
import type { ResponseMetadata } from "../http/request.ts"
import { failureOf } from "../http/failure.ts"
import {
  PRODUCER_EPOCH_HEADER,
  PRODUCER_SEQ_HEADER,
  STREAM_OFFSET_HEADER,
} from "../protocol/names.ts"
import { describeUrl } from "../protocol/request-url.ts"
import { integerHeader, saysClosed } from "../protocol/response-metadata.ts"
import { asError } from "./as-error.ts"
import type { BatchNumber } from "./batch.ts"
import type { IdempotentAppendResult } from "./receipts.ts"

/**
 * What the attempts to deliver a batch came to.
 *
 * - `acknowledged`: it is stored, once.
 * - `fenced`: another producer of the same id has used this epoch or a higher one.
 * - `gap`: the server waits for an earlier batch.
 * - `refused`: the server does not take these bytes (400, 413, 422).
 * - `transient`: it may go better the next time.
 * - `fatal`: it never will.
 * - `interrupted`: it was called off while no request was out.
 */
export type Verdict =
  | { readonly kind: "acknowledged"; readonly result: IdempotentAppendResult }
  | {
      readonly kind: "fenced"
      readonly error: StaleEpochError
      /** Another producer has used the batch's very number: what is stored under this epoch is not this producer's. */
      readonly isForeign?: boolean
      /** The batch may be stored all the same: something in between may have sent it twice, and this be the second answer. */
      readonly isDoubtful?: boolean
    }
  | { readonly kind: "gap"; readonly error: SequenceGapError }
  | { readonly kind: "refused"; readonly error: FetchError }
  | { readonly kind: "transient"; readonly error: Error; readonly retryAfterMs: number }
  | { readonly kind: "fatal"; readonly error: Error }
  | { readonly kind: "interrupted" }

/** What was sent, as far as its answer depends on it. */
export interface Sent {
  readonly url: string
  readonly number: BatchNumber
  /** The highest seq that this producer has sent in the epoch. */
  readonly highestSeq: number
  readonly closesStream: boolean
  /** How often the batch was sent under its number. */
  readonly tries: number
  /** Whether nobody can have used the producer's id before. */
  readonly isNewId: boolean
}

const REFUSALS: readonly number[] = [400, 413, 422]

/** What a success means. */
export function verdictOfAnswer({ status, headers }: ResponseMetadata, sent: Sent): Verdict {
  const offset = headers.get(STREAM_OFFSET_HEADER)
  const seq = integerHeader(headers, PRODUCER_SEQ_HEADER)
  const acknowledged: Verdict = {
    kind: "acknowledged",
    result: { offset: offset ?? "", duplicate: status === 204 },
  }
  if (status === 204 && saysClosed(headers)) {
    // Only the batch that closed the stream is answered so.
    if (sent.closesStream) return acknowledged
    return { kind: "fatal", error: new StreamClosedError(sent.url, offset ?? undefined) }
  }
  if (status === 204 && seq !== undefined && isForeign(seq, offset, sent)) {
    const epoch = integerHeader(headers, PRODUCER_EPOCH_HEADER) ?? sent.number.epoch
    const isDoubtful = seq <= sent.highestSeq
    return { kind: "fenced", error: numberTaken(sent.url, epoch, seq), isForeign: true, isDoubtful }
  }
  return acknowledged
}

/**
 * What a failure means.
 *
 * @param error - what the request was rejected with
 */
export function verdictOfError(error: unknown): Verdict {
  if (error instanceof StaleEpochError) return { kind: "fenced", error }
  if (error instanceof SequenceGapError) return { kind: "gap", error }
  if (error instanceof StreamClosedError) return { kind: "fatal", error }
  if (error instanceof FetchError) {
    if (REFUSALS.includes(error.status)) return { kind: "refused", error }
    const failure = failureOf(error)
    if (failure?.retryable === true) {
      return { kind: "transient", error, retryAfterMs: failure.retryAfterMs }
    }
  }
  return { kind: "fatal", error: asError(error) }
}

/** Whether a batch that has others before it may wait for its turn and try again. */
export function canWait(verdict: Verdict): boolean {
  const { kind } = verdict
  return kind === "gap" || kind === "refused" || kind === "transient" || isEarly(verdict)
}

/**
 * Whether a batch that has others before it was answered that it came too early. A 409 that does not say what it is may say
 * that: across origins a page sees no more than the server exposes. In its turn the batch is told the truth.
 */
export function isEarly(verdict: Verdict): boolean {
  if (verdict.kind === "fatal") {
    return verdict.error instanceof FetchError && verdict.error.status === 409
  }
  return verdict.kind === "gap"
}

/**
 * Whether it is another producer's batch that a duplicate is a duplicate of: a batch was stored that this producer has
 * never sent, or the first batch of an epoch is there before its only try. The latter is what becomes of a process that
 * starts anew with its old epoch, and of the slower one of two that claim the same epoch. Later batches get the benefit
 * of the doubt, as something in between may send a request twice on its own.
 */
function isForeign(storedSeq: number, offset: string | null, sent: Sent): boolean {
  if (sent.isNewId) return false
  if (storedSeq > sent.highestSeq) return true
  return sent.number.seq === 0 && sent.tries === 1 && offset === null
}

function numberTaken(url: string, epoch: number, seq: number): StaleEpochError {
  return new StaleEpochError(
    epoch,
    `${describeUrl(url)}: a producer with the same id has stored batches up to ${seq} in epoch ${epoch} already, ` +
      "before this one's first. Start with a higher epoch (autoClaim does it), or use an id of your own.",
  )
}
