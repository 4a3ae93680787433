/**
 * Starts a server, a shop that writes orders, and a fleet of three workers, and kills one of them with SIGKILL again and again:
 * `npm run example:fleet` (Node.js 22.13 or newer). In the end SQLite has counted every order exactly once.
 */
import { spawn, type ChildProcess } from "node:child_process"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { setTimeout as sleep } from "node:timers/promises"
import { DurableStream } from "@durable-streams/client"
import { Subscriptions } from "@durable-streams/client/subscriptions"
import { DurableStreamTestServer } from "@durable-streams/server"
import { SUBSCRIPTIONS, type Order } from "./order.ts"

const PRODUCTS = ["tea", "bread", "honey"]
const WORKERS = 3
const KILLS = 5
const ORDERS_A_ROUND = 40

const server = new DurableStreamTestServer({ port: 0, webhooks: true })
const root = `${await server.start()}/v1/stream`
const folder = await mkdtemp(join(tmpdir(), "fleet-"))
const file = join(folder, "sold.db")
const contentType = "application/json"

await DurableStream.create({ url: `${root}/wakes`, contentType })
const subscriptions = new Subscriptions({ root })
for (const id of SUBSCRIPTIONS) {
  // A short lease, so that the work of a killed worker is taken over soon.
  const pattern = `${id}/*`
  await subscriptions.create(id, {
    type: "pull-wake",
    pattern,
    wakeStream: "wakes",
    leaseTtlMs: 2_000,
  })
}

const written = new Map<string, number>()
async function writeOrders(round: number): Promise<void> {
  for (let n = 0; n < ORDERS_A_ROUND; n++) {
    const product = PRODUCTS[n % PRODUCTS.length] ?? "tea"
    const order: Order = { id: `${round}-${n}`, product, quantity: 1 + (n % 4) }
    const shop = SUBSCRIPTIONS[n % SUBSCRIPTIONS.length] ?? "shop-0"
    const url = `${root}/${shop}/day-${round}`
    await (await DurableStream.create({ url, contentType })).append(order)
    written.set(product, (written.get(product) ?? 0) + order.quantity)
  }
}

function startWorker(): ChildProcess {
  const args = [...process.execArgv, join(import.meta.dirname, "worker.ts"), root, file]
  return spawn(process.execPath, args, { stdio: "inherit" })
}

const workers = Array.from({ length: WORKERS }, startWorker)
for (let kill = 0; kill < KILLS; kill++) {
  await writeOrders(kill)
  await sleep(Math.random() * 500)
  const index = kill % WORKERS
  workers[index]?.kill("SIGKILL")
  workers[index] = startWorker()
  console.log(`Killed a worker (${kill + 1} of ${KILLS})`)
}

const db = new DatabaseSync(file)
db.exec(
  "PRAGMA busy_timeout = 10000; CREATE TABLE IF NOT EXISTS sold (product TEXT PRIMARY KEY, quantity INTEGER NOT NULL)",
)
const sold = () =>
  Object.fromEntries(
    db
      .prepare("SELECT product, quantity FROM sold")
      .all()
      .map((row) => [row["product"], row["quantity"]]),
  )
const total = (counts: Record<string, unknown>) =>
  Object.values(counts).reduce((sum: number, count) => sum + Number(count), 0)
while (total(sold()) < total(Object.fromEntries(written))) await sleep(100)
// What would be counted twice is counted within a lease.
await sleep(3_000)
console.log("Written:", Object.fromEntries(written))
console.log("Counted:", sold())

for (const worker of workers) worker.kill("SIGTERM")
const running = workers.filter(({ exitCode }) => exitCode === null)
await Promise.all(running.map((worker) => new Promise((resolve) => worker.once("exit", resolve))))
db.close()
await server.stop()
await rm(folder, { recursive: true })
