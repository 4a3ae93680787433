/**
 * One process of a fleet: `tsx examples/fleet/worker.ts ROOT DATABASE`. Start any number, and kill any. It counts orders in SQLite,
 * each exactly once. Needs Node.js 22.13 or newer for node:sqlite; better-sqlite3 and bun:sqlite do as well.
 */
import { DatabaseSync } from "node:sqlite"
import { runWorker, sqliteOffsets, Subscriptions } from "@durable-streams/client/subscriptions"
import { SUBSCRIPTIONS, type Order } from "./order.ts"

const [root = "", file = ""] = process.argv.slice(2)
const db = new DatabaseSync(file)
db.exec("PRAGMA journal_mode = WAL; PRAGMA busy_timeout = 10000")
db.exec("CREATE TABLE IF NOT EXISTS sold (product TEXT PRIMARY KEY, quantity INTEGER NOT NULL)")
const add = db.prepare(
  "INSERT INTO sold VALUES (?, ?) ON CONFLICT (product) DO UPDATE SET quantity = quantity + excluded.quantity",
)
const offsets = sqliteOffsets(db)

const subscriptions = new Subscriptions({ root })
const workers = SUBSCRIPTIONS.map((id) =>
  runWorker<Order>(subscriptions, id, {
    worker: `fleet-${process.pid}`,
    startOffset: offsets.startOffset,
    onBatch(batch, context) {
      // One transaction: what the batch means, and the offset behind it.
      offsets.apply(batch, context, () => {
        for (const { product, quantity } of batch.items) add.run(product, quantity)
      })
    },
    onError: (error) => console.error(`worker ${process.pid}:`, String(error)),
  }),
)
process.once("SIGTERM", () => {
  for (const worker of workers) void worker.stop()
})
await Promise.all(workers.map(({ done }) => done))
db.close()
