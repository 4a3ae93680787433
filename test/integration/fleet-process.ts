/** A process of the fleet test: works on every subscription, and writes a line for each message that it handled. */
import { appendFileSync } from "node:fs"
import { runWorker, Subscriptions } from "../../src/subscriptions/index.ts"

const [root = "", report = "", ...ids] = process.argv.slice(2)
const subscriptions = new Subscriptions({ root })
const workers = ids.map((id) =>
  runWorker<number>(subscriptions, id, {
    worker: `fleet-${process.pid}`,
    concurrency: 2,
    backoffOptions: { initialDelay: 10, maxDelay: 1_000 },
    async onBatch({ items }, { path }) {
      await new Promise((resolve) => setTimeout(resolve, 20))
      appendFileSync(report, items.map((n) => `${path} ${n}\n`).join(""))
    },
  }),
)
process.once("SIGTERM", () => {
  void Promise.all(workers.map((worker) => worker.stop())).then(() => process.exit(0))
})
await Promise.all(workers.map((worker) => worker.done))
