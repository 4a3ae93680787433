import { mkdtemp, rm } from "node:fs/promises"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import path from "node:path"
import type * as outboxModule from "../../src/outbox/index.ts"
import type { BenchCase, Client, Costs, Job } from "../case.ts"
import { scaled, timed } from "../timed.ts"
import { perSecond } from "../units.ts"
import { expectReceived, messages, sinkUrl } from "./sink-stream.ts"

const contentType = "application/json"
const MESSAGE_BYTES = 100
const APPENDS = 2_000
/** Appends that share a transaction. */
const TOGETHER = 100
const DELIVERED = 50_000

const show = perSecond("msg")

function row(metric: string, title: string) {
  return { title, metric, target: {}, show }
}

/** What the disk costs: messages that are stored before they are confirmed, and what is sent from there. */
export const outboxCases: readonly BenchCase[] = [
  {
    name: "outbox-append",
    withoutPeer: true,
    rows: [
      row("alone", "outbox in SQLite, append() of 100 B, each awaited: a transaction for each"),
      row("together", `the same, ${TOGETHER} at a time: they share a transaction`),
      row("joined", `the same, ${TOGETHER} in each transaction of the caller's`),
    ],
    client: (client, job) =>
      withOutbox(client, job, async ({ outbox, db }) => {
        const count = scaled(APPENDS, job.scale)
        const [text = ""] = messages(1, MESSAGE_BYTES)
        const alone = await timed(count, async () => {
          for (let index = 0; index < count; index++) await outbox.append(text)
        })
        const groups = Math.ceil(count / TOGETHER)
        const together = await timed(groups * TOGETHER, async () => {
          for (let group = 0; group < groups; group++) {
            await Promise.all(Array.from({ length: TOGETHER }, () => outbox.append(text)))
          }
        })
        const joined = await timed(groups * TOGETHER, () => {
          for (let group = 0; group < groups; group++) {
            db.exec("BEGIN IMMEDIATE")
            for (let index = 0; index < TOGETHER; index++) {
              void outbox.append(text, { transaction: db })
            }
            db.exec("COMMIT")
          }
        })
        return { alone: costOf(alone), together: costOf(together), joined: costOf(joined) }
      }),
  },
  {
    name: "outbox-deliver",
    withoutPeer: true,
    rows: [
      row("time", "outbox in SQLite, 50 k × 100 B appended and acknowledged (floor: the producer)"),
    ],
    async floor(job) {
      const { DurableStream, IdempotentProducer } = await job.loadOurs()
      const count = scaled(DELIVERED, job.scale)
      const url = sinkUrl(job.serverUrl, "json")
      const [text = ""] = messages(1, MESSAGE_BYTES)
      const handle = new DurableStream({ url, contentType, warnOnHttp: false })
      return timed(count, async () => {
        const producer = new IdempotentProducer(handle, "bench", { maxBatchBytes: 2 ** 20 })
        for (let index = 0; index < count; index++) producer.append(text)
        await producer.flush()
      })
    },
    client: (client, job) =>
      withOutbox(client, job, async ({ outbox, url }) => {
        const count = scaled(DELIVERED, job.scale)
        const [text = ""] = messages(1, MESSAGE_BYTES)
        const costs = await timed(count, async () => {
          for (let index = 0; index < count; index++) void outbox.append(text)
          await outbox.flush()
        })
        await expectReceived(url, count * MESSAGE_BYTES)
        return costs
      }),
  },
]

interface Setting {
  readonly outbox: outboxModule.Outbox
  readonly db: outboxModule.SqliteDatabase
  readonly url: string
}

async function withOutbox(
  { DurableStream }: Client,
  { serverUrl, entries }: Job,
  measure: (setting: Setting) => Promise<Costs>,
): Promise<Costs> {
  // The built file has what its source exports.
  const built = (await import(new URL("outbox.js", entries.ours).href)) as typeof outboxModule
  const folder = await mkdtemp(path.join(tmpdir(), "bench-outbox-"))
  const db = await openSqlite(path.join(folder, "bench.db"))
  db.exec("PRAGMA journal_mode = WAL")
  const url = sinkUrl(serverUrl, "json")
  const stream = new DurableStream({ url, contentType, warnOnHttp: false })
  const outbox = await built.openOutbox(stream, { store: built.sqliteStore(db) })
  try {
    return await measure({ outbox, db, url })
  } finally {
    await outbox[Symbol.asyncDispose]()
    db.close()
    await rm(folder, { recursive: true })
  }
}

/** Node's own SQLite, from 22.16 on; else the better-sqlite3 of the tests, if they have installed it. */
async function openSqlite(file: string): Promise<outboxModule.SqliteDatabase> {
  const fromTests = path.resolve("test/databases/better-sqlite3/node_modules/better-sqlite3")
  const name = "node:sqlite"
  const Database = await import(name).then(
    (module) => (module as { DatabaseSync: SqliteClass }).DatabaseSync,
    // What the package exports.
    () => createRequire(import.meta.url)(fromTests) as SqliteClass,
  )
  return new Database(file)
}

type SqliteClass = new (file: string) => outboxModule.SqliteDatabase

function costOf({ time = 0 }: Costs): number {
  return time
}
