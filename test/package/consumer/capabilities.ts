import { DurableStream, type StreamResponse } from "@durable-streams/client"
import {
  indexedDbStore,
  openOutbox,
  postgresStore,
  sqliteStore,
  testOutboxStore,
  type Outbox,
  type OutboxStore,
} from "@durable-streams/client/outbox"
import {
  runWorker,
  Subscriptions,
  verifyWebhook,
  webhookHandler,
  type Claim,
} from "@durable-streams/client/subscriptions"
import { sharedStream } from "@durable-streams/client/tabs"
import { createTestServer, type TestServer } from "@durable-streams/client/testing"

interface Order {
  id: number
}

type SqliteArgument = Parameters<typeof sqliteStore>[0]
type PostgresArgument = Parameters<typeof postgresStore>[0]

export async function deliver(
  url: string,
  database: SqliteArgument,
  pool: PostgresArgument,
): Promise<number> {
  const orders = new DurableStream({ url, contentType: "application/json" })
  const stores: OutboxStore[] = [sqliteStore(database), postgresStore(pool), indexedDbStore("app")]
  const [store] = stores
  if (store === undefined) return 0
  const outbox: Outbox = await openOutbox(orders, {
    store,
    name: "orders",
    contentType: "application/json",
  })
  await outbox.append({ id: 1 })
  await outbox.flush({ signal: new AbortController().signal })
  await outbox.detach()
  await outbox[Symbol.asyncDispose]()
  // @ts-expect-error -- an outbox gives itself its producer's id and epoch
  await openOutbox(orders, { store, epoch: 1 })
  return outbox.pendingCount
}

export const conformance: typeof testOutboxStore = testOutboxStore

export async function work(root: string, request: Request): Promise<Response> {
  const subscriptions = new Subscriptions({ root })
  const claim: Claim | undefined = await subscriptions
    .claim("orders", { worker: "a" })
    .then((given) => (given !== undefined && "ack" in given ? given : undefined))
  await claim?.release()
  const worker = runWorker<Order>(subscriptions, "orders", {
    worker: "a",
    as: "json",
    onBatch(batch, { path, startOffset, signal }) {
      const ids: number[] = batch.items.map((order) => order.id)
      console.log(ids, path, startOffset, signal.aborted)
    },
  })
  await worker.stop()
  await verifyWebhook(request.clone(), { root, subscription: "orders" })
  const handle: (request: Request) => Promise<Response> = webhookHandler({
    root,
    subscription: "orders",
    onBatch: () => undefined,
  })
  return handle(request)
}

export async function share(url: string): Promise<StreamResponse<Order>> {
  return sharedStream<Order>({ url, shareKey: "user-1" })
}

export async function test(): Promise<number> {
  const server: TestServer = createTestServer()
  server.failNext({ status: 503 })
  server.dropResponse()
  server.delay(10)
  const url = `${server.url}/orders`
  await DurableStream.create({ url, fetch: server.fetch, contentType: "application/json" })
  server.restart()
  server.forget()
  server.expire(url)
  server.close()
  return server.streams.size
}
