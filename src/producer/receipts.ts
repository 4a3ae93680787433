import type { Offset } from "../protocol/offset.ts"
import { quiet } from "./deferred.ts"

/** What became of a message that was stored. */
export interface IdempotentAppendResult {
  /**
   * Where the stream went on after the batch that carried the message. An empty string where the server did not say,
   * as it may for a duplicate.
   */
  offset: Offset
  /** True where an earlier attempt had stored the message already and its answer was lost. It is stored once. */
  duplicate: boolean
}

type Resolve = (result: IdempotentAppendResult | Promise<never>) => void

let newest: Resolve
const keepResolve = (resolve: Resolve) => {
  newest = resolve
}

/**
 * Those who wait for messages of one batch. A million of them may wait at a time, and what they cost is garbage
 * collection: so there is a promise and its resolve function for each, and nothing else.
 */
export class Receipts {
  readonly #indexes: number[] = []
  readonly #promises: Promise<IdempotentAppendResult>[] = []
  readonly #resolves: Resolve[] = []

  /**
   * Promises what becomes of a message. A rejection never surfaces as an unhandled one.
   *
   * @param index - its place in the batch; not below that of any before
   */
  add(index: number): Promise<IdempotentAppendResult> {
    const promise = new Promise<IdempotentAppendResult>(keepResolve)
    this.#push(index, promise, newest)
    return promise
  }

  /** One result serves them all. */
  resolve(result: IdempotentAppendResult): void {
    for (const resolve of this.#resolves) resolve(result)
  }

  reject(error: unknown): void {
    if (this.#promises.length === 0) return
    const rejected = quiet(Promise.reject(error))
    for (const promise of this.#promises) void quiet(promise)
    for (const resolve of this.#resolves) resolve(rejected)
  }

  /** Those who wait for a part of the batch. */
  part(from: number, to: number): Receipts {
    const part = new Receipts()
    this.#indexes.forEach((index, at) => {
      const promise = this.#promises[at]
      const resolve = this.#resolves[at]
      if (index < from || index >= to || promise === undefined || resolve === undefined) return
      part.#push(index - from, promise, resolve)
    })
    return part
  }

  #push(index: number, promise: Promise<IdempotentAppendResult>, resolve: Resolve): void {
    this.#indexes.push(index)
    this.#promises.push(promise)
    this.#resolves.push(resolve)
  }
}
