import { StaleEpochError } from "../errors/stale-epoch-error.ts"
import type { Verdict } from "./verdict.ts"

/** What is known of one batch once no request is out any more. */
export interface Fate {
  readonly verdict: Verdict | undefined
  readonly inDoubt: boolean
  /** Whether it was answered with a gap because it overtook another. */
  readonly wasEarly: boolean
  readonly seq: number | undefined
  readonly messageCount: number
}

/**
 * How a producer goes on after a batch could not be stored under its number.
 *
 * - `resume`: under the same numbers.
 * - `claim`: everything that is left is numbered anew in an epoch above this one; `error` is for where that is one too many.
 * - `split`: the first batch is refused; its halves, and what follows, are numbered anew.
 * - `leave-out`: the first batch is one message, and that is refused; what follows is numbered anew.
 * - `fail`: it does not.
 */
export type Recovery =
  | { readonly kind: "resume" }
  | { readonly kind: "claim"; readonly above: number; readonly error: Error }
  | { readonly kind: "split"; readonly status: number }
  | { readonly kind: "leave-out"; readonly error: Error }
  | { readonly kind: "fail"; readonly error: Error }

/** What batches were sent in. */
export interface Circumstances {
  readonly autoClaim: boolean
  readonly epoch: number
  /** The stream as messages may show it. */
  readonly stream: string
}

/**
 * Decides how to go on, once every batch that was sent has its answer or never will. Numbers are only ever given anew
 * in a higher epoch: a request of the old numbering that some proxy still holds is fenced off then, and cannot take a
 * number that means something else.
 *
 * 1. What can never succeed ends the producer; the first such batch says why.
 * 2. Fenced: batches are sent again only where none of them can be stored already. The server stores in order, so the
 *    first batch that is not in doubt vouches for all that follow it.
 * 3. A gap that waits for the very first batch after others were acknowledged: the server has forgotten the producer.
 *    Any other gap cannot be repaired from here.
 * 4. Refused: the same bytes were refused that any earlier attempt carried, so none was stored.
 *
 * @param fates - the batches that are not settled, in order
 * @param circumstances - what they were sent in
 */
export function decideRecovery(
  fates: readonly Fate[],
  { autoClaim, epoch, stream }: Circumstances,
): Recovery {
  for (const { verdict } of fates) {
    if (verdict?.kind === "fatal" || verdict?.kind === "transient") {
      return { kind: "fail", error: verdict.error }
    }
  }
  for (const { verdict } of fates) {
    if (verdict?.kind !== "fenced") continue
    const { error } = verdict
    if (!autoClaim) return { kind: "fail", error }
    if (fates[0]?.inDoubt === true) return { kind: "fail", error: fencedInDoubt(error, stream) }
    const above = Math.max(epoch, error.currentEpoch)
    return { kind: "claim", above, error: fencedTooOften(error, stream) }
  }
  const first = fates[0]
  if (first?.verdict?.kind === "gap") {
    const { error } = first.verdict
    const isForgotten = error.expectedSeq === 0 && (first.seq ?? 0) > 0
    if (!autoClaim || !isForgotten || first.inDoubt) return { kind: "fail", error }
    return { kind: "claim", above: epoch, error }
  }
  if (first?.verdict?.kind === "refused") {
    const { error } = first.verdict
    if (first.messageCount > 1) return { kind: "split", status: error.status }
    return { kind: first.messageCount === 1 ? "leave-out" : "fail", error }
  }
  return { kind: "resume" }
}

/**
 * How many of the batches, counted from the first, may be stored although no answer says so, or may be yet. Behind one that
 * was never sent, or was answered that it is not stored, nothing is. Early is no such answer: something in between
 * may hold a copy of the request until its turn has come. Nor is a number that is taken, where it may be by the batch itself.
 */
export function countIndeterminate(fates: readonly Fate[]): number {
  const known = fates.findIndex(({ inDoubt, wasEarly, verdict }) => {
    const isFenced = verdict?.kind === "fenced"
    return !inDoubt && !(wasEarly && !isFenced) && !(isFenced && verdict.isDoubtful === true)
  })
  return known === -1 ? fates.length : known
}

function fencedTooOften(error: StaleEpochError, stream: string): StaleEpochError {
  return new StaleEpochError(
    error.currentEpoch,
    `${stream}: this producer has claimed epoch after epoch and is fenced again, by epoch ${error.currentEpoch}. Another one ` +
      "with the same id is at work: give each an id of its own.",
    { cause: error },
  )
}

function fencedInDoubt(error: StaleEpochError, stream: string): StaleEpochError {
  return new StaleEpochError(
    error.currentEpoch,
    `${stream}: this producer was fenced by epoch ${error.currentEpoch} while it waited to hear whether a batch was stored. ` +
      "Sending it again in a higher epoch could store it twice: look at the stream, then send what undelivered() gives.",
    { cause: error },
  )
}
