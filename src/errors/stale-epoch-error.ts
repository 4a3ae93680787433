import { DurableStreamError } from "./durable-stream-error.ts"

/** This producer was fenced (403 with `Producer-Epoch`): another one with the same id took a higher epoch. */
export class StaleEpochError extends DurableStreamError {
  static override readonly name: string = "StaleEpochError"
  override name = "StaleEpochError"
  declare code: "STALE_EPOCH"
  declare status: 403
  /** The epoch that the server knows. */
  currentEpoch: number

  /** @param currentEpoch - the epoch that the server knows */
  constructor(currentEpoch: number, message?: string, options?: ErrorOptions) {
    super(
      message ??
        `This producer was fenced: a producer with the same id has epoch ${currentEpoch}. If that one is gone, ` +
          "continue with a higher epoch (autoClaim does it).",
      "STALE_EPOCH",
      403,
      undefined,
      options,
    )
    this.currentEpoch = currentEpoch
  }
}
