import process from "node:process"
import {
  OffsetMismatchError,
  sqliteOffsets,
  type SqliteDatabase,
} from "@durable-streams/client/subscriptions"

/** Counts batches in the SQLite of the runtime, some of them twice and some that fail, and prints what was counted. */
const file = process.argv[2] ?? ""
// A name in a variable: no runtime has both modules.
const name = "Bun" in globalThis ? "bun:sqlite" : "node:sqlite"
const module = (await import(name)) as Record<string, new (file: string) => SqliteDatabase>
const Database = module["DatabaseSync"] ?? module["Database"]!

const connections = [new Database(file), new Database(file)]
connections[0]!.exec("CREATE TABLE counts (n TEXT)")
const workers = connections.map((db) => {
  const offsets = sqliteOffsets(db)
  const insert = db.prepare("INSERT INTO counts VALUES (?)")
  return { ...offsets, count: (n: number) => void insert.run(String(n)) }
})
const told: unknown[] = []
const context = (startOffset: string) => ({ path: "a", startOffset })
for (const { apply, count } of workers) {
  for (const n of [1, 2, 3]) {
    try {
      apply({ offset: String(n) }, context(String(n - 1)), () => count(n))
    } catch (error) {
      told.push(error instanceof OffsetMismatchError ? error.storedOffset : String(error))
    }
  }
}
const [first, second] = workers
for (const work of [
  () => {
    first?.count(4)
    throw new Error("failed")
  },
  () => {
    first?.count(5)
    return Promise.resolve()
  },
]) {
  try {
    await first?.apply({ offset: "4" }, context("3"), work)
  } catch (error) {
    told.push(String(error).slice(0, 30))
  }
}
told.push(second?.startOffset("a"), second?.startOffset("b") ?? "none")
const sum = connections[1]!.prepare("SELECT group_concat(n) AS counted FROM counts").get()
// The statement's own column.
told.push((sum as { counted: string }).counted)
process.stdout.write(JSON.stringify(told))
