import { FetchBackoffAbortError } from "../../errors/fetch-backoff-abort-error.ts"
import type { JsonBatchMeta } from "../stream-response.ts"
import type { PageSource } from "../page.ts"
import type { Delivery, Reader } from "./page-reader.ts"

/** Makes the batch that a caller gets. */
export type ToBatch<T, TBatch> = (value: T, meta: JsonBatchMeta) => TBatch

/**
 * Calls back with each batch, one at a time: the next waits for the callback's promise.
 *
 * @returns a promise that resolves when the session is over and the last callback has finished; rejects with what a
 *   callback threw, which ends the session
 */
export async function subscribe<T, TBatch>(
  source: PageSource,
  reader: Reader<T>,
  toBatch: ToBatch<T, TBatch>,
  callback: (batch: TBatch) => unknown,
): Promise<void> {
  // A function of its own: a loop that waits for the next batch would hold on to this one.
  const deliver = async (delivery: Delivery<T> | undefined): Promise<boolean> => {
    const meta = delivery && reader.accept(delivery)
    if (delivery === undefined || meta === undefined) return false
    try {
      await callback(toBatch(delivery.value, meta))
      return true
    } catch (error) {
      source.fail(error)
      throw error
    }
  }
  while (await reader.next().then(deliver, isOver));
}

/** What ended the session is not the callback's failure: the session tells it. */
function isOver(): boolean {
  return false
}

/**
 * The batches for `for await`. To leave the loop ends the session.
 *
 * @param onEnd - called when the iteration is over
 */
export function iterateBatches<T, TBatch>(
  source: PageSource,
  reader: Reader<T>,
  toBatch: ToBatch<T, TBatch>,
  onEnd: () => void,
): AsyncIterableIterator<TBatch> {
  let last: Promise<unknown> = Promise.resolve()
  // A caller that stops asking without a `return` delays nothing once the session is over.
  void source.ended.then(onEnd)
  const advance = async (): Promise<IteratorResult<TBatch>> => {
    for (;;) {
      const delivery = await reader.next()
      if (delivery === undefined) {
        onEnd()
        return { done: true, value: undefined }
      }
      const meta = reader.accept(delivery)
      if (meta !== undefined) return { done: false, value: toBatch(delivery.value, meta) }
    }
  }
  return {
    next() {
      // Callers may ask again before they have a result; the reader is asked in turn.
      const result = last.then(advance)
      last = result.catch(onEnd)
      return result
    },
    return() {
      source.cancel(undefined)
      onEnd()
      return Promise.resolve({ done: true, value: undefined })
    },
    [Symbol.asyncIterator]() {
      return this
    },
  }
}

/**
 * Everything up to the tail, as one value; then the session ends.
 *
 * @throws what ended the session before that; FetchBackoffAbortError if it was cancelled
 */
export async function collect<T>(source: PageSource, reader: Reader<T>): Promise<T> {
  source.readToTail()
  const whole = await reader.next()
  if (whole !== undefined && reader.accept(whole) !== undefined) {
    // The value is complete: what ends the session now does not change it.
    await reader.next().catch(() => undefined)
    return whole.value
  }
  if (whole !== undefined) await reader.next()
  const { outcome } = source
  if (outcome?.kind === "cancelled") throw new FetchBackoffAbortError(outcome.reason)
  return reader.rest()
}
