import { DurableStream } from "@durable-streams/client"
import {
  openOutbox,
  sqliteStore,
  type Outbox,
  type OutboxStore,
  type SqliteDatabase,
} from "@durable-streams/client/outbox"

/** Opens an outbox with small batches, which does not wait long for anything. */
export function openImpatientOutbox(url: string, store: OutboxStore): Promise<Outbox> {
  const stream = new DurableStream({
    url,
    contentType: "application/json",
    backoffOptions: { initialDelay: 1, maxDelay: 100 },
    warnOnRetry: false,
  })
  return openOutbox(stream, { maxBatchItems: 20, pollIntervalMs: 50, store })
}

/**
 * Imports rows into a stream: each is sent with the transaction that marks it as imported. The process may be killed at any time and
 * started again.
 *
 * @param count - how many rows there are
 * @param transact - runs a function in a transaction
 */
export async function importRows(
  db: SqliteDatabase,
  url: string,
  count: number,
  transact: (run: () => void) => void,
): Promise<void> {
  db.exec("PRAGMA busy_timeout = 10000")
  transact(() => {
    if (db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'rows'").all().length > 0) return
    db.exec("CREATE TABLE rows (id INTEGER PRIMARY KEY, imported INTEGER NOT NULL DEFAULT 0)")
    const insert = db.prepare("INSERT INTO rows (id) VALUES (?)")
    for (let id = 0; id < count; id++) insert.run(id)
  })
  const outbox = await openImpatientOutbox(url, sqliteStore(db))
  const select = db.prepare("SELECT id FROM rows WHERE imported = 0 ORDER BY id LIMIT 5")
  const update = db.prepare("UPDATE rows SET imported = 1 WHERE id = ?")
  for (let imported = Infinity; imported > 0;) {
    transact(() => {
      const rows = select.all() as { id: number }[]
      for (const { id } of rows) {
        update.run(id)
        void outbox.append({ id }, { transaction: db })
      }
      imported = rows.length
    })
    // Delivery goes on meanwhile.
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  await outbox.detach()
}
