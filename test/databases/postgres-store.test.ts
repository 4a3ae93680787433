import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { operate, postgresStore, testOutboxStore } from "../../src/outbox/index.ts"
import { postgresBinaries, startPostgres, type PostgresServer } from "./postgres.ts"

describe.skipIf(postgresBinaries === undefined)("postgresStore with pg", () => {
  let server: PostgresServer
  beforeAll(async () => {
    server = await startPostgres()
  }, 120_000)
  afterAll(() => server.stop())

  it("passes testOutboxStore", async () => {
    const [one, two] = [server.pool(), server.pool()]
    let count = 0
    await testOutboxStore(() => postgresStore(count++ % 2 === 0 ? one : two))
  })

  it("finds a message whose transaction was committed after that of a later id", async () => {
    const pool = server.pool()
    const store = postgresStore(pool)
    await store.transact("late", () => operate({ kind: "size" }))
    const late = await pool.connect()
    await late.query("BEGIN")
    await store.join!("late", late, () => enqueue("late"))
    await store.transact("late", () => enqueue("early"))
    expect(await queue(store, "late")).toEqual(["early"])
    await late.query("COMMIT")
    late.release()
    expect(await queue(store, "late")).toEqual(["late", "early"])
  })

  it("never reads the end of a transaction without its beginning, though it is committed meanwhile", async () => {
    const pool = server.pool()
    const store = postgresStore(pool)
    await store.transact("steps", () => operate({ kind: "size" }))
    const late = await pool.connect()
    await late.query("BEGIN")
    await store.join!("steps", late, () => enqueue("first of late"))
    await store.transact("steps", () => enqueue("early"))
    await store.join!("steps", late, () => enqueue("last of late"))
    let isCommitted = false
    const read = await store.transact("steps", function* () {
      const [early] = yield* operate({ kind: "messages", afterId: -1, maxCount: 1 })
      void late.query("COMMIT").then(() => (isCommitted = true))
      while (!isCommitted) yield* operate({ kind: "now" })
      const rest = yield* operate({ kind: "messages", afterId: early!.id, maxCount: 9 })
      return [early!, ...rest].map(({ bytes }) => new TextDecoder().decode(bytes))
    })
    late.release()
    expect(read).toEqual(["early"])
  })

  it("says that a commit is indeterminate if its connection is lost, and makes a new one", async () => {
    const pool = server.pool({ max: 1 })
    const admin = server.pool()
    const store = postgresStore({
      async connect() {
        const client = await pool.connect()
        const query = client.query.bind(client)
        const cut = async (sql: string, values?: unknown[]) => {
          if (sql === "COMMIT")
            await admin.query(
              "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%durable_outbox%' AND pid <> pg_backend_pid()",
            )
          return query(sql, values)
        }
        return Object.assign(client, isCutting ? { query: cut } : {})
      },
    })
    let isCutting = false
    await store.transact("cut", () => enqueue("a"))
    isCutting = true
    await expect(store.transact("cut", () => enqueue("b"))).rejects.toMatchObject({
      indeterminate: true,
    })
    isCutting = false
    await store.transact("cut", () => enqueue("c"))
    expect(await queue(store, "cut")).toEqual(["a", "c"])
  })

  it("commits with synchronous_commit, whatever the database's default, and in one state of the queue", async () => {
    const pool = server.pool()
    const queries: string[] = []
    const store = postgresStore({
      async connect() {
        const client = await pool.connect()
        await client.query("SET synchronous_commit = off")
        const query = client.query.bind(client)
        const told = (sql: string, values?: unknown[]) => (queries.push(sql), query(sql, values))
        return Object.assign(client, { query: told })
      },
    })
    await store.transact("synced", () => enqueue("a"))
    const [begin, sync] = queries.slice(queries.findIndex((sql) => sql.startsWith("BEGIN")))
    expect([begin, sync]).toEqual([
      "BEGIN ISOLATION LEVEL REPEATABLE READ",
      "SET LOCAL synchronous_commit = on",
    ])
  })

  it("announces a message when its transaction is committed, on a client of its own", async () => {
    const pool = server.pool()
    const notifyClient = await pool.connect()
    const store = postgresStore(pool, { notifyClient })
    await store.transact("heard", () => operate({ kind: "size" }))
    const heard: number[] = []
    let isCommitted = 0
    const unwatch = store.watch!("heard", () => heard.push(isCommitted))
    await notifyClient.query("SELECT 1")
    const client = await pool.connect()
    await client.query("BEGIN")
    await store.join!("heard", client, () => enqueue("a"))
    await notifyClient.query("SELECT 1")
    isCommitted = 1
    await client.query("COMMIT")
    await expect.poll(() => heard).toEqual([1])
    unwatch()
    client.release()
    notifyClient.release()
  })

  it("rejects what is no pool, no client and no transaction", () => {
    expect(() => postgresStore("postgres://x" as never)).toThrow("The option pool must be")
    expect(() => postgresStore(server.pool(), { notifyClient: 1 as never })).toThrow(
      "The option notifyClient must be a Client of pg, not 1",
    )
    expect(() => postgresStore(server.pool()).join!("o", {}, () => enqueue("a"))).toThrow(
      "The option transaction must be",
    )
  })
})

function enqueue(text: string) {
  return operate({ kind: "enqueue", bytes: new TextEncoder().encode(text) })
}

async function queue(store: ReturnType<typeof postgresStore>, outbox: string): Promise<string[]> {
  const messages = await store.transact(outbox, () =>
    operate({ kind: "messages", afterId: -1, maxCount: 9 } as const),
  )
  return messages.map(({ bytes }) => new TextDecoder().decode(bytes))
}
