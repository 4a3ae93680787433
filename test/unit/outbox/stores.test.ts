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
