import type { Offset } from "../protocol/offset.ts"
import type { Transport } from "./stream-event.ts"

/** Where a request reads, and how. */
export interface ReadRequest {
  readonly transport: Transport
  readonly offset: Offset
  readonly cursor: string | undefined
  /** Whether text is taken as SSE brings it, also where SSE may have changed it. */
  readonly anyText: boolean
}
