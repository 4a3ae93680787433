import {
  runAsync,
  runSync,
  type OutboxStore,
  type StoreOperation,
  type StoreProgram,
} from "../../../src/outbox/index.ts"
import {
  ConflictError,
  type MemoryDatabase,
  type MemoryTransaction,
} from "../../support/memory-outbox-store.ts"

/** What becomes of a step of the store. */
export type StepFate = "done" | "dies" | "fails"

/** The process that uses a store. */
export interface StoreUser {
  readonly isDead: boolean
  /** Called in each step, takes as long as it does; with `dies`, the process dies in it. No promise: it takes no time. */
  fate(): StepFate | Promise<StepFate>
  die(): void
}

/** How a store breaks a rule. */
export interface StoreFaults {
  /** Changes the operations of a program; called with each program. */
  readonly edit?: () => (operation: StoreOperation, previous: unknown) => StoreOperation
  readonly commitsJoined?: boolean
}

/**
 * The store of one process on a database: every step of a transaction takes a moment, in which others run and the process can die
 * or the disk can fail: before it, between commit and response, or without telling whether it was committed.
 */
export class ProcessStore implements OutboxStore {
  readonly #database: MemoryDatabase
  readonly #user: StoreUser
  readonly #faults: StoreFaults
  readonly #open = new Set<MemoryTransaction>()

  constructor(database: MemoryDatabase, user: StoreUser, faults: StoreFaults = {}) {
    this.#database = database
    this.#user = user
    this.#faults = faults
  }

  async transact<T>(outbox: string, program: () => StoreProgram<T>): Promise<T> {
    for (;;) {
      await this.#step()
      const transaction = await this.begin("one-state")
      try {
        const result = await runAsync(this.#edited(program), async (operation) => {
          await this.#step()
          return transaction.execute(outbox, operation)
        })
        await this.commit(transaction)
        return result
      } catch (error) {
        this.rollback(transaction)
        if (!(error instanceof ConflictError)) throw error
      }
    }
  }

  join<T>(outbox: string, transaction: unknown, program: () => StoreProgram<T>): T | Promise<T> {
    // What the program gave to append: a transaction of begin().
    const joined = transaction as MemoryTransaction
    if (this.#faults.commitsJoined === true) return this.transact(outbox, program)
    if (this.#database.choices.isolation === "serial") {
      return runSync(this.#edited(program), (operation) => joined.executeSync(outbox, operation))
    }
    return runAsync(this.#edited(program), async (operation) => {
      await this.#step()
      return joined.execute(outbox, operation)
    })
  }

  /** Begins a transaction; it ends with the process. */
  async begin(reads?: "one-state"): Promise<MemoryTransaction> {
    const transaction = await this.#database.begin(reads)
    this.#open.add(transaction)
    if (this.#user.isDead) {
      transaction.rollback()
      await never()
    }
    return transaction
  }

  async commit(transaction: MemoryTransaction): Promise<void> {
    await this.#step()
    if (this.#faults.commitsJoined === true && !transaction.isOpen) return
    transaction.commit()
    this.#open.delete(transaction)
    try {
      await this.#step()
    } catch (error) {
      throw Object.assign(error as Error, { indeterminate: true })
    }
  }

  rollback(transaction: MemoryTransaction): void {
    transaction.rollback()
    this.#open.delete(transaction)
  }

  /** The process is dead: what it has not committed is gone. */
  abandon(): void {
    for (const transaction of this.#open) transaction.rollback()
  }

  #step(): Promise<void> | undefined {
    const fate = this.#user.fate()
    // Most steps are this one, and a promise for each would take a third of the time of a run.
    return fate === "done" && !this.#user.isDead ? undefined : this.#suffer(fate)
  }

  async #suffer(given: StepFate | Promise<StepFate>): Promise<void> {
    const fate = await given
    if (this.#user.isDead) await never()
    if (fate === "fails") throw new Error("disk I/O error")
    if (fate === "done") return
    this.#user.die()
    await never()
  }

  #edited<T>(program: () => StoreProgram<T>): StoreProgram<T> {
    const edit = this.#faults.edit?.()
    return edit === undefined ? program() : editProgram(program(), edit)
  }
}

function* editProgram<T>(
  program: StoreProgram<T>,
  edit: (operation: StoreOperation, previous: unknown) => StoreOperation,
): StoreProgram<T> {
  let previous: unknown
  let step = program.next()
  while (!step.done) {
    previous = yield edit(step.value, previous)
    step = program.next(previous)
  }
  return step.value
}

function never(): Promise<never> {
  return new Promise(() => undefined)
}
