import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { FetchError, INDETERMINATE_HINT } from "../errors/fetch-error.ts"
import { StaleEpochError } from "../errors/stale-epoch-error.ts"
import { decodeUtf8 } from "../platform/text.ts"
import { describeUrl } from "../protocol/request-url.ts"
import type { BatchState } from "./batch.ts"
import type { FinalOutcome } from "./outcome.ts"

export interface BatchView {
  readonly state: BatchState
  /** An end for each message. */
  readonly content: { readonly ends: readonly unknown[] }
}

/**
 * How a producer continues after a batch was rejected under its number.
 *
 * - `resume`: under the same numbers.
 * - `bump`: in an epoch above `above`, with everything that is left; `error` is for one bump too many.
 * - `split`: in a new epoch, with the halves of the first batch.
 * - `drop`: in a new epoch, without the first batch, which is one message.
 * - `ask-type`: the content type is a guess and may be wrong: it is asked for. With another one, in a new epoch.
 * - `fail`: not at all.
 */
export type Recovery =
  | { readonly kind: "resume" | "ask-type" }
  | { readonly kind: "bump"; readonly above: number; readonly error: Error }
  | { readonly kind: "split"; readonly isTooLarge: boolean }
  | { readonly kind: "drop" | "fail"; readonly error: Error }

export interface RecoveryContext {
  readonly autoClaim: boolean
  readonly epoch: number
  /** Whether the content type of the batches is a guess that no response has confirmed. */
  readonly isTypeGuessed: boolean
  /** Whether another producer may have stored the first numbers of the epoch. */
  readonly isShared: boolean
  readonly stream: string
}

/**
 * Decides how to continue, once no request is pending. Batches get new numbers in a higher epoch only: it fences a request with
 * an old number that some proxy still holds.
 *
 * 1. The content type was a guess: nothing was stored, and the server is asked for the right one before anything else.
 * 2. What can never succeed fails the producer, and so does a duplicate that is another producer's.
 * 3. Fenced: batches are sent again only if none of them can be stored. The server stores in order, so the first batch
 *    vouches for those behind it, unless another producer's may be stored in its place.
 * 4. A gap that expects the first batch of the epoch after others were acknowledged: the server forgot the producer.
 *    Any other gap cannot be repaired.
 * 5. Rejected: the batch is split until the message at fault is found, unless an attempt before may have stored it.
 *
 * @param batches - those that are not settled, in order
 */
export function decideRecovery(
  batches: readonly BatchView[],
  { autoClaim, epoch, isTypeGuessed, isShared, stream }: RecoveryContext,
): Recovery {
  const [head] = batches
  const deciding = isShared ? batches : batches.slice(0, 1)
  const isIndeterminate = deciding.some(({ state }) => isUnknown(state))
  const outcomes = batches.map(({ state }) =>
    state.kind === "rejected" ? state.outcome : undefined,
  )
  if (isTypeGuessed && !isIndeterminate && outcomes.some(mayBeWrongType)) {
    return { kind: "ask-type" }
  }
  for (const outcome of outcomes) {
    if (outcome?.kind === "failed" || outcome?.kind === "foreign-duplicate") {
      return { kind: "fail", error: outcome.error }
    }
  }
  for (const outcome of outcomes) {
    if (outcome?.kind !== "fenced") continue
    const { error } = outcome
    const { currentEpoch } = error
    if (!autoClaim) return { kind: "fail", error }
    const by = `by epoch ${currentEpoch}`
    const text = isIndeterminate
      ? `was fenced ${by} and a batch is indeterminate. ${INDETERMINATE_HINT}`
      : `bumped its epoch again and again and is fenced ${by}. Another producer with the same id is running: give each its own id.`
    const message = `${stream}: this producer ${text}`
    const fatal = new StaleEpochError(currentEpoch, message, { cause: error })
    if (isIndeterminate) return { kind: "fail", error: fatal }
    return { kind: "bump", above: Math.max(epoch, currentEpoch), error: fatal }
  }
  const [first] = outcomes
  if (first?.kind === "gap") {
    const { error } = first
    const isForgotten = error.expectedSeq === 0 && error.receivedSeq > 0
    const isRepairable = autoClaim && isForgotten && !isIndeterminate
    return isRepairable ? { kind: "bump", above: epoch, error } : { kind: "fail", error }
  }
  if (first?.kind === "rejected") {
    const { error } = first
    const count = head?.content.ends.length ?? 0
    if (isIndeterminate) return { kind: "fail", error: rejectedIndeterminate(error) }
    if (count > 1) return { kind: "split", isTooLarge: error.status === 413 }
    return { kind: count === 1 ? "drop" : "fail", error }
  }
  return { kind: "resume" }
}

/**
 * How many of the messages, from the first, may be stored or may be yet. Behind a batch that is certainly not stored none is,
 * unless another producer's is stored in its place.
 *
 * @param isShared - whether another producer can have the same id and epoch
 */
export function countIndeterminate(batches: readonly BatchView[], isShared = false): number {
  let count = 0
  let countSoFar = 0
  for (const { state, content } of batches) {
    countSoFar += content.ends.length
    if (maybeStored(state)) count = countSoFar
    else if (!isShared) break
  }
  return count
}

export function maybeStored(state: BatchState): boolean {
  if (isUnknown(state)) return true
  // The server may store a copy of a request that came too early in its turn, unless it was fenced since.
  const isFenced = state.kind === "rejected" && state.outcome.kind === "fenced"
  return "earlier" in state && state.earlier === "out-of-order" && !isFenced
}

function isUnknown(state: BatchState): boolean {
  if (state.kind === "retrying" || state.kind === "rejected") return state.earlier === "unknown"
  return state.kind !== "queued"
}

/** Servers reject a wrong content type with 409, 415 or 400. */
function mayBeWrongType(outcome: FinalOutcome | undefined): boolean {
  if (!(outcome?.error instanceof FetchError)) return false
  if (outcome.kind === "rejected") return outcome.error.status === 400
  return outcome.error.code === "CONTENT_TYPE_MISMATCH"
}

function rejectedIndeterminate(cause: FetchError): FetchError {
  const { status, text, json, headers, url, code } = cause
  const message = `${cause.message} An earlier attempt got no response. ${INDETERMINATE_HINT}`
  const options = { code, cause, indeterminate: true }
  return new FetchError(status, text, json, headers, url, message, options)
}

/** What `details` of the error for a rejected message holds. */
export interface RejectedMessageDetails {
  /** The message, as it was or would have been sent. */
  readonly message: Uint8Array
  /** The same, read as UTF-8. */
  readonly text: string
}

/**
 * The error for one message that was rejected; the others go through.
 *
 * @param cause - the server's response, or what is wrong with the message
 */
export function rejectedMessageError(
  stream: string,
  message: Uint8Array,
  cause: Error,
): DurableStreamError {
  const details: RejectedMessageDetails = { message, text: decodeUtf8(message) }
  const text = `One message for ${stream} was rejected; the others go through. ${cause.message}`
  const { code = "UNKNOWN", status } = cause instanceof DurableStreamError ? cause : {}
  return new DurableStreamError(text, code, status, details, { cause })
}

/**
 * The error for a batch that was not settled in time.
 *
 * @param lastError - what its last attempt failed with
 */
export function deliveryTimeoutError(
  url: string,
  timeoutMs: number,
  indeterminate: boolean,
  lastError: Error | undefined,
): FetchError {
  const stream = describeUrl(url)
  const last = lastError === undefined ? "" : ` Last attempt: ${lastError.message}`
  const hint = indeterminate ? ` ${INDETERMINATE_HINT}` : ""
  const message = `A batch for ${stream} was not acknowledged within ${timeoutMs} ms (deliveryTimeoutMs).${last}${hint}`
  const options = { code: "TIMEOUT", cause: lastError, indeterminate } as const
  return new FetchError(0, undefined, undefined, {}, stream, message, options)
}
