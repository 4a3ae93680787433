import type { EnqueueResult } from "./outbox-rules.ts"

interface WaitingAppend {
  readonly bytes: Uint8Array
  readonly resolve: (result: EnqueueResult) => void
  readonly reject: (error: unknown) => void
}

/** Appends that overlap share a transaction: each commit waits for the disk. */
export class GroupedAppends {
  readonly #enqueue: (messages: readonly Uint8Array[]) => Promise<EnqueueResult[]>
  #waiting: WaitingAppend[] = []
  #last: Promise<unknown> = Promise.resolve()
  #isRunning = false

  /** @param enqueue - queues messages in one transaction, each for itself */
  constructor(enqueue: (messages: readonly Uint8Array[]) => Promise<EnqueueResult[]>) {
    this.#enqueue = enqueue
  }

  /** Queues a message. @returns what became of it; rejects with the error of its transaction */
  push(bytes: Uint8Array): Promise<EnqueueResult> {
    const result = new Promise<EnqueueResult>((resolve, reject) => {
      this.#waiting.push({ bytes, resolve, reject })
      if (!this.#isRunning) void this.#run()
    })
    this.#last = result
    return result
  }

  /** Resolves once it is known what became of all messages so far. */
  settled(): Promise<void> {
    // Its caller hears of it.
    return this.#last.then(
      () => undefined,
      () => undefined,
    )
  }

  async #run(): Promise<void> {
    this.#isRunning = true
    // Calls of the same turn share the first transaction.
    await Promise.resolve()
    while (this.#waiting.length > 0) {
      const appends = this.#waiting
      this.#waiting = []
      try {
        const results = await this.#enqueue(appends.map(({ bytes }) => bytes))
        // There is one result for each.
        results.forEach((result, index) => appends[index]?.resolve(result))
      } catch (error) {
        for (const { reject } of appends) reject(error)
      }
    }
    this.#isRunning = false
  }
}
