import type { MaybePromise } from "../http/request-inputs.ts"
import type { Offset } from "../protocol/offset.ts"

/** A view and the offset up to which it was read, as they are stored: together, in one write. */
export interface StoredView {
  /** The option `version`, as text. */
  readonly version: string
  /** The stream's URL without query, fragment and credentials. */
  readonly url: string
  /** Where reading resumes. */
  readonly offset: Offset
  /** The view, as `serialize` made it. */
  readonly value: string
}

/** Where a view is stored: one record. */
export interface StreamPersistence {
  /** Names the record. Two persistences with one id keep the same record. */
  readonly id: string
  /** The record, or whatever is in its place: it is checked by the caller. */
  load(): MaybePromise<unknown>
  /**
   * Stores a record in one write. What is stored stays if {@link mayReplace} says so: compare and write without another tab or
   * process in between.
   */
  save(record: StoredView): MaybePromise<void>
  /** Deletes the record. */
  clear(): MaybePromise<void>
}

/**
 * Whether a record may take the place of the stored one. It may not if that is of the same stream and version, and newer:
 * another tab has read further.
 *
 * @param stored - what is stored now; anything
 */
export function mayReplace(stored: unknown, record: StoredView): boolean {
  if (!isStoredView(stored)) return true
  const isSameView = stored.version === record.version && stored.url === record.url
  return !isSameView || stored.offset <= record.offset
}

/** Whether a value is a record of any view. */
export function isStoredView(value: unknown): value is StoredView {
  if (typeof value !== "object" || value === null) return false
  // Any object may be asked for its properties; each is checked.
  const record = value as Partial<Record<keyof StoredView, unknown>>
  return [record.version, record.url, record.offset, record.value].every(
    (field) => typeof field === "string",
  )
}
