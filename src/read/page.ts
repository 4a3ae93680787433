import { NOW_OFFSET, START_OFFSET, type Offset } from "../protocol/offset.ts"
import { bufferedPayload, type Payload } from "./payload.ts"

/** The place of one page in its stream. */
export interface PageMark {
  /** Where the next read starts. */
  readonly offset: Offset
  readonly cursor: string | undefined
  readonly upToDate: boolean
  readonly streamClosed: boolean
}

/** What one answer, or one control event, brought. */
export interface Page extends PageMark {
  readonly payload: Payload
}

/**
 * Where a page ends for its reader. A page that holds nothing and ends before it began comes from a server that has
 * less than the one before (a replica that lags behind): who followed it there would read what lies between twice.
 *
 * @param mark - the end as the server told it
 * @param start - where the page was asked for
 * @param empty - whether it held nothing
 */
export function endOf<TMark extends { readonly offset: Offset }>(
  mark: TMark,
  start: Offset,
  empty: boolean,
): TMark {
  const sentinel = start === START_OFFSET || start === NOW_OFFSET
  // The protocol lets offsets be compared as strings; servers that count without padding get that wrong as they grow.
  const behind = mark.offset.length === start.length && mark.offset < start
  return empty && !sentinel && behind ? { ...mark, offset: start } : mark
}

/** A page whose content is not wanted: its place, and what it says of the stream. */
export function withoutContent(page: Page): Page {
  page.payload.release()
  return { ...page, payload: bufferedPayload(new Uint8Array()) }
}
