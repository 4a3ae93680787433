import { createRequire } from "node:module"
import type { SqliteDatabase } from "../../src/store/index.ts"

/** What the tests use of `better-sqlite3`, which is no dependency: to compile it takes a minute. */
export interface BetterSqlite extends SqliteDatabase {
  close(): void
}

/** Where it may be installed. */
const FOLDERS = [process.env["BETTER_SQLITE3_FOLDER"], import.meta.dirname]

/** Its constructor, or undefined if it is not installed. */
export function betterSqlite(): (new (file: string) => BetterSqlite) | undefined {
  for (const folder of FOLDERS) {
    try {
      // The package's own export.
      if (folder !== undefined) return createRequire(`${folder}/`)("better-sqlite3") as never
    } catch {
      // Not there.
    }
  }
  return undefined
}
