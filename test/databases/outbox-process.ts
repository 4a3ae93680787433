import { createRequire } from "node:module"
import pg from "pg"
import { postgresStore } from "../../src/outbox/index.ts"
import { importRows, openImpatientOutbox } from "../support/import-rows.ts"
import type { Database } from "./sqlite.ts"

/*
 * Programs with an outbox that may be killed at any time and started again. Arguments: what to do, the stream, where the database is.
 */
const [task = "", url = "", database = "", betterSqlite3 = "", rows = ""] = process.argv.slice(2)

function importWithBetterSqlite(): Promise<void> {
  const Class = createRequire(process.argv[1]!)(betterSqlite3) as new (file: string) => Database
  const db = new Class(database)
  return importRows(db, url, Number(rows), (run) => db.transaction(run)())
}

/** Delivers, until it is killed. */
async function relay(): Promise<void> {
  const pool = new pg.Pool({ connectionString: database, max: 2 })
  pool.on("error", () => undefined)
  await openImpatientOutbox(url, postgresStore(pool))
}

/** Appends numbers in transactions, of which every fourth is rolled back and repeated. */
async function append(): Promise<void> {
  const pool = new pg.Pool({ connectionString: database, max: 3 })
  const outbox = await openImpatientOutbox(url, postgresStore(pool))
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

const tasks: Record<string, () => Promise<void>> = {
  importRows: importWithBetterSqlite,
  relay,
  append,
}
tasks[task]!().catch((error: unknown) => {
  console.error(error)
  process.exit(1)
})
