import process from "node:process"
import { DurableStream } from "@durable-streams/client"
import {
  openOutbox,
  sqliteStore,
  testOutboxStore,
  type SqliteDatabase,
} from "@durable-streams/client/outbox"

/** Keeps an outbox in the SQLite of the runtime, and prints what was sent of two transactions, one of which is rolled back. */
const file = process.argv[2] ?? ""
// A name in a variable: no runtime has both modules.
const name = "Bun" in globalThis ? "bun:sqlite" : "node:sqlite"
const module = (await import(name)) as Record<string, new (file: string) => SqliteDatabase>
const Database = module["DatabaseSync"] ?? module["Database"]!

await testOutboxStore(() => sqliteStore(new Database(file)))
const memory = new Database(":memory:")
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
const db = new Database(file)
const outbox = await openOutbox(stream, { store: sqliteStore(db), name: "runtime" })
for (const [n, end] of ["COMMIT", "ROLLBACK", "COMMIT"].entries()) {
  db.exec("BEGIN IMMEDIATE")
  void outbox.append({ n }, { transaction: db })
  db.exec(end)
}
await outbox.detach()
process.stdout.write(JSON.stringify(sent.flat()))
