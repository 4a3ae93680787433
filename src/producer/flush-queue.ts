import { Deferred } from "./deferred.ts"

interface Flush {
  readonly target: number
  readonly deferred: Deferred<void>
  error: Error | undefined
}

/** Those who wait until everything queued up to a batch is settled. */
export class FlushQueue {
  /** In the order of their targets, which only grow. */
  readonly #flushes = new Set<Flush>()
  #untold: Error | undefined

  /**
   * Waits until every batch up to `target` is settled.
   *
   * @returns a promise that rejects where a message among them, or one that no flush has told of yet, was left out
   */
  wait(target: number): Promise<void> {
    const flush: Flush = { target, deferred: new Deferred<void>(), error: this.#untold }
    this.#untold = undefined
    this.#flushes.add(flush)
    return flush.deferred.promise
  }

  /**
   * Takes note that a message was left out.
   *
   * @param isTold - whether who sent it is told: then no later flush needs to be
   */
  leftOut(ordinal: number, error: Error, isTold: boolean): void {
    for (const flush of this.#flushes) {
      if (flush.target < ordinal) continue
      flush.error ??= error
      isTold = true
    }
    if (!isTold) this.#untold ??= error
  }

  /** Ends the waits that are over. @param firstUnsettled - the first batch that is not settled, undefined for none */
  settle(firstUnsettled: number | undefined): void {
    for (const flush of this.#flushes) {
      if (firstUnsettled !== undefined && firstUnsettled <= flush.target) return
      this.#flushes.delete(flush)
      if (flush.error === undefined) flush.deferred.resolve()
      else flush.deferred.reject(flush.error)
    }
  }

  /** Ends every wait. */
  fail(error: Error): void {
    for (const flush of this.#flushes) flush.deferred.reject(error)
    this.#flushes.clear()
  }
}
