import "fake-indexeddb/auto"
import { describe, expect, it, onTestFinished, vi } from "vitest"
import {
  indexedDbStore,
  operate,
  requestPersistence,
  runAsync,
  testOutboxStore,
  type OutboxStore,
  type StoreOperation,
  type StoreProgram,
} from "../../../src/outbox/index.ts"
import {
  enqueueMessages,
  openRecord,
  readPending,
  readProgress,
} from "../../../src/outbox/outbox-rules.ts"
import { MemoryDatabase, memoryStore } from "../../support/memory-outbox-store.ts"

describe("testOutboxStore", () => {
  it("passes the store of IndexedDB", async () => {
    await testOutboxStore(() => indexedDbStore("conformance"))
  })

  it("is on disk in IndexedDB before a transaction ends: durability strict", async () => {
    const transaction = vi.spyOn(IDBDatabase.prototype, "transaction")
    onTestFinished(() => transaction.mockRestore())
    const store = indexedDbStore("strict")
    await store.transact("o", () => operate({ kind: "size" }))
    await store.close!()
    expect(transaction.mock.calls.map(([, mode, options]) => [mode, options])).toContainEqual([
      "readwrite",
      { durability: "strict" },
    ])
  })

  it("counts a long queue of IndexedDB without reading it", async () => {
    const store = indexedDbStore("long queue")
    const append = () => store.transact("o", () => enqueueMessages([bytesOf("message")], 1e6))
    const outbox = { url: "u", movedFrom: undefined, contentType: "text/plain", newProducerId: "p" }
    await store.transact("o", () => openRecord(outbox))
    const rowsOf = async (run: () => Promise<unknown>) => {
      const before = rowsRead
      await run()
      return rowsRead - before
    }
    let rowsRead = 0
    for (const [type, method] of [
      [IDBIndex, "getAll"],
      [IDBObjectStore, "get"],
      [IDBObjectStore, "getAll"],
      [IDBIndex, "openCursor"],
    ] as const) {
      // Each of them returns a request, whose result is the row or the rows.
      const prototype = type.prototype as unknown as Record<string, () => IDBRequest<unknown>>
      const original = prototype[method]!
      const spy = vi.spyOn(prototype, method).mockImplementation(function (this: unknown, ...args) {
        const request = original.apply(this, args)
        const count = () => (rowsRead += Array.isArray(request.result) ? request.result.length : 1)
        request.addEventListener("success", count)
        return request
      })
      onTestFinished(() => spy.mockRestore())
    }
    const atFirst = await rowsOf(append)
    await store.transact("o", function* () {
      for (let n = 0; n < 2_000; n++) yield* operate({ kind: "enqueue", bytes: bytesOf("message") })
    })
    expect([await rowsOf(append), await rowsOf(append)]).toEqual([atFirst, atFirst])
    expect(await rowsOf(() => store.transact("o", readProgress))).toBeLessThan(10)
    expect(await store.transact("o", readPending)).toEqual({ count: 2_003, bytes: 7 * 2_003 })
    await store.close!()
  })

  it("counts the queue that older code has left in IndexedDB once, and keeps that code out", async () => {
    const request = indexedDB.open("older", 1)
    request.onupgradeneeded = () => {
      request.result.createObjectStore("records")
      const options = { keyPath: "id", autoIncrement: true }
      const messages = request.result.createObjectStore("messages", options)
      messages.createIndex("queue", ["outbox", "id"])
      for (const outbox of ["o", "other", "o"]) messages.add({ outbox, bytes: bytesOf("abc") })
    }
    await vi.waitFor(() => expect(request.readyState).toBe("done"))
    request.result.close()
    const store = indexedDbStore("older")
    await store.transact("o", () => operate({ kind: "enqueue", bytes: bytesOf("de") }))
    const size = () => store.transact("o", () => operate({ kind: "size" }))
    expect(await size()).toEqual({ count: 3, bytes: 8, lastId: 4 })
    await store.transact("o", () => operate({ kind: "remove", ids: [1, 2] }))
    expect(await size()).toMatchObject({ count: 2, bytes: 5 })
    await store.close!()
    const older = indexedDB.open("older", 1)
    await vi.waitFor(() => expect(older.error?.name).toBe("VersionError"))
  })

  it("asks the browser to keep the origin's data, and says false where it cannot", async () => {
    vi.stubGlobal("navigator", { storage: { persist: () => Promise.resolve(true) } })
    onTestFinished(() => void vi.unstubAllGlobals())
    expect(await requestPersistence()).toBe(true)
    for (const navigator of [undefined, {}, { storage: {} }]) {
      vi.stubGlobal("navigator", navigator)
      expect(await requestPersistence()).toBe(false)
    }
  })

  it.each(["serial", "concurrent"] as const)(
    "passes the store in memory with %s transactions, which other tests use",
    async (isolation) => {
      const database = new MemoryDatabase({ isolation })
      await testOutboxStore(() => memoryStore(database))
    },
  )

  it.each<[string, (store: OutboxStore, database: MemoryDatabase) => OutboxStore, string]>([
    [
      "forgets bytes",
      (store) =>
        editing(store, (it) =>
          it.kind === "put" ? { ...it, record: { json: it.record.json } } : it,
        ),
      "keeps records with their bytes",
    ],
    [
      "does not lock",
      (store) => editing(store, (it) => (it.kind === "get" ? { kind: "get", key: it.key } : it)),
      "isolates transactions",
    ],
    [
      "ignores the id under which a message is put back",
      (store) =>
        editing(store, (it) => (it.kind === "enqueue" ? { kind: "enqueue", bytes: it.bytes } : it)),
      "puts messages back",
    ],
    [
      "mixes outboxes",
      (store) => ({ ...store, transact: (_, program) => store.transact("one", program) }),
      "keeps outboxes apart",
    ],
    [
      "sees what others commit meanwhile",
      (store, database) => ({
        ...store,
        async transact(outbox, program) {
          const transaction = await database.begin("committed")
          const result = await runAsync(program(), (it) => transaction.execute(outbox, it))
          transaction.commit()
          return result
        },
      }),
      "shows a transaction one state",
    ],
  ])("names the rule that a store breaks that %s", async (_, broken, rule) => {
    const database = new MemoryDatabase({ isolation: "concurrent" })
    const store = memoryStore(database)
    await expect(testOutboxStore(() => broken(store, database))).rejects.toThrow(rule)
  })
})

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

type Edit = (operation: StoreOperation) => StoreOperation

/** A store that does other operations than it is told. */
function editing(store: OutboxStore, edit: Edit): OutboxStore {
  return {
    transact: (outbox, program) => store.transact(outbox, () => edited(program(), edit)),
  }
}

function* edited<T>(program: StoreProgram<T>, edit: Edit): StoreProgram<T> {
  let step = program.next()
  while (!step.done) step = program.next(yield edit(step.value))
  return step.value
}
