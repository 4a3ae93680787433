/**
 * The transactional outbox with SQLite: `npm run example:outbox` (Node.js 22.16 or newer). A shop takes orders, each with its message in
 * one transaction, and is killed with SIGKILL again and again. In the end the stream has every order that the database has, once.
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { DurableStream, stream } from "@durable-streams/client"
import { DurableStreamTestServer } from "@durable-streams/server"

const KILLS = 5

const server = new DurableStreamTestServer({ port: 0 })
const url = `${await server.start()}/orders`
await DurableStream.create({ url, contentType: "application/json" })
const folder = await mkdtemp(join(tmpdir(), "outbox-"))
const file = join(folder, "shop.db")
const db = new DatabaseSync(file)
db.exec("PRAGMA journal_mode = WAL")
db.exec("CREATE TABLE orders (id INTEGER PRIMARY KEY)")

for (let life = 0; life <= KILLS; life++) {
  const args = [...process.execArgv, join(import.meta.dirname, "shop.ts"), url, file]
  const shop = spawn(process.execPath, args, { stdio: "inherit" })
  const exit = once(shop, "exit")
  if (life < KILLS) setTimeout(() => shop.kill("SIGKILL"), 800 + Math.random() * 800)
  const [, signal] = await exit
  const rows = db.prepare("SELECT count(*) AS count FROM orders").all()
  console.log(
    `The shop ${signal === null ? "ended" : "was killed"}: ${String(rows[0]?.["count"])} orders so far.`,
  )
}

const orders = db.prepare("SELECT id FROM orders ORDER BY id").all()
const messages = await (await stream<{ id: number }>({ url, live: false })).json()
const isExact =
  JSON.stringify(messages.map(({ id }) => id)) ===
  JSON.stringify(orders.map((order) => order["id"]))
console.log(
  `${orders.length} orders, ${messages.length} messages: ${isExact ? "each once, in order" : "WRONG"}`,
)
process.exitCode = isExact ? 0 : 1
db.close()
await server.stop()
await rm(folder, { recursive: true })
