/** What is needed of a SQLite database: `better-sqlite3`, `node:sqlite` and `bun:sqlite` have it. */
export interface SqliteDatabase {
  exec(sql: string): unknown
  prepare(sql: string): {
    get(...parameters: string[]): unknown
    run(...parameters: string[]): unknown
  }
}
