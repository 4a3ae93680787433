import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { sqlitePersistence } from "../../src/store/index.ts"
import { exampleRecord, itPersists } from "../support/persistence-contract.ts"
import { hasSqlite, openDatabase, testFolder } from "./sqlite.ts"

describe.skipIf(!hasSqlite)("sqlitePersistence with better-sqlite3", () => {
  describe("in memory", () => {
    itPersists(() => {
      const db = openDatabase(":memory:")
      return () => sqlitePersistence(db, "ada/chat")
    })
  })

  describe("in a file that several connections have open", () => {
    itPersists(async () => {
      const file = join(await testFolder(), "views.db")
      return () => sqlitePersistence(openDatabase(file), "ada/chat")
    })
  })

  it("saves within a transaction of the caller, and is rolled back with it", () => {
    const db = openDatabase(":memory:")
    const persistence = sqlitePersistence(db, "ada")
    persistence.save(exampleRecord)
    db.exec("BEGIN")
    persistence.save({ ...exampleRecord, offset: "0000_0200" })
    expect(persistence.load()).toMatchObject({ offset: "0000_0200" })
    db.exec("ROLLBACK")
    expect(persistence.load()).toEqual(exampleRecord)
  })

  it("keeps a record for each name", () => {
    const db = openDatabase(":memory:")
    const ada = sqlitePersistence(db, "ada")
    ada.save(exampleRecord)
    const grace = sqlitePersistence(db, "grace")
    expect([grace.load() ?? undefined, grace.id === ada.id]).toEqual([undefined, false])
    grace.save({ ...exampleRecord, value: "1" })
    grace.clear()
    expect(ada.load()).toEqual(exampleRecord)
  })
})
