import { createRequire } from "node:module"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { inject, onTestFinished } from "vitest"
import type { SqliteDatabase } from "../../src/outbox/index.ts"

/** What the tests use of a Database of better-sqlite3. */
export interface Database extends SqliteDatabase {
  readonly inTransaction: boolean
  transaction<T>(run: () => T): () => T
  pragma(text: string, options?: { simple: boolean }): unknown
  backup(file: string): Promise<unknown>
}

/** Whether better-sqlite3 is installed. */
export const hasSqlite = inject("betterSqlite3") !== ""

/** Opens a database. */
export function openDatabase(file: string, options?: { timeout: number }): Database {
  const require = createRequire(import.meta.url)
  const Class = require(inject("betterSqlite3")) as new (file: string, options?: object) => Database
  const database = new Class(file, options)
  onTestFinished(() => database.close())
  return database
}

/** A folder that lives as long as the test. */
export async function testFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "durable-streams-outbox-"))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return folder
}
