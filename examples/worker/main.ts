/**
 * Starts a stream of orders and a worker that tails it, and kills the worker with SIGKILL again and again:
 * `npm run example:worker`. In the end every order was counted exactly once.
 */
import { spawn, type ChildProcess } from "node:child_process"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { DurableStream, IdempotentProducer } from "@durable-streams/client"
import { DurableStreamTestServer } from "@durable-streams/server"
import { loadCheckpoint } from "./checkpoint.ts"
import type { Order } from "./order.ts"

const PRODUCTS = ["tea", "bread", "honey"]
const ORDERS = 1_000
const KILLS = 5

const server = new DurableStreamTestServer({ port: 0 })
const url = `${await server.start()}/orders`
const folder = await mkdtemp(join(tmpdir(), "orders-"))
const checkpointFile = join(folder, "checkpoint.json")
const reportFile = join(folder, "reported.txt")

const orders = await DurableStream.create({ url, contentType: "application/json" })
const producer = new IdempotentProducer(orders, "shop")
const shop = (async () => {
  for (let id = 0; id < ORDERS; id++) {
    const product = PRODUCTS[id % PRODUCTS.length] ?? "tea"
    producer.append({ id, product, quantity: 1 + (id % 4) } satisfies Order)
    await sleep(4)
  }
  await producer.close()
})()

function startWorker(): ChildProcess {
  const args = [...process.execArgv, join(import.meta.dirname, "worker.ts")]
  return spawn(process.execPath, [...args, url, checkpointFile, reportFile], { stdio: "inherit" })
}

for (let kill = 1; kill <= KILLS; kill++) {
  const before = (await loadCheckpoint(checkpointFile)).orders
  const worker = startWorker()
  while ((await loadCheckpoint(checkpointFile)).orders < before + 60) await sleep(5)
  await sleep(Math.random() * 20)
  worker.kill("SIGKILL")
  const { orders: counted, offset } = await loadCheckpoint(checkpointFile)
  console.log(
    `Killed the worker (${kill} of ${KILLS}) after ${counted} orders, at offset ${offset}`,
  )
}
const worker = startWorker()
await new Promise((resolve) => worker.once("exit", resolve))
await shop

const { orders: counted, quantities } = await loadCheckpoint(checkpointFile)
const reported = (await readFile(reportFile, "utf8")).trim().split("\n")
console.log(`Counted ${counted} of ${ORDERS} orders, each once:`, quantities)
console.log(`Reported ${new Set(reported).size} orders, ${reported.length - ORDERS} of them again`)
await server.stop()
await rm(folder, { recursive: true })
if (counted !== ORDERS) process.exitCode = 1
