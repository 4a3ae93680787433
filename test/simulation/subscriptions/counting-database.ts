import type { SqliteDatabase } from "../../../src/subscriptions/index.ts"

/**
 * What a program keeps in a database: how often it counted each message, and the offsets of the helper. It understands the
 * helper's statements, and transactions; better-sqlite3 is the real one, in the integration tests.
 */
export class CountingDatabase implements SqliteDatabase {
  counts = new Map<string, number>()
  #offsets = new Map<string, string>()
  #saved: { counts: Map<string, number>; offsets: Map<string, string> } | undefined

  count(message: string): void {
    this.counts.set(message, (this.counts.get(message) ?? 0) + 1)
  }

  exec(sql: string): void {
    if (sql.startsWith("BEGIN")) {
      this.#saved = { counts: new Map(this.counts), offsets: new Map(this.#offsets) }
    } else if (sql === "ROLLBACK" && this.#saved !== undefined) {
      this.counts = this.#saved.counts
      this.#offsets = this.#saved.offsets
    }
  }

  prepare(sql: string): ReturnType<SqliteDatabase["prepare"]> {
    if (!/^(SELECT|INSERT)/.test(sql)) throw new Error(`an unknown statement: ${sql}`)
    return {
      get: (path) => {
        const offset = this.#offsets.get(String(path))
        return offset === undefined ? undefined : { offset }
      },
      all: () => [],
      run: (path, offset) => void this.#offsets.set(String(path), String(offset)),
    }
  }

  close(): void {}
}
