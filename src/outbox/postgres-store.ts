import { sleep } from "../http/abort.ts"
import { badOption } from "../http/option-checks.ts"
import {
  runAsync,
  type OutboxStore,
  type StoreOperation,
  type StoreProgram,
} from "./outbox-store.ts"

/** What a store needs of a `pg` client. */
export interface PostgresClient {
  query(sql: string, values?: unknown[]): Promise<{ rows: Record<string, unknown>[] }>
  on(event: "notification", listener: (message: { payload?: string | undefined }) => void): unknown
  on(event: "error", listener: (error: Error) => void): unknown
  removeListener(
    event: "notification",
    listener: (message: { payload?: string | undefined }) => void,
  ): unknown
  removeListener(event: "error", listener: (error: Error) => void): unknown
}

/** What a store needs of a `pg` Pool. */
export interface PostgresPool {
  connect(): Promise<PostgresClient & { release(error?: boolean): void }>
}

/** The options of {@link postgresStore}. */
export interface PostgresStoreOptions {
  /**
   * A connected client that is used for nothing else: it hears of messages as soon as their transaction is committed. Without it, or
   * once its connection is lost, the outbox polls. Give one to every process, or to none: what a process without one appends is not
   * announced.
   */
  notifyClient?: PostgresClient | undefined
}

const SCHEMA = `
CREATE TABLE IF NOT EXISTS durable_outbox_records (
  outbox text NOT NULL, key text NOT NULL, json text NOT NULL, bytes bytea, PRIMARY KEY (outbox, key)
);
CREATE TABLE IF NOT EXISTS durable_outbox_messages (
  id bigserial PRIMARY KEY, outbox text NOT NULL, bytes bytea NOT NULL
);
CREATE INDEX IF NOT EXISTS durable_outbox_queue ON durable_outbox_messages (outbox, id);
`

const CHANNEL = "durable_outbox"
const MAX_REPEATS = 50

/**
 * Keeps outboxes in PostgreSQL, in two tables of their own. Any number of processes may open one outbox: its row is locked while a
 * batch is sealed or acknowledged, and never during a request.
 *
 * `append(message, { transaction: client })` makes the message part of the client's transaction. Messages of one transaction are
 * delivered in the order of `append`; those of concurrent transactions in the order in which they are sealed.
 *
 * @param pool - a `pg` Pool
 * @throws DurableStreamError `BAD_REQUEST` that names the option
 */
export function postgresStore(pool: PostgresPool, options: PostgresStoreOptions = {}): OutboxStore {
  // JavaScript callers can give anything.
  if (typeof (pool as Partial<PostgresPool> | undefined)?.connect !== "function")
    throw badOption("pool", "a Pool of pg", pool)
  const { notifyClient } = options
  if (notifyClient !== undefined && !isClient(notifyClient))
    throw badOption("notifyClient", "a Client of pg", notifyClient)
  const isAnnouncing = notifyClient !== undefined
  let isPrepared = false
  return {
    async transact<T>(outbox: string, program: () => StoreProgram<T>): Promise<T> {
      for (let repeats = 0; ; repeats++) {
        const client = await pool.connect()
        let isLost = false
        const onLost = () => (isLost = true)
        // A connection that is lost between two queries would end the process.
        client.on("error", onLost)
        try {
          if (!isPrepared) await client.query(SCHEMA)
          isPrepared = true
          const run = () =>
            runAsync(program(), (operation) => execute(client, outbox, operation, isAnnouncing))
          return await inTransaction(client, run, onLost)
        } catch (error) {
          if (!isRepeatable(error) || repeats >= MAX_REPEATS) throw error
        } finally {
          client.removeListener("error", onLost)
          client.release(isLost)
        }
        await sleep(Math.random() * 20)
      }
    },
    join<T>(outbox: string, transaction: unknown, program: () => StoreProgram<T>): Promise<T> {
      if (!isClient(transaction))
        throw badOption("transaction", "a pg client with an open transaction", transaction)
      return runAsync(program(), (operation) =>
        execute(transaction, outbox, operation, isAnnouncing),
      )
    },
    watch(outbox, notify) {
      if (notifyClient === undefined) return () => undefined
      const onNotification = ({ payload }: { payload?: string | undefined }) => {
        if (payload === outbox) notify()
      }
      notifyClient.on("notification", onNotification)
      // Polling goes on without it.
      notifyClient.query(`LISTEN ${CHANNEL}`).catch(() => undefined)
      return () => notifyClient.removeListener("notification", onNotification)
    },
  }
}

async function inTransaction<T>(
  client: PostgresClient,
  run: () => Promise<T>,
  onLost: () => void,
): Promise<T> {
  // A batch is read in steps: each must see the same queue, or the end of another transaction could be sealed without its beginning.
  await client.query("BEGIN ISOLATION LEVEL REPEATABLE READ")
  let result: T
  try {
    await client.query("SET LOCAL synchronous_commit = on")
    result = await run()
  } catch (error) {
    // A connection that is lost has no transaction any more.
    await client.query("ROLLBACK").catch(onLost)
    throw error
  }
  try {
    await client.query("COMMIT")
  } catch (error) {
    onLost()
    // The server says so if it has not committed, unless it was about to end.
    const isUnknown = /^$|^(08|57|XX)/.test(sqlStateOf(error))
    // What pg throws is an Error.
    throw isUnknown ? Object.assign(error as Error, { indeterminate: true }) : error
  }
  return result
}

const SQL = {
  get: "SELECT json, bytes FROM durable_outbox_records WHERE outbox = $1 AND key = $2",
  // A row to lock: of two transactions that make it, one waits for the other.
  reserve:
    "INSERT INTO durable_outbox_records (outbox, key, json) VALUES ($1, $2, '') ON CONFLICT DO NOTHING",
  put:
    "INSERT INTO durable_outbox_records (outbox, key, json, bytes) VALUES ($1, $2, $3, $4) " +
    "ON CONFLICT (outbox, key) DO UPDATE SET json = excluded.json, bytes = excluded.bytes",
  delete: "DELETE FROM durable_outbox_records WHERE outbox = $1 AND key = $2",
  enqueue: "INSERT INTO durable_outbox_messages (outbox, bytes) VALUES ($1, $2) RETURNING id",
  restore: "INSERT INTO durable_outbox_messages (outbox, bytes, id) VALUES ($1, $2, $3)",
  messages:
    "SELECT id, bytes FROM durable_outbox_messages WHERE outbox = $1 AND id > $2 ORDER BY id LIMIT $3",
  remove: "DELETE FROM durable_outbox_messages WHERE outbox = $1 AND id = ANY($2)",
  size:
    "SELECT count(*) AS count, coalesce(sum(length(bytes)), 0) AS bytes, coalesce(max(id), -1) AS last " +
    "FROM durable_outbox_messages WHERE outbox = $1",
  now: "SELECT extract(epoch FROM clock_timestamp()) * 1000 AS now",
}

type Query = (sql: string, ...values: unknown[]) => Promise<Record<string, unknown>[]>

async function execute(
  client: PostgresClient,
  outbox: string,
  operation: StoreOperation,
  isAnnouncing: boolean,
): Promise<unknown> {
  const query: Query = async (sql, ...values) => (await client.query(sql, values)).rows
  switch (operation.kind) {
    case "get":
      return readRecord(query, outbox, operation)
    case "put": {
      const { json, bytes = null } = operation.record
      await query(SQL.put, outbox, operation.key, json, bytes)
      return undefined
    }
    case "delete":
      await query(SQL.delete, outbox, operation.key)
      return undefined
    case "enqueue": {
      const { id, bytes } = operation
      if (id !== undefined) {
        await query(SQL.restore, outbox, bytes, id)
        return id
      }
      const [row] = await query(SQL.enqueue, outbox, bytes)
      // It is delivered if the transaction is committed.
      if (isAnnouncing) await query("SELECT pg_notify($1, $2)", CHANNEL, outbox)
      return Number(row?.["id"])
    }
    case "messages": {
      const rows = await query(SQL.messages, outbox, operation.afterId, operation.maxCount)
      return rows.map((row) => ({ id: Number(row["id"]), bytes: bytesOf(row) }))
    }
    case "remove":
      await query(SQL.remove, outbox, operation.ids)
      return undefined
    case "size": {
      const [{ count, bytes, last } = {}] = await query(SQL.size, outbox)
      return { count: Number(count), bytes: Number(bytes), lastId: Number(last) }
    }
    case "now": {
      const [row] = await query(SQL.now)
      return Number(row?.["now"])
    }
  }
}

async function readRecord(
  query: Query,
  outbox: string,
  { key, lock }: Extract<StoreOperation, { kind: "get" }>,
): Promise<unknown> {
  const locking = lock === undefined ? "" : lock === "update" ? " FOR UPDATE" : " FOR SHARE"
  const select = () => query(SQL.get + locking, outbox, key)
  let [row] = await select()
  if (row === undefined && lock === "update") {
    await query(SQL.reserve, outbox, key)
    ;[row] = await select()
  }
  if (row === undefined || row["json"] === "") return undefined
  return { json: row["json"], bytes: row["bytes"] === null ? undefined : bytesOf(row) }
}

function bytesOf(row: Record<string, unknown>): Uint8Array {
  // What pg makes of bytea: a Buffer, which is copied to be an array like any other.
  return new Uint8Array(row["bytes"] as Uint8Array)
}

function isClient(value: unknown): value is PostgresClient {
  // Any value may be asked for a property, but null and undefined.
  return typeof (value as Partial<PostgresClient> | null | undefined)?.query === "function"
}

/** The code that the server gave an error; empty if the error is not the server's. */
function sqlStateOf(error: unknown): string {
  // Any value may be asked for a property.
  const { code } = Object(error) as { code?: unknown }
  return typeof code === "string" && /^[0-9A-Z]{5}$/.test(code) ? code : ""
}

/** Two transactions that change the same record, lock in another order, or make the tables at the same time. */
function isRepeatable(error: unknown): boolean {
  return ["40001", "40P01", "23505", "42P07"].includes(sqlStateOf(error))
}
