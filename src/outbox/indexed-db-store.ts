import type { IDBPDatabase, IDBPTransaction } from "idb"
import { badOption } from "../http/option-checks.ts"
import { OutboxError } from "./outbox-error.ts"
import {
  runAsync,
  type OutboxStore,
  type StoredMessage,
  type StoreOperation,
  type StoreProgram,
} from "./outbox-store.ts"

const RECORDS = "records"
const MESSAGES = "messages"
const TOTALS = "totals"
/** 2 added the totals: code that does not keep them must not write. */
const FORMAT = 2

interface MessageRow extends StoredMessage {
  readonly outbox: string
}

/**
 * Keeps outboxes in a database of IndexedDB. Needs the package `idb`.
 *
 * A browser may evict the data of an origin that is short of space; `requestPersistence()` asks it not to.
 *
 * @param name - the database's name. It must contain the user: otherwise the next one who signs in would send what is left
 */
export function indexedDbStore(name: string): OutboxStore {
  // JavaScript callers can give anything.
  if (typeof (name as unknown) !== "string" || name === "")
    throw badOption("name", "the name of a database", name)
  const channelName = `durable-outbox ${name}`
  let opening: Promise<IDBPDatabase> | undefined
  let channel: BroadcastChannel | undefined
  const forget = () => (opening = undefined)
  const open = () => {
    opening ??= openDatabase(name, forget)
    opening.catch(forget)
    return opening
  }
  return {
    async transact<T>(outbox: string, program: () => StoreProgram<T>): Promise<T> {
      const db = await open()
      const stores = [RECORDS, MESSAGES, TOTALS]
      const transaction = db.transaction(stores, "readwrite", { durability: "strict" })
      // What a request fails with comes first.
      transaction.done.catch(() => undefined)
      const kinds = new Set<string>()
      const counter = new Counter(transaction, outbox)
      let result: T
      try {
        result = await runAsync(program(), (operation) => {
          kinds.add(operation.kind)
          return execute(transaction, outbox, operation, counter)
        })
        await counter.write()
      } catch (error) {
        abort(transaction)
        throw error
      }
      await transaction.done
      if (kinds.has("enqueue") && typeof BroadcastChannel !== "undefined") {
        channel ??= new BroadcastChannel(channelName)
        channel.postMessage(outbox)
      }
      return result
    },
    watch(outbox, notify) {
      if (typeof BroadcastChannel === "undefined") return () => undefined
      const listener = new BroadcastChannel(channelName)
      listener.onmessage = ({ data }) => {
        if (data === outbox) notify()
      }
      return () => listener.close()
    },
    async close() {
      channel?.close()
      channel = undefined
      const db = await opening?.catch(() => undefined)
      db?.close()
      opening = undefined
    },
  }
}

/**
 * Asks the browser not to evict this origin's data when it is short of space.
 *
 * @returns whether it will not; false on a platform without the request
 */
export async function requestPersistence(): Promise<boolean> {
  // Not every platform has it, whatever the library's type says.
  const { navigator } = globalThis as { navigator?: { storage?: Partial<StorageManager> } }
  return (await navigator?.storage?.persist?.()) ?? false
}

async function openDatabase(name: string, onEnd: () => void): Promise<IDBPDatabase> {
  const { openDB } = await import("idb").catch((cause: unknown) => {
    throw new OutboxError("indexedDbStore needs the package idb: npm install idb.", "BAD_REQUEST", {
      cause,
    })
  })
  try {
    return await openDB(name, FORMAT, {
      upgrade(db, from) {
        db.createObjectStore(TOTALS)
        if (from > 0) return
        db.createObjectStore(RECORDS)
        const messages = db.createObjectStore(MESSAGES, { keyPath: "id", autoIncrement: true })
        messages.createIndex("queue", ["outbox", "id"])
      },
      blocking(_current, _blocked, { target }) {
        onEnd()
        // Another tab deletes the database, or newer code upgrades it. The event's target is the connection.
        ;(target as IDBDatabase).close()
      },
      terminated: onEnd,
    })
  } catch (error) {
    // Any value may be asked for a property.
    if ((Object(error) as { name?: unknown }).name !== "VersionError") throw error
    const message = "The outbox was written by newer code. Update @durable-streams/client."
    throw new OutboxError(message, "BAD_REQUEST", { cause: error })
  }
}

type Transaction = IDBPTransaction<unknown, string[], "readwrite">

interface Totals {
  readonly count: number
  readonly bytes: number
}

/** A queue without totals, which older code has written, is counted in steps. */
const COUNTED_MESSAGES = 1_000

/** Counts an outbox's queue: its totals are stored beside it, so that no transaction has to read all of it. */
class Counter {
  readonly #transaction: Transaction
  readonly #outbox: string
  #totals: Totals | undefined
  #isChanged = false

  constructor(transaction: Transaction, outbox: string) {
    this.#transaction = transaction
    this.#outbox = outbox
  }

  /** The totals with this transaction's changes. To be read before the first of them. */
  async read(): Promise<Totals> {
    // Only this module writes it.
    this.#totals ??= (await this.#transaction.objectStore(TOTALS).get(this.#outbox)) as
      Totals | undefined
    return (this.#totals ??= await this.#countAll())
  }

  async add(count: number, bytes: number): Promise<void> {
    const totals = await this.read()
    this.#totals = { count: totals.count + count, bytes: totals.bytes + bytes }
    this.#isChanged = true
  }

  /** Stores the totals if they are new. */
  async write(): Promise<void> {
    if (this.#isChanged) await this.#transaction.objectStore(TOTALS).put(this.#totals, this.#outbox)
  }

  async #countAll(): Promise<Totals> {
    this.#isChanged = true
    const totals = { count: 0, bytes: 0 }
    let lastId = -1
    for (;;) {
      const rows = await readPage(this.#transaction, this.#outbox, lastId, COUNTED_MESSAGES)
      for (const { bytes } of rows) totals.bytes += bytes.byteLength
      totals.count += rows.length
      lastId = rows.at(-1)?.id ?? lastId
      if (rows.length < COUNTED_MESSAGES) return totals
    }
  }
}

async function execute(
  transaction: Transaction,
  outbox: string,
  operation: StoreOperation,
  counter: Counter,
): Promise<unknown> {
  const records = transaction.objectStore(RECORDS)
  const messages = transaction.objectStore(MESSAGES)
  switch (operation.kind) {
    case "get":
      return records.get([outbox, operation.key])
    case "put":
      await records.put(operation.record, [outbox, operation.key])
      return undefined
    case "delete":
      return records.delete([outbox, operation.key])
    case "enqueue": {
      const { id, bytes } = operation
      await counter.add(1, bytes.byteLength)
      return messages.add({ outbox, bytes, ...(id !== undefined && { id }) })
    }
    case "messages": {
      const rows = await readPage(transaction, outbox, operation.afterId, operation.maxCount)
      return rows.map(({ id, bytes }) => ({ id, bytes }))
    }
    case "remove":
      await counter.read()
      for (const id of operation.ids) {
        // Only this module writes it.
        const row = (await messages.get(id)) as MessageRow | undefined
        if (row?.outbox !== outbox) continue
        await counter.add(-1, -row.bytes.byteLength)
        await messages.delete(id)
      }
      return undefined
    case "size": {
      const last = await messages.index("queue").openKeyCursor(rangeOf(outbox), "prev")
      return { ...(await counter.read()), lastId: last?.primaryKey ?? -1 }
    }
    case "now":
      return Date.now()
  }
}

/** The first messages above an id. */
async function readPage(
  transaction: Transaction,
  outbox: string,
  afterId: number,
  count: number,
): Promise<MessageRow[]> {
  const queue = transaction.objectStore(MESSAGES).index("queue")
  // Only this module writes it.
  return (await queue.getAll(rangeOf(outbox, afterId), count)) as MessageRow[]
}

function rangeOf(outbox: string, afterId = -1): IDBKeyRange {
  return IDBKeyRange.bound([outbox, afterId], [outbox, Infinity], true)
}

function abort(transaction: Transaction): void {
  try {
    transaction.abort()
  } catch {
    // It has ended already.
  }
}
