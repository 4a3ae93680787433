import { DurableStreamError } from "./durable-stream-error.ts"

/** This producer was fenced (403 with `Producer-Epoch`): another one with the same id took a higher epoch. */
export class StaleEpochError extends DurableStreamError {
  override name = "StaleEpochError"
  override readonly code = "STALE_EPOCH"
  override readonly status = 403
  /** The epoch that the server knows. */
  readonly currentEpoch: number

  /** @param currentEpoch - the epoch that the server knows */
  constructor(currentEpoch: number, message?: string, options?: ErrorOptions) {
    super(
      message ??
        `This producer was fenced: a producer with the same id has epoch ${currentEpoch}. Stop it, or go on ` +
          "with a higher epoch (autoClaim does it) if the other one is gone.",
      "STALE_EPOCH",
      403,
      undefined,
      options,
    )
    this.currentEpoch = currentEpoch
  }
}
