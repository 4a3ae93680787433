import { createRequire } from "node:module"
import pg from "pg"
import { DurableStream } from "../../src/index.ts"
import { openOutbox, postgresStore, sqliteStore } from "../../src/outbox/index.ts"
import type { Database } from "./sqlite.ts"

/*
 * Programs with an outbox that may be killed at any time and started again. Arguments: what to do, the stream, where the database is.
 */
const [task = "", url = "", database = "", betterSqlite3 = ""] = process.argv.slice(2)

const stream = new DurableStream({
  url,
  contentType: "application/json",
  backoffOptions: { initialDelay: 1, maxDelay: 100 },
  warnOnRetry: false,
})
const options = { maxBatchItems: 20, pollIntervalMs: 50 }

/** Imports the rows of a table: each is sent with the transaction that marks it as imported. */
async function importRows(): Promise<void> {
  const Class = createRequire(process.argv[1]!)(betterSqlite3) as new (file: string) => Database
  const db = new Class(database)
  const outbox = await openOutbox(stream, { ...options, store: sqliteStore(db) })
  const select = db.prepare("SELECT id FROM rows WHERE imported = 0 ORDER BY id LIMIT 5")
  const update = db.prepare("UPDATE rows SET imported = 1 WHERE id = ?")
  for (let count = Infinity; count > 0;) {
    db.transaction(() => {
      const rows = select.all() as { id: number }[]
      for (const { id } of rows) {
        update.run(id)
        void outbox.append({ id }, { transaction: db })
      }
      count = rows.length
    })()
    // Delivery goes on meanwhile.
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  await outbox.detach()
}

/** Delivers, until it is killed. */
async function relay(): Promise<void> {
  const pool = new pg.Pool({ connectionString: database, max: 2 })
  pool.on("error", () => undefined)
  await openOutbox(stream, { ...options, store: postgresStore(pool) })
}

/** Appends numbers in transactions, of which every fourth is rolled back and repeated. */
async function append(): Promise<void> {
  const pool = new pg.Pool({ connectionString: database, max: 3 })
  const outbox = await openOutbox(stream, { ...options, store: postgresStore(pool) })
  const client = await pool.connect()
  for (let n = 0, tries = 0; n < 300; tries++) {
    await client.query("BEGIN")
    for (let more = 0; more < 3; more++)
      await outbox.append({ n: n + more }, { transaction: client })
    const isKept = tries % 4 !== 3
    await client.query(isKept ? "COMMIT" : "ROLLBACK")
    if (isKept) n += 3
  }
  client.release()
  await outbox.detach()
  await pool.end()
}

const tasks: Record<string, () => Promise<void>> = { importRows, relay, append }
tasks[task]!().catch((error: unknown) => {
  console.error(error)
  process.exit(1)
})
