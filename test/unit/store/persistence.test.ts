import "fake-indexeddb/auto"
import { openDB, deleteDB } from "idb"
import { beforeEach, describe, expect, it, onTestFinished, vi } from "vitest"
import {
  indexedDbPersistence,
  localStoragePersistence,
  sqlitePersistence,
  type StoredView,
  type StreamPersistence,
} from "../../../src/store/index.ts"
import { betterSqlite } from "../../support/better-sqlite.ts"

const record: StoredView = {
  version: "1",
  url: "https://streams.example.com/chat",
  offset: "0000_0100",
  value: '["é","\u2028"]',
}

const BetterSqlite = betterSqlite()

/** What a browser's `localStorage` has. */
class FakeStorage {
  readonly items = new Map<string, string>()
  getItem = (key: string) => this.items.get(key) ?? null
  setItem = (key: string, value: string) => void this.items.set(key, value)
  removeItem = (key: string) => void this.items.delete(key)
}

const storage = new FakeStorage()
vi.stubGlobal("localStorage", storage)
beforeEach(() => storage.items.clear())

let databases = 0

/** Each makes a function that makes persistences of the same record. */
const kinds: Record<string, () => () => StreamPersistence> = {
  localStorage: () => () => localStoragePersistence("ada/chat"),
  IndexedDB: () => {
    const name = `ada/${++databases}`
    return () => indexedDbPersistence(name)
  },
  ...(BetterSqlite && {
    "better-sqlite3": () => {
      const db = new BetterSqlite(":memory:")
      onTestFinished(() => db.close())
      return () => sqlitePersistence(db, "ada/chat")
    },
  }),
}

describe.each(Object.entries(kinds))("a view in %s", (_kind, begin) => {
  it("is there again, for every persistence of its record", async () => {
    const make = begin()
    const [first, second] = [make(), make()]
    expect(first.id).toBe(second.id)
    expect((await first.load()) ?? undefined).toBe(undefined)
    await first.save(record)
    expect(await second.load()).toEqual(record)
  })

  it.each<[string, Partial<StoredView>, boolean]>([
    ["further on", { offset: "0000_0200" }, true],
    ["at the same offset", { value: "[]" }, true],
    ["behind", { offset: "0000_0099" }, false],
    ["behind, of another version", { offset: "0000_0099", version: "2" }, true],
    ["behind, of another stream", { offset: "0000_0099", url: "https://example.com/b" }, true],
  ])("and one that is %s: replaced %s", async (_where, changes, isReplaced) => {
    const persistence = begin()()
    await persistence.save(record)
    const other = { ...record, ...changes }
    await persistence.save(other)
    expect(await persistence.load()).toEqual(isReplaced ? other : record)
  })

  it("is deleted, and can be stored again at any offset", async () => {
    const make = begin()
    await make().save(record)
    await make().clear()
    await make().clear()
    expect((await make().load()) ?? undefined).toBe(undefined)
    const behind = { ...record, offset: "0000_0001" }
    await make().save(behind)
    expect(await make().load()).toEqual(behind)
  })
})

describe("localStoragePersistence", () => {
  it.each(["", "{", "null", "7", '"text"', '{"version":"1"}'])(
    "replaces what is no record: %j",
    async (text) => {
      storage.items.set("k", text)
      const persistence = localStoragePersistence("k")
      expect(() => persistence.load()).not.toThrow()
      await persistence.save(record)
      expect(await persistence.load()).toEqual(record)
    },
  )

  it("is done when save() returns, so that a page that goes away has saved", () => {
    expect(localStoragePersistence("k").save(record)).toBe(undefined)
    expect(storage.items.size).toBe(1)
  })
})

describe("indexedDbPersistence", () => {
  it("writes a newer record only, whatever the order in which tabs write", async () => {
    const [first, second] = [indexedDbPersistence("tabs"), indexedDbPersistence("tabs")]
    const records = Array.from({ length: 20 }, (_, n) => ({
      ...record,
      offset: `0000_00${10 + ((n * 7) % 20)}`,
    }))
    await Promise.all(records.map(async (each, n) => (n % 2 === 0 ? first : second).save(each)))
    expect(await first.load()).toMatchObject({ offset: "0000_0029" })
  })

  it("lets another tab delete the database, and opens it again", async () => {
    const persistence = indexedDbPersistence("deleted")
    await persistence.save(record)
    await deleteDB("deleted")
    expect(await persistence.load()).toBe(undefined)
    await persistence.save(record)
    expect(await persistence.load()).toEqual(record)
  })

  it("rejects if the database cannot be opened, and tries again with the next call", async () => {
    const newer = await openDB("newer", 2)
    newer.close()
    const persistence = indexedDbPersistence("newer")
    await expect(persistence.load()).rejects.toMatchObject({ name: "VersionError" })
    await deleteDB("newer")
    await persistence.save(record)
    expect(await persistence.load()).toEqual(record)
  })
})

describe("sqlitePersistence", () => {
  it.skipIf(BetterSqlite === undefined)(
    "saves within a transaction of the caller, and is rolled back with it",
    async () => {
      const db = new BetterSqlite!(":memory:")
      onTestFinished(() => db.close())
      const persistence = sqlitePersistence(db, "ada")
      await persistence.save(record)
      db.exec("BEGIN")
      await persistence.save({ ...record, offset: "0000_0200" })
      db.exec("ROLLBACK")
      expect(await persistence.load()).toEqual(record)
      await sqlitePersistence(db, "grace").save({ ...record, value: "1" })
      expect(await persistence.load()).toEqual(record)
    },
  )
})
