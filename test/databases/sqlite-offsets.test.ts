import { join } from "node:path"
import { describe, expect, it, onTestFinished } from "vitest"
import { DurableStream } from "../../src/index.ts"
import {
  OffsetMismatchError,
  runWorker,
  sqliteOffsets,
  Subscriptions,
} from "../../src/subscriptions/index.ts"
import { startSubscriptionServer } from "../support/subscription-server.ts"
import { hasSqlite, openDatabase, testFolder, type Database } from "./sqlite.ts"

describe.skipIf(!hasSqlite)("sqliteOffsets with better-sqlite3", () => {
  /** Connections to one file, each with the helper and a statement that counts. */
  async function connect(count: number) {
    const file = join(await testFolder(), "test.db")
    return Array.from({ length: count }, () => {
      const db = openDatabase(file, { timeout: 0 })
      db.exec("CREATE TABLE IF NOT EXISTS counts (n TEXT PRIMARY KEY)")
      const insert = db.prepare("INSERT INTO counts VALUES (?)")
      return { db, ...sqliteOffsets(db), add: (n: number) => void insert.run(String(n)) }
    })
  }
  const counted = (db: Database) =>
    (db.prepare("SELECT group_concat(n) AS all_n FROM counts").get() as { all_n: string }).all_n
  const at = (startOffset: string) => ({ path: "a", startOffset })

  it("counts a batch once that two workers handle", async () => {
    const [first, second] = await connect(2)
    first!.apply({ offset: "1" }, at("-1"), () => first!.add(1))
    const again = () => second!.apply({ offset: "1" }, at("-1"), () => second!.add(1))
    expect(again).toThrow(OffsetMismatchError)
    expect(again).toThrow(expect.objectContaining({ storedOffset: "1" }))
    second!.apply({ offset: "2" }, at("1"), () => second!.add(2))
    expect(counted(first!.db)).toBe("1,2")
    expect([first!.startOffset("a"), first!.startOffset("b")]).toEqual(["2", undefined])
  })

  it("lets nobody in between its comparison and its end", async () => {
    const [first, second] = await connect(2)
    first!.apply({ offset: "1" }, at("-1"), () => {
      first!.add(1)
      const meanwhile = () => second!.apply({ offset: "1" }, at("-1"), () => second!.add(2))
      expect(meanwhile).toThrow("locked")
    })
    expect(counted(first!.db)).toBe("1")
  })

  it("stores neither the work nor the offset if the work throws", async () => {
    const [only] = await connect(1)
    const fail = () =>
      only!.apply({ offset: "1" }, at("-1"), () => {
        only!.add(1)
        throw new Error("failed")
      })
    expect(fail).toThrow("failed")
    expect([only!.startOffset("a"), counted(only!.db), only!.db.inTransaction]).toEqual([
      undefined,
      null,
      false,
    ])
  })

  it("refuses asynchronous work, which would go on behind its transaction", async () => {
    const [only] = await connect(1)
    const work = async () => only!.add(1)
    expect(() => only!.apply({ offset: "1" }, at("-1"), work)).toThrow(
      expect.objectContaining({ code: "BAD_REQUEST" }),
    )
    expect([only!.startOffset("a"), counted(only!.db)]).toEqual([undefined, null])
  })

  it("throws what the work threw although SQLite has ended the transaction by itself", async () => {
    const [only] = await connect(1)
    only!.add(1)
    const work = () => only!.db.exec("INSERT OR ROLLBACK INTO counts VALUES ('1')")
    expect(() => only!.apply({ offset: "1" }, at("-1"), work)).toThrow("UNIQUE")
    only!.apply({ offset: "1" }, at("-1"), () => only!.add(2))
    expect(counted(only!.db)).toBe("1,2")
  })

  it("keeps a table of any name, and rejects what is none by name", async () => {
    const [only] = await connect(1)
    const { apply, startOffset } = sqliteOffsets(only!.db, { table: 'a "b"; DROP TABLE counts' })
    apply({ offset: "1" }, at("-1"), () => only!.add(1))
    expect([startOffset("a"), only!.startOffset("a"), counted(only!.db)]).toEqual([
      "1",
      undefined,
      "1",
    ])
    expect(() => sqliteOffsets(only!.db, { table: "" })).toThrow("table")
  })

  it("counts each message once for a worker whose batches come again", async () => {
    const server = await startSubscriptionServer(["a"])
    onTestFinished(() => server[Symbol.asyncDispose]())
    const subscriptions = new Subscriptions({ root: server.root })
    await subscriptions.create("s", { type: "pull-wake", pattern: "ev/*", wakeStream: "wake" })
    const [only] = await connect(1)
    let fails = 0
    const worker = runWorker<number>(subscriptions, "s", {
      worker: "w",
      startOffset: only!.startOffset,
      backoffOptions: { initialDelay: 5, maxDelay: 20 },
      onBatch(batch, context) {
        only!.apply(batch, context, () => batch.items.forEach((n) => only!.add(n)))
        // What it wrote is committed, and its acknowledgement is not sent.
        if (fails++ % 2 === 0) throw new Error("killed")
      },
    })
    for (let n = 0; n < 10; n++) await server.append("ev/a", n)
    const tail = await DurableStream.head({ url: server.streamUrl("ev/a") })
    await expect
      .poll(async () => (await subscriptions.get("s")).streams[0]?.ackedOffset)
      .toBe(tail.exists && tail.offset)
    await worker.stop()
    expect(fails).toBeGreaterThan(0)
    expect(counted(only!.db)).toBe("0,1,2,3,4,5,6,7,8,9")
  })
})
