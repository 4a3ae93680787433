import type { SqliteDatabase } from "@durable-streams/client/outbox"

/** Opens a database with the SQLite of the runtime: Node's or Bun's. */
export async function openSqlite(file: string): Promise<SqliteDatabase> {
  // A name in a variable: no runtime has both modules.
  const name = "Bun" in globalThis ? "bun:sqlite" : "node:sqlite"
  const module = (await import(name)) as Record<string, new (file: string) => SqliteDatabase>
  const Database = module["DatabaseSync"] ?? module["Database"]!
  return new Database(file)
}
