import { Deferred } from "./deferred.ts"

interface Flush {
  readonly target: number
  readonly deferred: Deferred<void>
  /** Whether it is a flush of the caller's, which reports rejected messages. */
  readonly isReport: boolean
  error: Error | undefined
}

/** The waits until everything queued up to a batch is settled. */
export class FlushQueue {
  /** In the order of their targets, which only grow. */
  readonly #flushes = new Set<Flush>()
  #unreported: Error | undefined

  /**
   * Waits until every batch up to `target` is settled.
   *
   * @param isReport - whether the promise rejects if a message among them, or one that no wait has reported yet, was rejected
   */
  wait(target: number, isReport = true): Promise<void> {
    const error = isReport ? this.#unreported : undefined
    if (isReport) this.#unreported = undefined
    const flush: Flush = { target, deferred: new Deferred<void>(), isReport, error }
    this.#flushes.add(flush)
    return flush.deferred.promise
  }

  /**
   * Notes that a message was rejected.
   *
   * @param isReported - whether another call reports it: then no later wait needs to
   */
  reject(index: number, error: Error, isReported: boolean): void {
    let reported = isReported
    for (const flush of this.#flushes) {
      if (flush.target < index || !flush.isReport) continue
      flush.error ??= error
      reported = true
    }
    if (!reported) this.#unreported ??= error
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
