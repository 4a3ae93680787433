import type { Offset } from "../protocol/offset.ts"
import type { Payload } from "./payload.ts"

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
