import { badOption } from "../http/option-checks.ts"
import type { SqliteDatabase } from "../platform/sqlite-database.ts"
import type { Offset } from "../protocol/offset.ts"
import type { BatchContext } from "./worker-options.ts"

/**
 * A handler throws this if its own store is at another offset than the batch's start: another worker has handled the batch.
 * The worker reads on from `storedOffset`.
 */
export class OffsetMismatchError extends Error {
  override name = "OffsetMismatchError"
  /** Where the store is. */
  readonly storedOffset: Offset

  constructor(path: string, startOffset: Offset, storedOffset: Offset) {
    super(
      `The store has handled ${path} up to ${storedOffset}; the batch starts at ${startOffset}.`,
    )
    this.storedOffset = storedOffset
  }
}

/** How far streams were handled, in the database that the handler writes to. */
export interface StoredOffsets {
  /** For the worker's option `startOffset`. */
  startOffset(path: string): Offset | undefined
  /**
   * Handles a batch in one transaction with its offset: both are stored, or neither.
   *
   * @param work - writes to the database; synchronous. What it throws rolls the transaction back
   * @throws OffsetMismatchError if the store is not at the batch's start; DurableStreamError `BAD_REQUEST` if `work` is
   *   asynchronous: nothing is stored then
   */
  apply<T>(
    batch: { readonly offset: Offset },
    context: Pick<BatchContext, "path" | "startOffset">,
    work: () => T,
  ): T
}

/**
 * Counts each batch once, although it can be delivered twice: the transaction that writes what a batch means also compares and
 * moves the offset.
 *
 * @param db - a connection that is not in a transaction
 * @param options - `table`: where the offsets are kept, one row for each path; created if missing. Each subscription that
 *   handles a stream for another purpose needs a table of its own. @default "durable_stream_offsets"
 */
export function sqliteOffsets(
  db: SqliteDatabase,
  { table = "durable_stream_offsets" }: { table?: string | undefined } = {},
): StoredOffsets {
  // JavaScript callers can give anything.
  if (typeof (table as unknown) !== "string" || table === "")
    throw badOption("table", "a name", table)
  const name = `"${table.replaceAll('"', '""')}"`
  db.exec(`CREATE TABLE IF NOT EXISTS ${name} (path TEXT PRIMARY KEY, "offset" TEXT NOT NULL)`)
  const select = db.prepare(`SELECT "offset" FROM ${name} WHERE path = ?`)
  const upsert = db.prepare(
    `INSERT INTO ${name} (path, "offset") VALUES (?, ?) ON CONFLICT (path) DO UPDATE SET "offset" = excluded."offset"`,
  )
  const startOffset = (path: string): Offset | undefined => {
    // The table's own column.
    const row = select.get(path) as { readonly offset: string } | undefined | null
    return row?.offset
  }
  return {
    startOffset,
    apply(batch, { path, startOffset: batchStart }, work) {
      // The lock comes before the comparison: a second worker waits here, and then sees the new offset.
      db.exec("BEGIN IMMEDIATE")
      try {
        const stored = startOffset(path)
        if (stored !== undefined && stored !== batchStart) {
          throw new OffsetMismatchError(path, batchStart, stored)
        }
        const result = work()
        // Any value may be asked for a property.
        if (typeof (result as Partial<PromiseLike<unknown>> | undefined)?.then === "function") {
          throw badOption("work", "synchronous: the transaction ends when it returns", result)
        }
        upsert.run(path, batch.offset)
        db.exec("COMMIT")
        return result
      } catch (error) {
        try {
          db.exec("ROLLBACK")
        } catch {
          // SQLite rolls back by itself for some errors (a full disk, `INSERT OR ROLLBACK`): the first one says why.
        }
        throw error
      }
    },
  }
}
