import { isWellFormed } from "./well-formed.ts"

/**
 * A position in a stream: an opaque, case-sensitive token that only a server makes. Store it, send it back,
 * compare it for equality; never parse, build or change one. Two values have a meaning of their own:
 * `"-1"` (the start) and `"now"` (the tail, skipping what is stored).
 */
export type Offset = string

/** The start of a stream, and the default of every read. */
export const START_OFFSET: Offset = "-1"

/** The tail of a stream at the time of the request. */
export const NOW_OFFSET: Offset = "now"

/** Whether a value can be an offset. JSON can write strings that no URL can hold. */
export function isOffset(value: unknown): value is Offset {
  return typeof value === "string" && value !== "" && isWellFormed(value)
}

/** The result of a close. */
export interface CloseResult {
  /** Where the stream ends. An empty string if the server does not say. */
  finalOffset: Offset
}
