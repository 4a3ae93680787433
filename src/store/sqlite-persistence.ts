import type { SqliteDatabase } from "../platform/sqlite-database.ts"
import type { StoredView, StreamPersistence } from "./stream-persistence.ts"

const SCHEMA = `CREATE TABLE IF NOT EXISTS durable_stream_views (
  name TEXT PRIMARY KEY, version TEXT NOT NULL, url TEXT NOT NULL, "offset" TEXT NOT NULL, value TEXT NOT NULL
)`

/**
 * One statement, so that it is atomic inside and outside a transaction of the caller. The condition is that of `mayReplace`.
 */
const SAVE = `INSERT INTO durable_stream_views AS stored (name, version, url, "offset", value) VALUES (?, ?, ?, ?, ?)
  ON CONFLICT (name) DO UPDATE
  SET version = excluded.version, url = excluded.url, "offset" = excluded."offset", value = excluded.value
  WHERE stored.version <> excluded.version OR stored.url <> excluded.url OR stored."offset" <= excluded."offset"`

/**
 * Stores a view in a SQLite database, in a row of the table `durable_stream_views`.
 *
 * @param db - a `better-sqlite3` Database, a `node:sqlite` DatabaseSync or a `bun:sqlite` Database
 * @param name - the view's name in the table; must contain the user if the views of users differ
 */
export function sqlitePersistence(db: SqliteDatabase, name: string): StreamPersistence {
  db.exec(SCHEMA)
  const select = db.prepare(
    'SELECT version, url, "offset", value FROM durable_stream_views WHERE name = ?',
  )
  const upsert = db.prepare(SAVE)
  const remove = db.prepare("DELETE FROM durable_stream_views WHERE name = ?")
  return {
    id: `sqlite:${name}`,
    load: () => select.get(name),
    save({ version, url, offset, value }: StoredView) {
      upsert.run(name, version, url, offset, value)
    },
    clear() {
      remove.run(name)
    },
  }
}
