// Needs Node: `node-service.ts <url>`. On SIGTERM it sends what it has queued, within its grace period, and exits.
import { DurableStream, IdempotentProducer } from "@durable-streams/client"

/** Less than the platform waits before it kills (Kubernetes: 30 s). */
const GRACE_MS = 10_000

const [url = ""] = process.argv.slice(2)
const stream = await DurableStream.create({ url, contentType: "application/json" })
const producer = new IdempotentProducer(stream, "service", { autoClaim: true, lingerMs: 100 })

let count = 0
const working = setInterval(() => producer.append({ n: count++ }), 5)

process.once("SIGTERM", () => {
  clearInterval(working)
  // `detach` leaves the stream open for its other writers; `close` would end it for all.
  producer
    .detach({ signal: AbortSignal.timeout(GRACE_MS) })
    .then(() => console.log(`stored ${count}`))
    .catch((error: unknown) => {
      console.error(`${producer.undelivered().length} messages are not stored:`, error)
      process.exitCode = 1
    })
})
console.log("ready")
