/**
 * A server that receives webhooks, and one that sends them: `npm run example:webhook-receiver`. The handler is one of Fetch, which
 * Hono, Next, Bun, Deno and workerd take as it is; Node's http needs the adapter in node-server.ts.
 */
import { DurableStream } from "@durable-streams/client"
import { Subscriptions, webhookHandler } from "@durable-streams/client/subscriptions"
import { DurableStreamTestServer } from "@durable-streams/server"
import { serve } from "./node-server.ts"

interface Order {
  product: string
}

const streams = new DurableStreamTestServer({ port: 0, webhooks: true })
const root = `${await streams.start()}/v1/stream`
const contentType = "application/json"
const orders = await DurableStream.create({ url: `${root}/orders/today`, contentType })

let received = 0
let isWorking = false
const receiver = await serve(
  webhookHandler<Order>({
    root,
    subscription: "orders",
    onBatch(batch, { path }) {
      received += batch.items.length
      console.log(path, batch.items.map(({ product }) => product).join(", "))
    },
    observe({ kind }) {
      if (kind === "claimed") isWorking = true
      if (kind === "released" || kind === "lost") isWorking = false
    },
    onError: (error) => console.error(String(error)),
  }),
)
await new Subscriptions({ root }).create("orders", {
  type: "webhook",
  pattern: "orders/*",
  webhook: { url: receiver.url },
})

const products = ["tea", "bread", "honey"]
for (const product of products) await orders.append({ product } satisfies Order)
while (received < products.length || isWorking)
  await new Promise((resolve) => setTimeout(resolve, 50))
await receiver.stop()
await streams.stop()
