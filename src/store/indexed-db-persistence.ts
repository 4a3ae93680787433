import { mayReplace, type StreamPersistence } from "./stream-persistence.ts"

const STORE = "view"
const KEY = "current"

/**
 * Stores a view in a database of its own in IndexedDB, for views that are too large for `localStorage`. What a page begins to
 * save while it goes away may be lost; it is read again then.
 *
 * @param name - the database's name; must contain the user: the next one who signs in with this browser would see the view
 *   otherwise
 */
export function indexedDbPersistence(name: string): StreamPersistence {
  let opened: Promise<IDBDatabase> | undefined
  const forget = () => {
    opened = undefined
  }
  const begin = async (mode: IDBTransactionMode) => {
    opened ??= openDatabase(name, forget)
    const database = await opened.catch((error: unknown) => {
      forget()
      throw error
    })
    return database.transaction(STORE, mode).objectStore(STORE)
  }
  return {
    id: `indexedDB:${name}`,
    async load() {
      const stored = (await begin("readonly")).get(KEY)
      await completion(stored.transaction)
      // Whatever is there: it is checked by the caller.
      return stored.result as unknown
    },
    async save(record) {
      const store = await begin("readwrite")
      const stored = store.get(KEY)
      stored.onsuccess = () => {
        if (mayReplace(stored.result, record)) store.put(record, KEY)
      }
      await completion(store.transaction)
    },
    async clear() {
      const store = await begin("readwrite")
      store.delete(KEY)
      await completion(store.transaction)
    },
  }
}

function openDatabase(name: string, onClose: () => void): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(name, 1)
    request.onupgradeneeded = () => request.result.createObjectStore(STORE)
    request.onerror = () => {
      reject(request.error ?? new Error(`${name} cannot be opened`))
    }
    request.onsuccess = () => {
      const database = request.result
      // Another tab deletes the database, which an open connection would block.
      database.onversionchange = () => {
        database.close()
        onClose()
      }
      database.onclose = onClose
      resolve(database)
    }
  })
}

function completion(transaction: IDBTransaction | null): Promise<void> {
  return new Promise((resolve, reject) => {
    if (transaction === null) {
      resolve()
      return
    }
    transaction.oncomplete = () => {
      resolve()
    }
    // An error of a request aborts its transaction.
    transaction.onabort = () => {
      reject(transaction.error ?? new Error("aborted"))
    }
  })
}
