/** A record of a store: JSON, and bytes beside it. */
export interface StoredRecord {
  readonly json: string
  readonly bytes?: Uint8Array | undefined
}

/** A message that waits, with the id under which the store keeps it. Ids are in the order of the queue. */
export interface StoredMessage {
  readonly id: number
  readonly bytes: Uint8Array
}

/**
 * One step of a transaction. A store executes the steps of a {@link StoreProgram} one after another, each with the result of the
 * one before; all of them are committed together, or none.
 *
 * - `get`: the record of a key, or undefined. `lock: "update"` makes other transactions wait that lock the same key, also if it has no
 *   record yet; `"share"` only those that lock it for an update.
 * - `put`, `delete`: stores or deletes the record of a key.
 * - `enqueue`: adds a message behind all others and returns its id; with an `id`, puts back the one that had it.
 * - `messages`: the first messages above an id, in order: committed ones and this transaction's.
 * - `remove`: removes messages by their ids, which no other message ever gets.
 * - `size`: how many messages there are, their bytes, and the id of the last one (-1 if there is none).
 * - `now`: the store's clock in Unix milliseconds. All openers of a store share it.
 */
export type StoreOperation =
  | { readonly kind: "get"; readonly key: string; readonly lock?: "share" | "update" }
  | { readonly kind: "put"; readonly key: string; readonly record: StoredRecord }
  | { readonly kind: "delete"; readonly key: string }
  | { readonly kind: "enqueue"; readonly bytes: Uint8Array; readonly id?: number }
  | { readonly kind: "messages"; readonly afterId: number; readonly maxCount: number }
  | { readonly kind: "remove"; readonly ids: readonly number[] }
  | { readonly kind: "size" }
  | { readonly kind: "now" }

/** What a store returns for each operation. */
export interface OperationResults {
  get: StoredRecord | undefined
  put: undefined
  delete: undefined
  enqueue: number
  messages: StoredMessage[]
  remove: undefined
  size: { readonly count: number; readonly bytes: number; readonly lastId: number }
  now: number
}

/** A transaction as a generator: yields operations, gets their results, returns what the transaction is for. */
export type StoreProgram<T> = Generator<StoreOperation, T, unknown>

/**
 * Where an outbox keeps its messages. `testOutboxStore` checks an implementation of your own.
 */
export interface OutboxStore {
  /**
   * Runs a program in one transaction and resolves once it is committed and on disk: the machine can lose its power then. The
   * transaction sees one state of the store, and what it has changed itself.
   *
   * @param outbox - the outbox's name. Outboxes of one store do not see each other's records
   * @param program - called again if the transaction has to be repeated. What it throws rolls back
   * @throws what the program threw, or the store's error; with the property `indeterminate: true` if the transaction may have been
   *   committed
   */
  transact<T>(outbox: string, program: () => StoreProgram<T>): Promise<T>
  /**
   * Runs a program as part of a transaction of the caller, who commits or rolls back. If the database is synchronous, the program has
   * run when this returns. Missing if the store cannot do that.
   *
   * @param transaction - what `append` was given: the caller's connection
   */
  join?<T>(outbox: string, transaction: unknown, program: () => StoreProgram<T>): T | Promise<T>
  /**
   * Calls back if another opener may have queued messages. Missing if the store cannot tell: the outbox polls anyway.
   *
   * @returns a function that ends the watch
   */
  watch?(outbox: string, notify: () => void): () => void
  /**
   * Releases what the store has opened; not the caller's connection. Called when an outbox ends; another one may be open. What it throws
   * is ignored.
   */
  close?(): void | Promise<void>
}

/** Does one operation. For programs: `const record = yield* operate({ kind: "get", key })`. */
export function* operate<TOperation extends StoreOperation>(
  operation: TOperation,
): StoreProgram<OperationResults[TOperation["kind"]]> {
  // A store gives each operation its result.
  return (yield operation) as OperationResults[TOperation["kind"]]
}

/** Runs a program on a synchronous database, inside a transaction that the caller began. */
export function runSync<T>(
  program: StoreProgram<T>,
  execute: (operation: StoreOperation) => unknown,
): T {
  let step = program.next()
  while (!step.done) step = program.next(execute(step.value))
  return step.value
}

/** Runs a program on an asynchronous database, inside a transaction that the caller began. */
export async function runAsync<T>(
  program: StoreProgram<T>,
  execute: (operation: StoreOperation) => Promise<unknown>,
): Promise<T> {
  let step = program.next()
  while (!step.done) step = program.next(await execute(step.value))
  return step.value
}
