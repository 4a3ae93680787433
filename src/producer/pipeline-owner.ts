import type { Backoff } from "../http/backoff.ts"
import type { AttemptSettings } from "./attempt.ts"
import type { Batch } from "./batch.ts"
import type { IdempotentAppendResult } from "./receipts.ts"

/** What the owner of a pipeline makes it with. */
export interface PipelineSettings extends Omit<AttemptSettings, "highestSeq"> {
  readonly autoClaim: boolean
  readonly maxInFlight: number
  readonly backoff: Backoff
}

/** What a pipeline tells its owner. */
export interface PipelineEvents {
  /** A batch is stored. */
  onAcknowledged(batch: Batch, ordinal: number, result: IdempotentAppendResult): void
  /** A single message was refused; the others go on without it. */
  onLeftOut(batch: Batch, ordinal: number, error: Error): void
  /** A batch was refused as too large and is sent in halves. */
  onTooLarge(bodyBytes: number): void
  /** Something was settled: there may be room, and waits may be over. */
  onProgress(): void
  /** Nothing more will be sent. */
  onFailed(error: Error): void
}
