import { createRequire } from "node:module"
import { createStreamStore, sqlitePersistence, type SqliteDatabase } from "../../src/store/index.ts"

/**
 * A program with a view of a stream of numbers, stored in SQLite, that may be killed at any time. It ends at the end of the stream.
 * Arguments: url, database file, folder of better-sqlite3.
 */
const [url = "", file = "", folder = ""] = process.argv.slice(2)

// The package's own export.
const Database = createRequire(import.meta.url)(folder) as new (file: string) => SqliteDatabase
const store = createStreamStore({
  url,
  initial: [] as number[],
  reduce: (numbers, n: number) => [...numbers, n],
  persist: sqlitePersistence(new Database(file), "numbers"),
  saveIntervalMs: 1,
  live: "long-poll",
  warnOnHttp: false,
})
store.subscribe((numbers) => {
  // The parent sees how far it is.
  process.stdout.write(`${store.status} ${numbers.length}\n`)
  if (store.status === "closed") void store.destroy()
})
