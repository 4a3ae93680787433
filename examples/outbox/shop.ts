/** A shop that takes orders: `tsx examples/outbox/shop.ts STREAM DATABASE`. Kill it at any time, and start it again. */
import { DatabaseSync } from "node:sqlite"
import { setTimeout as sleep } from "node:timers/promises"
import { DurableStream } from "@durable-streams/client"
import { openOutbox, sqliteStore } from "@durable-streams/client/outbox"

const ORDERS = 300

const [url = "", file = ""] = process.argv.slice(2)
const db = new DatabaseSync(file)
db.exec("PRAGMA busy_timeout = 10000")
const insert = db.prepare("INSERT INTO orders DEFAULT VALUES")
const count = db.prepare("SELECT count(*) AS count FROM orders")
const last = db.prepare("SELECT max(id) AS id FROM orders")

const stream = new DurableStream({ url, contentType: "application/json" })
await using outbox = await openOutbox(stream, { store: sqliteStore(db) })

while (Number(count.get()?.["count"]) < ORDERS) {
  // The row and its message: both, or neither.
  db.exec("BEGIN IMMEDIATE")
  insert.run()
  void outbox.append({ id: last.get()?.["id"] }, { transaction: db })
  db.exec("COMMIT")
  await sleep(5)
}
await outbox.flush()
