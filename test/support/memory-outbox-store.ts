import {
  runAsync,
  runSync,
  type OutboxStore,
  type StoredMessage,
  type StoredRecord,
  type StoreOperation,
  type StoreProgram,
} from "../../src/outbox/index.ts"

/** How a {@link MemoryDatabase} behaves. */
export interface DatabaseChoices {
  /**
   * `serial`: one transaction at a time, and a caller's is synchronous, as in SQLite. `concurrent`: many, and locks are those of records,
   * as in PostgreSQL: a caller's reads what is committed, the store's own one state (see {@link ConflictError}).
   */
  isolation: "serial" | "concurrent"
  now: () => number
}

/** What a database holds on disk. Ids of messages come from a sequence, which no rollback turns back. */
interface Disk {
  readonly records: Map<string, StoredRecord>
  readonly messages: Map<number, StoredMessage & { readonly outbox: string }>
}

/** A transaction that sees one state locks a record that was changed since: it has to be repeated. */
export class ConflictError extends Error {
  override readonly name = "ConflictError"
}

/** A database in memory, whose transactions are atomic, isolated and locked as those of a real one. */
export class MemoryDatabase {
  readonly choices: DatabaseChoices
  readonly disk: Disk = { records: new Map(), messages: new Map() }
  nextId = 1
  readonly #locks = new Map<string, Map<MemoryTransaction, "share" | "update">>()
  #waiting: (() => void)[] = []

  constructor(choices: Partial<DatabaseChoices> = {}) {
    this.choices = { isolation: "serial", now: () => Date.now(), ...choices }
  }

  /** A copy of what is committed: an image, a snapshot, a backup. */
  copy(): MemoryDatabase {
    const copy = new MemoryDatabase(this.choices)
    for (const [key, record] of this.disk.records) copy.disk.records.set(key, record)
    for (const [id, message] of this.disk.messages) copy.disk.messages.set(id, message)
    copy.nextId = this.nextId
    return copy
  }

  /** Begins a transaction once it may. `one-state` is that of its first operation. */
  async begin(reads: "committed" | "one-state" = "committed"): Promise<MemoryTransaction> {
    const transaction = new MemoryTransaction(this, reads)
    if (this.choices.isolation === "serial") await this.lock(transaction, "", "update")
    return transaction
  }

  /** Takes a lock, after those that exclude it have ended. */
  async lock(by: MemoryTransaction, key: string, mode: "share" | "update"): Promise<void> {
    for (;;) {
      if (!by.isOpen) throw new Error("the transaction has ended")
      const holders = this.#locks.get(key) ?? new Map<MemoryTransaction, "share" | "update">()
      const others = [...holders].filter(([holder]) => holder !== by)
      if (others.every(([, held]) => held === "share" && mode === "share")) {
        this.#locks.set(key, holders.set(by, holders.get(by) === "update" ? "update" : mode))
        return
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
  }

  /** Gives the locks of a transaction that has ended to those that wait. */
  unlock(by: MemoryTransaction): void {
    for (const holders of this.#locks.values()) holders.delete(by)
    const waiting = this.#waiting
    this.#waiting = []
    for (const wake of waiting) wake()
  }
}

/** A transaction of a {@link MemoryDatabase}: what it writes is its own until it is committed. */
export class MemoryTransaction {
  readonly #database: MemoryDatabase
  readonly #reads: "committed" | "one-state"
  #state: Disk | undefined
  readonly #records = new Map<string, StoredRecord | undefined>()
  readonly #messages = new Map<number, (StoredMessage & { outbox: string }) | undefined>()
  isOpen = true

  constructor(database: MemoryDatabase, reads: "committed" | "one-state") {
    this.#database = database
    this.#reads = reads
  }

  commit(): void {
    if (!this.isOpen) return
    const { records, messages } = this.#database.disk
    apply(this.#records, records)
    apply(this.#messages, messages)
    this.rollback()
  }

  rollback(): void {
    if (!this.isOpen) return
    this.isOpen = false
    this.#database.unlock(this)
  }

  /** Does an operation; waits for the lock that it asks for, if transactions are concurrent. */
  async execute(outbox: string, operation: StoreOperation): Promise<unknown> {
    if (operation.kind === "get" && operation.lock !== undefined) {
      const { isolation } = this.#database.choices
      if (isolation === "concurrent") {
        const key = keyOf(outbox, operation.key)
        const seen = this.#disk.records.get(key)
        await this.#database.lock(this, key, operation.lock)
        const isOld = this.#reads === "one-state" && this.#database.disk.records.get(key) !== seen
        if (isOld) throw new ConflictError("the record was changed by another transaction")
      }
    }
    return this.executeSync(outbox, operation)
  }

  executeSync(outbox: string, operation: StoreOperation): unknown {
    if (!this.isOpen) throw new Error("the transaction has ended")
    switch (operation.kind) {
      case "get": {
        const key = keyOf(outbox, operation.key)
        return this.#records.has(key) ? this.#records.get(key) : this.#disk.records.get(key)
      }
      case "put":
        return void this.#records.set(keyOf(outbox, operation.key), operation.record)
      case "delete":
        return void this.#records.set(keyOf(outbox, operation.key), undefined)
      case "enqueue": {
        const { id = this.#database.nextId++, bytes } = operation
        this.#messages.set(id, { id, bytes, outbox })
        return id
      }
      case "messages": {
        const { afterId, maxCount } = operation
        const above = this.#queue(outbox).filter(({ id }) => id > afterId)
        return above.slice(0, maxCount).map(({ id, bytes }) => ({ id, bytes }))
      }
      case "remove":
        for (const id of operation.ids) this.#messages.set(id, undefined)
        return undefined
      case "size": {
        const queue = this.#queue(outbox)
        const bytes = queue.reduce((sum, message) => sum + message.bytes.byteLength, 0)
        return { count: queue.length, bytes, lastId: queue.at(-1)?.id ?? -1 }
      }
      case "now":
        return this.#database.choices.now()
    }
  }

  get #disk(): Disk {
    const { disk, choices } = this.#database
    if (this.#reads === "committed" || choices.isolation === "serial") return disk
    this.#state ??= { records: new Map(disk.records), messages: new Map(disk.messages) }
    return this.#state
  }

  #queue(outbox: string): StoredMessage[] {
    let { messages } = this.#disk
    if (this.#messages.size > 0) apply(this.#messages, (messages = new Map(messages)))
    return [...messages.values()]
      .filter((message) => message.outbox === outbox)
      .sort((a, b) => a.id - b.id)
  }
}

/** A store on a database in memory. `transaction` is a {@link MemoryTransaction}. */
export function memoryStore(database: MemoryDatabase): OutboxStore {
  return {
    async transact<T>(outbox: string, program: () => StoreProgram<T>): Promise<T> {
      for (;;) {
        const transaction = await database.begin("one-state")
        try {
          const result = await runAsync(program(), (it) => transaction.execute(outbox, it))
          transaction.commit()
          return result
        } catch (error) {
          if (!(error instanceof ConflictError)) throw error
        } finally {
          transaction.rollback()
        }
      }
    },
    join<T>(outbox: string, transaction: unknown, program: () => StoreProgram<T>): T | Promise<T> {
      // What the test gave to append.
      const joined = transaction as MemoryTransaction
      return database.choices.isolation === "serial"
        ? runSync(program(), (it) => joined.executeSync(outbox, it))
        : runAsync(program(), (it) => joined.execute(outbox, it))
    },
  }
}

function apply<K, V>(changes: ReadonlyMap<K, V | undefined>, to: Map<K, V>): void {
  for (const [key, value] of changes) {
    if (value === undefined) to.delete(key)
    else to.set(key, value)
  }
}

function keyOf(outbox: string, key: string): string {
  return JSON.stringify([outbox, key])
}
