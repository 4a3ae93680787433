import "fake-indexeddb/auto"
import { openDB, deleteDB } from "idb"
import { beforeEach, describe, expect, it, vi } from "vitest"
import {
  indexedDbPersistence,
  localStoragePersistence,
  type StreamPersistence,
} from "../../../src/store/index.ts"
import { exampleRecord, itPersists } from "../../support/persistence-contract.ts"

const record = exampleRecord

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
}

describe.each(Object.entries(kinds))("a view in %s", (_kind, begin) => {
  itPersists(begin)
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
