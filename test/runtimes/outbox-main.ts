import process from "node:process"
import { DurableStream } from "@durable-streams/client"
import { openOutbox, sqliteStore, testOutboxStore } from "@durable-streams/client/outbox"
import { openSqlite } from "./open-sqlite.ts"

/** Keeps an outbox in the SQLite of the runtime, and prints what was sent of two transactions, one of which is rolled back. */
const file = process.argv[2] ?? ""
await testOutboxStore(async () => sqliteStore(await openSqlite(file)))
const memory = await openSqlite(":memory:")
await testOutboxStore(() => sqliteStore(memory))

const sent: unknown[] = []
const stream = new DurableStream({
  url: "https://streams.example.com/orders",
  contentType: "application/json",
  fetch: (_, init) => {
    sent.push(JSON.parse(new TextDecoder().decode(init?.body as Uint8Array<ArrayBuffer>)))
    return Promise.resolve(new Response(null, { status: 200, headers: { "producer-seq": "0" } }))
  },
})
const db = await openSqlite(file)
const outbox = await openOutbox(stream, { store: sqliteStore(db), name: "runtime" })
for (const [n, end] of ["COMMIT", "ROLLBACK", "COMMIT"].entries()) {
  db.exec("BEGIN IMMEDIATE")
  void outbox.append({ n }, { transaction: db })
  db.exec(end)
}
await outbox.detach()
process.stdout.write(JSON.stringify(sent.flat()))
