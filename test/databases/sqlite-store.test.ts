import { join } from "node:path"
import { setImmediate as turn } from "node:timers/promises"
import { describe, expect, it } from "vitest"
import { DurableStream } from "../../src/index.ts"
import { openOutbox, operate, sqliteStore, testOutboxStore } from "../../src/outbox/index.ts"
import { hasSqlite, openDatabase, testFolder } from "./sqlite.ts"

describe.skipIf(!hasSqlite)("sqliteStore with better-sqlite3", () => {
  it.each(["DELETE", "WAL"])("passes testOutboxStore on a file, journal %s", async (journal) => {
    const file = join(await testFolder(), "test.db")
    openDatabase(file).pragma(`journal_mode = ${journal}`)
    await testOutboxStore(() => sqliteStore(openDatabase(file)))
  })

  it("passes testOutboxStore in memory", async () => {
    const db = openDatabase(":memory:")
    await testOutboxStore(() => sqliteStore(db))
  })

  it.each([
    ["file", "test.db"],
    ["memory", ":memory:"],
  ])("does nothing in a transaction of the caller's: %s", async (kind, name) => {
    const file = kind === "file" ? join(await testFolder(), name) : name
    const db = openDatabase(file)
    const store = sqliteStore(db)
    db.exec("BEGIN IMMEDIATE")
    let isDone = false
    const put = store.transact("o", () => enqueue("outside"))
    void put.then(() => (isDone = true))
    void store.join!("o", db, () => enqueue("inside"))
    for (let n = 0; n < 20; n++) await turn()
    expect(isDone).toBe(false)
    db.exec("ROLLBACK")
    await put
    expect(await queue(store)).toEqual(["outside"])
  })

  it("takes back a row with the message that its outbox rejects, in db.transaction()", async () => {
    const db = openDatabase(join(await testFolder(), "test.db"))
    db.exec("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
    const insert = db.prepare("INSERT INTO orders (id) VALUES (?)")
    const sent: string[] = []
    const stream = new DurableStream({
      url: "https://streams.example.com/orders",
      contentType: "application/json",
      fetch: (_, init) => {
        sent.push(new TextDecoder().decode(init?.body as Uint8Array<ArrayBuffer>))
        return Promise.resolve(
          new Response(null, { status: 200, headers: { "producer-seq": "0" } }),
        )
      },
    })
    const outbox = await openOutbox(stream, { store: sqliteStore(db), maxPendingBytes: 20 })
    const order = (id: number, text: string) =>
      db.transaction(() => {
        insert.run(id)
        void outbox.append({ text }, { transaction: db })
      })()
    expect(() => order(1, "a text that is too long to wait")).toThrow("maxPendingBytes")
    expect(() => order(2, undefined as never)).not.toThrow()
    expect(() => order(2, "the id is taken")).toThrow("UNIQUE")
    await outbox.detach()
    expect(db.prepare("SELECT id FROM orders").all()).toEqual([{ id: 2 }])
    expect(sent).toEqual(["[{}]"])
  })

  it("waits for a lock, though another outbox that shares the store ends meanwhile", async () => {
    const file = join(await testFolder(), "test.db")
    const store = sqliteStore(openDatabase(file))
    await store.transact("o", () => enqueue("a"))
    const other = openDatabase(file)
    other.exec("BEGIN IMMEDIATE")
    const put = store.transact("o", () => enqueue("b"))
    for (let n = 0; n < 20; n++) await turn()
    await store.close!()
    other.exec("COMMIT")
    await put
    expect(await queue(store)).toEqual(["a", "b"])
    await store.close!()
  })

  it("keeps the totals of a queue, so that counting does not read it", async () => {
    const db = openDatabase(join(await testFolder(), "test.db"))
    const store = sqliteStore(db)
    for (const text of ["a", "bc", "def"]) await store.transact("o", () => enqueue(text))
    // Whoever reads these would count them.
    db.exec("UPDATE durable_outbox_messages SET size = 1000")
    expect(await sizeOf(store)).toEqual({ count: 3, bytes: 6, lastId: 3 })
    await store.close!()
  })

  it("counts what older code has left in the file, and what it writes beside it", async () => {
    const db = openDatabase(join(await testFolder(), "test.db"))
    db.exec(`
      CREATE TABLE durable_outbox_messages (
        id INTEGER PRIMARY KEY AUTOINCREMENT, outbox TEXT NOT NULL, size INTEGER NOT NULL, bytes BLOB NOT NULL
      )`)
    const insert = db.prepare(
      "INSERT INTO durable_outbox_messages (id, outbox, size, bytes) VALUES (?, ?, 3, 'abc') RETURNING id",
    )
    for (const outbox of ["o", "other", "o"]) insert.get(null, outbox)
    const store = sqliteStore(db)
    expect(await sizeOf(store)).toEqual({ count: 2, bytes: 6, lastId: 3 })
    insert.get(null, "o")
    insert.get(null, "new")
    db.exec("DELETE FROM durable_outbox_messages WHERE outbox = 'o' AND id = 1")
    expect(await sizeOf(sqliteStore(db))).toEqual({ count: 2, bytes: 6, lastId: 4 })
    expect(await sizeOf(store, "new")).toEqual({ count: 1, bytes: 3, lastId: 5 })
    await store.close!()
  })

  it("leaves the caller's transaction as it was if its tables cannot be made", async () => {
    const file = join(await testFolder(), "test.db")
    const db = openDatabase(file, { timeout: 0 })
    const other = openDatabase(file)
    other.exec("BEGIN IMMEDIATE")
    expect(() => sqliteStore(db)).toThrow("locked")
    expect(db.inTransaction).toBe(false)
    other.exec("COMMIT")
    db.exec("BEGIN")
    sqliteStore(db)
    expect(db.inTransaction).toBe(true)
    db.exec("COMMIT")
  })

  it("can be opened while another connection writes, if its tables are there", async () => {
    const file = join(await testFolder(), "test.db")
    sqliteStore(openDatabase(file))
    openDatabase(file).exec("BEGIN IMMEDIATE")
    expect(() => sqliteStore(openDatabase(file, { timeout: 0 }))).not.toThrow()
  })

  it("commits on a connection of its own with full sync", async () => {
    const db = openDatabase(join(await testFolder(), "test.db"))
    db.pragma("synchronous = OFF")
    const pragmas: string[] = []
    const { exec } = Object.getPrototypeOf(db) as { exec: (sql: string) => unknown }
    Object.getPrototypeOf(db).exec = function (sql: string) {
      pragmas.push(sql)
      return exec.call(this, sql)
    }
    try {
      await sqliteStore(db).transact("o", () => enqueue("a"))
    } finally {
      Object.getPrototypeOf(db).exec = exec
    }
    expect(pragmas).toContain("PRAGMA synchronous = FULL")
    expect(db.pragma("synchronous", { simple: true })).toBe(0)
  })

  it("rejects a transaction that is not open, and what is no database", async () => {
    const db = openDatabase(join(await testFolder(), "test.db"))
    const store = sqliteStore(db)
    expect(() => store.join!("o", db, () => enqueue("a"))).toThrow(
      "The option transaction must be a connection with an open transaction",
    )
    expect(() => sqliteStore("test.db" as never)).toThrow("The option db must be a database of")
  })
})

function enqueue(text: string) {
  return operate({ kind: "enqueue", bytes: new TextEncoder().encode(text) })
}

function sizeOf(store: ReturnType<typeof sqliteStore>, outbox = "o") {
  return store.transact(outbox, () => operate({ kind: "size" }))
}

async function queue(store: ReturnType<typeof sqliteStore>): Promise<string[]> {
  const messages = await store.transact("o", () =>
    operate({ kind: "messages", afterId: -1, maxCount: 9 } as const),
  )
  return messages.map(({ bytes }) => new TextDecoder().decode(bytes))
}
