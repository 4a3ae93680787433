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

  it("saves within a transaction of the caller, and is rolled back with it", async () => {
    const db = openDatabase(":memory:")
    const persistence = sqlitePersistence(db, "ada")
    await persistence.save(exampleRecord)
    db.exec("BEGIN")
    await persistence.save({ ...exampleRecord, offset: "0000_0200" })
    expect(await persistence.load()).toMatchObject({ offset: "0000_0200" })
    db.exec("ROLLBACK")
    expect(await persistence.load()).toEqual(exampleRecord)
  })

  it("keeps a record for each name", async () => {
    const db = openDatabase(":memory:")
    const ada = sqlitePersistence(db, "ada")
    await ada.save(exampleRecord)
    const grace = sqlitePersistence(db, "grace")
    expect([(await grace.load()) ?? undefined, grace.id === ada.id]).toEqual([undefined, false])
    await grace.save({ ...exampleRecord, value: "1" })
    await grace.clear()
    expect(await ada.load()).toEqual(exampleRecord)
  })
})
