import { addCallerStack } from "../errors/caller-stack.ts"
import type { Offset } from "../protocol/offset.ts"

/** The acknowledgement of a message. */
export interface IdempotentAppendResult {
  /** The offset after the batch with the message. An empty string if the server does not say, as it may for a duplicate. */
  offset: Offset
  /** True if an earlier attempt had stored the message and its response was lost. It is stored once. */
  duplicate: boolean
}

type Outcome =
  | { readonly kind: "stored"; readonly result: IdempotentAppendResult }
  | { readonly kind: "not-acknowledged"; readonly error: unknown }

/**
 * The `send()` calls of one batch, and of its halves if it is split. All are settled together, once the outcome of each part is
 * known.
 *
 * A million of them may wait at a time, and what that costs is garbage collection. So there is one promise for the batch, and
 * each call gets one derived from it by a shared function. Those run in the order in which they were derived, so the function
 * knows whose turn it is. That takes half of what a promise with resolving functions for each message takes (measured:
 * bench, `producer-send`).
 */
class AcknowledgementGroup {
  readonly #settled: Promise<void>
  #settle!: () => void
  /** The places of the messages that are waited for, ascending. */
  readonly #indexes: number[] = []
  readonly #promises: Promise<IdempotentAppendResult>[] = []
  /** One outcome for all of them, or one for each. */
  #outcome: Outcome | undefined
  #outcomes: Outcome[] | undefined
  /** Where the first calls come from, by their position. */
  readonly #callerStacks: (object | undefined)[] = []
  #unsettledCount = 0
  #hasHandlers = false
  #turn = 0

  constructor() {
    this.#settled = new Promise<void>((resolve) => {
      this.#settle = resolve
    })
  }

  add(index: number, callerStack: object | undefined): Promise<IdempotentAppendResult> {
    if (callerStack !== undefined) this.#callerStacks[this.#indexes.length] = callerStack
    const promise = this.#settled.then(this.#next)
    this.#indexes.push(index)
    this.#promises.push(promise)
    this.#unsettledCount++
    return promise
  }

  /** Notes the outcome of the messages from one place up to another. */
  note(from: number, to: number, outcome: Outcome): void {
    const first = this.#position(from)
    const end = this.#position(to)
    if (outcome.kind === "not-acknowledged" && first < end) {
      addCallerStack(outcome.error, this.#callerStacks[first])
      this.#handleRejections()
    }
    if (end - first === this.#indexes.length) this.#outcome = outcome
    else {
      this.#outcomes ??= new Array<Outcome>(this.#indexes.length)
      this.#outcomes.fill(outcome, first, end)
    }
    this.#unsettledCount -= end - first
    if (this.#unsettledCount === 0) this.#settle()
  }

  /** What failed is reported in other places too: no rejection surfaces as an unhandled one. Once for each promise. */
  #handleRejections(): void {
    if (this.#hasHandlers) return
    this.#hasHandlers = true
    for (const promise of this.#promises) promise.catch(() => undefined)
  }

  /** How many of the awaited messages are before a place. */
  #position(index: number): number {
    let low = 0
    let high = this.#indexes.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#indexes[middle] ?? Infinity) < index) low = middle + 1
      else high = middle
    }
    return low
  }

  readonly #next = (): IdempotentAppendResult => {
    const outcome = this.#outcome ?? this.#outcomes?.[this.#turn++]
    if (outcome?.kind === "stored") return outcome.result
    throw outcome?.error
  }
}

/** The `send()` calls that wait for the messages of a batch, or of a part of one that was split. */
export class Acknowledgements {
  readonly #group: AcknowledgementGroup
  readonly #from: number
  readonly #to: number

  constructor(group: AcknowledgementGroup = new AcknowledgementGroup(), from = 0, to = Infinity) {
    this.#group = group
    this.#from = from
    this.#to = to
  }

  /**
   * Promises the acknowledgement of a message. A rejection never surfaces as an unhandled one.
   *
   * @param index - its place in the batch; larger with every call
   * @param callerStack - where it was called, for the error
   */
  add(index: number, callerStack?: object): Promise<IdempotentAppendResult> {
    return this.#group.add(index, callerStack)
  }

  /** All of them are stored. */
  resolve(result: IdempotentAppendResult): void {
    this.#group.note(this.#from, this.#to, { kind: "stored", result })
  }

  /** None of them is acknowledged. */
  reject(error: unknown): void {
    this.#group.note(this.#from, this.#to, { kind: "not-acknowledged", error })
  }

  /** Those for the messages from one place up to another. */
  part(from: number, to: number): Acknowledgements {
    return new Acknowledgements(this.#group, this.#from + from, Math.min(this.#to, this.#from + to))
  }
}
