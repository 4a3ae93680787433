import process from "node:process"
import { importRows } from "../support/import-rows.ts"
import { openSqlite } from "./open-sqlite.ts"

const [url = "", file = "", rows = ""] = process.argv.slice(2)
const db = await openSqlite(file)
db.exec("PRAGMA journal_mode = WAL")
await importRows(db, url, Number(rows), (run) => {
  db.exec("BEGIN IMMEDIATE")
  run()
  db.exec("COMMIT")
})
