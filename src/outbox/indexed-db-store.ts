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
const FORMAT = 1

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
      const transaction = db.transaction([RECORDS, MESSAGES], "readwrite", { durability: "strict" })
      // What a request fails with comes first.
      transaction.done.catch(() => undefined)
      const kinds = new Set<string>()
      let result: T
      try {
        result = await runAsync(program(), (operation) => {
          kinds.add(operation.kind)
          return execute(transaction, outbox, operation)
        })
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
      upgrade(db) {
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

/** Long queues are counted in steps. */
const COUNTED_MESSAGES = 1_000

async function execute(
  transaction: Transaction,
  outbox: string,
  operation: StoreOperation,
): Promise<unknown> {
  const records = transaction.objectStore(RECORDS)
  const messages = transaction.objectStore(MESSAGES)
  const page = async (afterId: number, count: number) => {
    const range = IDBKeyRange.bound([outbox, afterId], [outbox, Infinity], true)
    // Only this module writes it.
    return (await messages.index("queue").getAll(range, count)) as MessageRow[]
  }
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
      return messages.add({ outbox, bytes, ...(id !== undefined && { id }) })
    }
    case "messages":
      return (await page(operation.afterId, operation.maxCount)).map(({ id, bytes }) => ({
        id,
        bytes,
      }))
    case "remove":
      for (const id of operation.ids) await messages.delete(id)
      return undefined
    case "size": {
      const size = { count: 0, bytes: 0, lastId: -1 }
      for (;;) {
        const rows = await page(size.lastId, COUNTED_MESSAGES)
        for (const { bytes } of rows) size.bytes += bytes.byteLength
        size.count += rows.length
        size.lastId = rows.at(-1)?.id ?? size.lastId
        if (rows.length < COUNTED_MESSAGES) return size
      }
    }
    case "now":
      return Date.now()
  }
}

function abort(transaction: Transaction): void {
  try {
    transaction.abort()
  } catch {
    // It has ended already.
  }
}
