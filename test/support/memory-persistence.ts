import { mayReplace, type StoredView, type StreamPersistence } from "../../src/store/index.ts"

/** A record in memory that counts what is done to it, and can fail. */
export class MemoryPersistence implements StreamPersistence {
  readonly id = "memory"
  stored: unknown
  saves = 0
  /** What the storage fails with while it is set. */
  failure: Error | undefined

  constructor(stored?: unknown) {
    this.stored = stored
  }

  load(): unknown {
    this.#check()
    return this.stored
  }

  save(record: StoredView): void {
    this.#check()
    this.saves++
    if (mayReplace(this.stored, record)) this.stored = record
  }

  clear(): void {
    this.#check()
    this.stored = undefined
  }

  #check(): void {
    if (this.failure !== undefined) throw this.failure
  }
}
