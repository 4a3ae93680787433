/**
 * Delivers an outbox: `outbox-writer.ts <url> <file> [count]`. With a count it first queues so many orders, says so, and then takes
 * its time with each request, so that it can be killed in the middle.
 */
import { DurableStream } from "../../src/index.ts"
import { openOutbox } from "../../src/outbox/index.ts"
import { fileStore } from "./file-store.ts"

const [url = "", file = "", count] = process.argv.slice(2)
const isSlow = count !== undefined
const stream = new DurableStream({
  url,
  contentType: "application/json",
  fetch: async (input, init) => {
    const response = await fetch(input, init)
    if (isSlow && init?.method === "POST") await new Promise((resolve) => setTimeout(resolve, 300))
    return response
  },
})
const outbox = await openOutbox(stream, { store: fileStore(file), maxBatchItems: 5 })
if (isSlow) {
  const orders = Array.from({ length: Number(count) }, (_, order) => ({ order }))
  await Promise.all(orders.map((order) => outbox.append(order)))
  process.send?.("queued")
}
await outbox.flush()
await outbox.detach()
