import { sleep } from "../http/abort.ts"
import { badOption } from "../http/option-checks.ts"
import type { SqliteDatabase } from "../platform/sqlite-database.ts"
import {
  runSync,
  type OutboxStore,
  type StoreOperation,
  type StoreProgram,
} from "./outbox-store.ts"

// AUTOINCREMENT never gives an id twice. The triggers keep the totals of each queue, whatever version of this package writes it.
const SCHEMA = `
SAVEPOINT durable_outbox;
CREATE TABLE IF NOT EXISTS durable_outbox_records (
  outbox TEXT NOT NULL, key TEXT NOT NULL, json TEXT NOT NULL, bytes BLOB, PRIMARY KEY (outbox, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS durable_outbox_messages (
  id INTEGER PRIMARY KEY AUTOINCREMENT, outbox TEXT NOT NULL, size INTEGER NOT NULL, bytes BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS durable_outbox_queue ON durable_outbox_messages (outbox, id, size);
CREATE TABLE IF NOT EXISTS durable_outbox_totals (
  outbox TEXT PRIMARY KEY, count INTEGER NOT NULL, bytes INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO durable_outbox_totals
  SELECT outbox, count(*), sum(size) FROM durable_outbox_messages
  WHERE NOT EXISTS (SELECT 1 FROM durable_outbox_totals) GROUP BY outbox;
CREATE TRIGGER IF NOT EXISTS durable_outbox_added AFTER INSERT ON durable_outbox_messages BEGIN
  INSERT OR IGNORE INTO durable_outbox_totals VALUES (new.outbox, 0, 0);
  UPDATE durable_outbox_totals SET count = count + 1, bytes = bytes + new.size WHERE outbox = new.outbox;
END;
CREATE TRIGGER IF NOT EXISTS durable_outbox_removed AFTER DELETE ON durable_outbox_messages BEGIN
  UPDATE durable_outbox_totals SET count = count - 1, bytes = bytes - old.size WHERE outbox = old.outbox;
END;
RELEASE durable_outbox;
`

/** A lock that another connection holds is waited for in steps of this, in milliseconds, without blocking the event loop. */
const BUSY_WAIT_MS = 10
const MAX_BUSY_WAITS = 3_000

/**
 * Keeps outboxes in a SQLite database, in two tables of their own.
 *
 * `append(message, { transaction: db })` makes the message part of the transaction that is open on `db`: the transactional outbox.
 *
 * All else happens on a connection of the store's own to the same file, with `synchronous = FULL`. A database in memory has only
 * the caller's: nothing happens there while it is in a transaction.
 *
 * @param db - a `better-sqlite3` Database, a `node:sqlite` DatabaseSync, or a `bun:sqlite` Database
 * @throws DurableStreamError `BAD_REQUEST` if it is none; what the database throws if the tables cannot be made
 */
export function sqliteStore(db: SqliteDatabase): OutboxStore {
  if (!isDatabase(db))
    throw badOption("db", "a database of better-sqlite3, node:sqlite or bun:sqlite", db)
  prepareTables(db)
  const file = fileOf(db)
  let own: SqliteDatabase | undefined
  const executors = new WeakMap<SqliteDatabase, Executor>()
  const executorOn = (database: SqliteDatabase, outbox: string) => {
    const execute = executors.get(database) ?? makeExecutor(database)
    executors.set(database, execute)
    return (operation: StoreOperation) => execute(outbox, operation)
  }
  return {
    async transact<T>(outbox: string, program: () => StoreProgram<T>): Promise<T> {
      for (let waits = 0; ; waits++) {
        // Another outbox that shares the store can have closed it meanwhile.
        const connection = file === undefined ? db : (own ??= openOwn(db, file))
        try {
          if (connection !== db || !isInTransaction(db)) {
            return inTransaction(connection, () =>
              runSync(program(), executorOn(connection, outbox)),
            )
          }
        } catch (error) {
          if (!isBusy(error) || waits >= MAX_BUSY_WAITS) throw error
        }
        await sleep(BUSY_WAIT_MS)
      }
    },
    join<T>(outbox: string, transaction: unknown, program: () => StoreProgram<T>): T {
      if (!isDatabase(transaction) || !isInTransaction(transaction)) {
        throw badOption("transaction", "a connection with an open transaction", transaction)
      }
      return runSync(program(), executorOn(transaction, outbox))
    },
    close() {
      own?.close()
      own = undefined
    },
  }
}

type Executor = (outbox: string, operation: StoreOperation) => unknown

const RECORDS = "durable_outbox_records"
const MESSAGES = "durable_outbox_messages"
const TOTALS = "durable_outbox_totals"

function prepareTables(db: SqliteDatabase): void {
  // The last of them. Making what is there would wait for other connections.
  const made = db.prepare("SELECT 1 FROM sqlite_master WHERE name = 'durable_outbox_removed'").get()
  if (made !== undefined && made !== null) return
  try {
    db.exec(SCHEMA)
  } catch (error) {
    try {
      db.exec("ROLLBACK TO durable_outbox; RELEASE durable_outbox")
    } catch {
      // The database has rolled back, or the savepoint could not be made.
    }
    throw error
  }
}

function prepareAll(db: SqliteDatabase) {
  return {
    get: db.prepare(`SELECT json, bytes FROM ${RECORDS} WHERE outbox = ? AND key = ?`),
    put: db.prepare(`REPLACE INTO ${RECORDS} (outbox, key, json, bytes) VALUES (?, ?, ?, ?)`),
    drop: db.prepare(`DELETE FROM ${RECORDS} WHERE outbox = ? AND key = ?`),
    enqueue: db.prepare(
      `INSERT INTO ${MESSAGES} (id, outbox, size, bytes) VALUES (?, ?, ?, ?) RETURNING id`,
    ),
    messages: db.prepare(
      `SELECT id, bytes FROM ${MESSAGES} WHERE outbox = ? AND id > ? ORDER BY id LIMIT ?`,
    ),
    remove: db.prepare(`DELETE FROM ${MESSAGES} WHERE outbox = ? AND id = ?`),
    size: db.prepare(`SELECT count, bytes FROM ${TOTALS} WHERE outbox = ?`),
    lastId: db.prepare(`SELECT coalesce(max(id), -1) AS lastId FROM ${MESSAGES} WHERE outbox = ?`),
  }
}

function makeExecutor(db: SqliteDatabase): Executor {
  const { get, put, drop, enqueue, messages, remove, size, lastId } = prepareAll(db)
  return (outbox, operation) => {
    switch (operation.kind) {
      case "get": {
        // The table's own columns.
        const row = get.get(outbox, operation.key) as
          { json: string; bytes: Uint8Array | null } | null | undefined
        return row
          ? { json: row.json, bytes: row.bytes === null ? undefined : new Uint8Array(row.bytes) }
          : undefined
      }
      case "put":
        return void put.run(
          outbox,
          operation.key,
          operation.record.json,
          operation.record.bytes ?? null,
        )
      case "delete":
        return void drop.run(outbox, operation.key)
      case "enqueue": {
        const { id = null, bytes } = operation
        // What RETURNING gives.
        return (enqueue.get(id, outbox, bytes.byteLength, bytes) as { id: number }).id
      }
      case "messages": {
        // The table's own columns.
        const rows = messages.all(outbox, operation.afterId, operation.maxCount) as {
          id: number
          bytes: Uint8Array
        }[]
        return rows.map(({ id, bytes }) => ({ id, bytes: new Uint8Array(bytes) }))
      }
      case "remove":
        for (const id of operation.ids) remove.run(outbox, id)
        return undefined
      case "size":
        // The columns are those of the result.
        return {
          count: 0,
          bytes: 0,
          ...(size.get(outbox) as object | null),
          ...(lastId.get(outbox) as object),
        }
      case "now":
        return Date.now()
    }
  }
}

function inTransaction<T>(db: SqliteDatabase, run: () => T): T {
  db.exec("BEGIN IMMEDIATE")
  try {
    const result = run()
    db.exec("COMMIT")
    return result
  } catch (error) {
    if (isInTransaction(db)) db.exec("ROLLBACK")
    throw error
  }
}

/** The database's file; undefined if it is in memory, or does not say where it is. */
function fileOf(db: SqliteDatabase): string | undefined {
  // What the three packages call it, in this order: node:sqlite, better-sqlite3, bun:sqlite.
  const { location, name, filename } = db as {
    location?: unknown
    name?: unknown
    filename?: unknown
  }
  const file: unknown = typeof location === "function" ? location.call(db) : (name ?? filename)
  return typeof file === "string" && !/^$|:memory:|mode=memory/.test(file) ? file : undefined
}

function openOwn(db: SqliteDatabase, file: string): SqliteDatabase {
  // Each package's class opens a file.
  const Database = db.constructor as new (file: string) => SqliteDatabase
  const own = new Database(file)
  own.exec("PRAGMA busy_timeout = 0")
  own.exec("PRAGMA synchronous = FULL")
  return own
}

function isInTransaction(db: SqliteDatabase): boolean {
  // better-sqlite3 and Bun have the one, Node the other.
  const { inTransaction: open, isTransaction } = db as {
    inTransaction?: unknown
    isTransaction?: unknown
  }
  if (typeof open === "boolean") return open
  if (typeof isTransaction === "boolean") return isTransaction
  // Node 22 does not tell: a transaction in a transaction fails.
  try {
    db.exec("BEGIN")
  } catch {
    return true
  }
  db.exec("ROLLBACK")
  return false
}

function isDatabase(value: unknown): value is SqliteDatabase {
  // Any value may be asked for a property, but null and undefined.
  return typeof (value as Partial<SqliteDatabase> | null | undefined)?.prepare === "function"
}

/** Whether another connection holds the lock. */
function isBusy(error: unknown): boolean {
  // Any value may be asked for a property. better-sqlite3 and Bun have the name, Node the number with its variants above 8 bits.
  const { code, errcode } = Object(error) as { code?: unknown; errcode?: unknown }
  return String(code).startsWith("SQLITE_BUSY") || (Number(errcode) & 255) === 5
}
