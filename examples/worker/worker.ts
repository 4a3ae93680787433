/**
 * Tails a stream of orders and adds them up. It can be killed at any moment, by `kill -9` too: started again, it goes on
 * behind its checkpoint. Each order is in the sums exactly once, and is reported at least once.
 *
 * Usage: worker.ts <url of the stream> <checkpoint file> <report file>
 */
import { appendFile } from "node:fs/promises"
import { stream } from "@durable-streams/client"
import { afterOrders, loadCheckpoint, saveCheckpoint } from "./checkpoint.ts"
import type { Order } from "./order.ts"

const [url = "", checkpointFile = "", reportFile = ""] = process.argv.slice(2)

let checkpoint = await loadCheckpoint(checkpointFile)
const response = await stream<Order>({ url, offset: checkpoint.offset })
for await (const batch of response.jsonBatches()) {
  // What leaves the process (a mail, a call) comes before the checkpoint: after a kill in between it is done again.
  for (const { id } of batch.items) await appendFile(reportFile, `${id}\n`)
  checkpoint = afterOrders(checkpoint, batch.items, batch.offset)
  await saveCheckpoint(checkpointFile, checkpoint)
}
console.log(`The stream is closed after ${checkpoint.orders} orders.`)
