import { FetchBackoffAbortError } from "../../errors/fetch-backoff-abort-error.ts"
import { throwOutcome } from "../session-lifetime.ts"
import type { PageMark } from "../page.ts"
import type { Session } from "../session.ts"
import type { BatchSource, Delivery } from "./page-reader.ts"
import type { Progress } from "./progress.ts"

/** A session that is consumed, and where the consumer is. */
export interface Consumption {
  readonly session: Session
  readonly progress: Progress
}

/**
 * Calls back with each batch, one at a time: the next waits for the callback's promise.
 *
 * @returns a promise that resolves when the session has ended and the last callback has finished; rejects with what a
 *   callback threw, which ends the session
 */
export async function subscribe<TBatch>(
  consumption: Consumption,
  source: BatchSource<TBatch>,
  callback: (batch: TBatch) => unknown,
): Promise<void> {
  // In a call of its own: who waits for the next batch would hold on to this one.
  const take = (delivery: Delivery<TBatch> | undefined) => hand(consumption, delivery, callback)
  while (await source().then(take, isOver));
}

/** What ended the session is not the callback's failure: the session tells it. */
function isOver(): boolean {
  return false
}

/** Calls back with a batch; false at the end. */
async function hand<TBatch>(
  { session, progress }: Consumption,
  delivery: Delivery<TBatch> | undefined,
  callback: (batch: TBatch) => unknown,
): Promise<boolean> {
  // What ended the session while the page was on its way has ended the callbacks too.
  if (delivery === undefined || session.state.kind === "ended") return false
  const takeBack = progress.move(delivery.mark)
  try {
    await callback(delivery.batch)
  } catch (error) {
    takeBack()
    session.fail(error)
    throw error
  }
  session.delivered(0, delivery.empty)
  return true
}

/**
 * Gives the batches to `for await`. Asking for the next one says that the last one was taken; leaving the loop ends
 * the session.
 *
 * @param onEnd - told when the iteration is over
 */
export function iterateBatches<TBatch>(
  { session, progress }: Consumption,
  source: BatchSource<TBatch>,
  onEnd: () => void,
): AsyncIterableIterator<TBatch> {
  let handedOver: { readonly empty: boolean } | undefined
  let queue: Promise<unknown> = Promise.resolve()
  // Whoever stops asking without a word (no `return`) keeps nobody waiting once the session is over.
  void session.ended.then(onEnd)
  const advance = async (): Promise<IteratorResult<TBatch>> => {
    try {
      if (handedOver !== undefined) session.delivered(0, handedOver.empty)
      handedOver = undefined
      const delivery = await source()
      const { state } = session
      // What ended the session while the page was on its way comes first.
      if (state.kind === "ended") throwOutcome(state.outcome)
      if (delivery === undefined || state.kind === "ended") {
        onEnd()
        return { done: true, value: undefined }
      }
      progress.move(delivery.mark)
      handedOver = { empty: delivery.empty }
      return { done: false, value: delivery.batch }
    } catch (error) {
      onEnd()
      throw error
    }
  }
  return {
    next() {
      // Callers may ask again before they were answered; the session is asked in turn.
      const result = queue.then(advance)
      queue = result.catch(() => undefined)
      return result
    },
    return() {
      session.cancel(undefined)
      onEnd()
      return Promise.resolve({ done: true, value: undefined })
    },
    [Symbol.asyncIterator]() {
      return this
    },
  }
}

/**
 * Gathers batches up to the first that is up to date, then ends the session.
 *
 * @throws what ended the session before that; FetchBackoffAbortError where it was cancelled
 */
export async function gather<TBatch>(
  { session, progress }: Consumption,
  source: BatchSource<TBatch>,
): Promise<TBatch[]> {
  const batches: TBatch[] = []
  let last: PageMark | undefined
  session.readToTail()
  for (;;) {
    const delivery = await source()
    if (delivery === undefined) {
      const { state } = session
      if (state.kind === "ended" && state.outcome.kind === "cancelled") {
        throw new FetchBackoffAbortError(state.outcome.reason)
      }
      // Only now are they with the caller: what fails before this has delivered nothing.
      if (last !== undefined) progress.move(last)
      return batches
    }
    batches.push(delivery.batch)
    last = delivery.mark
    session.delivered(0, delivery.empty)
  }
}
