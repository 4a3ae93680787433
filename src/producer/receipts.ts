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

type Outcome =
  | { readonly kind: "stored"; readonly result: IdempotentAppendResult }
  | { readonly kind: "lost"; readonly error: unknown }

/** What became of the messages from one place of the batch up to another. */
interface Fate {
  readonly from: number
  readonly to: number
  readonly outcome: Outcome
}

/**
 * Those who wait for messages of one batch, and of its halves where it is split. A million of them may wait at a time, and
 * what that costs is garbage collection. So there is one promise for the batch, and each waits for a promise derived
 * from it, by a function that they share: those run in the order in which they were derived, so it knows whose turn
 * it is. That is half of what a promise with resolving functions for each message takes (measured).
 */
class ReceiptGroup {
  readonly #settled: Promise<void>
  #settle!: () => void
  readonly #indexes: number[] = []
  readonly #promises: Promise<IdempotentAppendResult>[] = []
  readonly #fates: Fate[] = []
  #unsettledCount = 0
  #turn = 0

  constructor() {
    this.#settled = new Promise<void>((resolve) => {
      this.#settle = resolve
    })
  }

  add(index: number): Promise<IdempotentAppendResult> {
    const promise = this.#settled.then(this.#next)
    this.#indexes.push(index)
    this.#promises.push(promise)
    this.#unsettledCount++
    return promise
  }

  /** Takes note of what became of a part. Once that is known of every part, all who wait are told. */
  note(fate: Fate): void {
    const { from, to, outcome } = fate
    this.#fates.push(fate)
    const isWhole = from === 0 && to === Infinity
    this.#unsettledCount -= isWhole
      ? this.#indexes.length
      : this.#indexes.filter((index) => index >= from && index < to).length
    if (outcome.kind === "lost") for (const promise of this.#promises) void quiet(promise)
    if (this.#unsettledCount === 0) this.#settle()
  }

  readonly #next = (): IdempotentAppendResult => {
    const turn = this.#turn++
    const index = this.#indexes[turn] ?? 0
    const only = this.#fates.length === 1 ? this.#fates[0] : undefined
    const fate = only ?? this.#fates.find(({ from, to }) => index >= from && index < to)
    if (fate?.outcome.kind === "stored") return fate.outcome.result
    throw fate?.outcome.error
  }
}

/** The receipts for the messages of a batch, or of a part of one that was split. */
export class Receipts {
  readonly #group: ReceiptGroup
  readonly #from: number
  readonly #to: number

  constructor(group: ReceiptGroup = new ReceiptGroup(), from = 0, to = Infinity) {
    this.#group = group
    this.#from = from
    this.#to = to
  }

  /**
   * Promises what becomes of a message. A rejection never surfaces as an unhandled one.
   *
   * @param index - its place in the batch
   */
  add(index: number): Promise<IdempotentAppendResult> {
    return this.#group.add(index)
  }

  /** One result serves them all. */
  resolve(result: IdempotentAppendResult): void {
    this.#note({ kind: "stored", result })
  }

  reject(error: unknown): void {
    this.#note({ kind: "lost", error })
  }

  /** The receipts for a part of these: for the messages from one place up to another. */
  part(from: number, to: number): Receipts {
    return new Receipts(this.#group, this.#from + from, Math.min(this.#to, this.#from + to))
  }

  #note(outcome: Outcome): void {
    this.#group.note({ from: this.#from, to: this.#to, outcome })
  }
}
