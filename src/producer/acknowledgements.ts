import { addCallerStack } from "../errors/caller-stack.ts"
import type { Offset } from "../protocol/offset.ts"

/** The acknowledgement of a message. */
export interface IdempotentAppendResult {
  /** The offset after the batch with the message. An empty string if the server does not say, as it may for a duplicate. */
  offset: Offset
  /** True if an earlier attempt had stored the message and its response was lost. It is stored once. */
  duplicate: boolean
}

export type MessageOutcome =
  { readonly result: IdempotentAppendResult } | { readonly error: unknown }

/**
 * The `send()` calls of one batch, and of its halves if it is split. All are settled together, once the outcome of each part is
 * known. A rejection never surfaces as an unhandled one.
 *
 * A million of them may wait at a time, and what that costs is garbage collection. So there is one promise for the batch, and
 * each call gets one derived from it by a shared function. Those run in the order in which they were derived, so the function
 * knows whose turn it is. That takes half of what a promise with resolving functions for each message takes (measured:
 * bench, `producer-send`).
 */
export class Acknowledgements {
  /** How many messages the batch has; set when it is sealed. */
  messageCount = 1
  #settle!: () => void
  readonly #settled = new Promise<void>((resolve) => {
    this.#settle = resolve
  })
  /** The places of the messages that are waited for, ascending. */
  readonly #indexes: number[] = []
  readonly #promises: Promise<IdempotentAppendResult>[] = []
  /** One outcome for all of them, or one for each message. */
  #outcome: MessageOutcome | undefined
  readonly #outcomes: MessageOutcome[] = []
  /** Where the first calls come from, by their messages. */
  readonly #callerStacks: (object | undefined)[] = []
  #settledCount = 0
  #hasHandlers = false
  #turn = 0

  /** Promises the acknowledgement of the message at a place, which is higher with every call. */
  add(index: number, callerStack: object | undefined): Promise<IdempotentAppendResult> {
    if (callerStack !== undefined) this.#callerStacks[index] = callerStack
    const promise = this.#settled.then(this.#next)
    this.#indexes.push(index)
    this.#promises.push(promise)
    return promise
  }

  /** Notes the outcome of the messages from one place up to another. */
  note(from: number, to: number, outcome: MessageOutcome): void {
    if ("error" in outcome) {
      const callerStack = this.#callerStacks.slice(from, to).find((stack) => stack !== undefined)
      addCallerStack(outcome.error, callerStack)
      // What failed is reported in other places too. Once for each promise.
      if (!this.#hasHandlers) for (const promise of this.#promises) promise.catch(() => undefined)
      this.#hasHandlers = true
    }
    if (to - from === this.messageCount) this.#outcome = outcome
    else for (let index = from; index < to; index++) this.#outcomes[index] = outcome
    this.#settledCount += to - from
    if (this.#settledCount === this.messageCount) this.#settle()
  }

  readonly #next = (): IdempotentAppendResult => {
    const outcome = this.#outcome ?? this.#outcomes[this.#indexes[this.#turn++] ?? 0]
    if (outcome !== undefined && "result" in outcome) return outcome.result
    throw outcome?.error
  }
}
