import { DurableStreamError } from "./durable-stream-error.ts"

/** The server misses batches that this producer sent (409 with `Producer-Expected-Seq`), or has forgotten it. */
export class SequenceGapError extends DurableStreamError {
  override name = "SequenceGapError"
  override readonly code = "SEQUENCE_GAP"
  override readonly status = 409
  /** The sequence number that the server waits for. */
  readonly expectedSeq: number
  /** The sequence number that it was sent. */
  readonly receivedSeq: number

  /**
   * @param expectedSeq - the sequence number that the server waits for
   * @param receivedSeq - the sequence number that it was sent
   */
  constructor(expectedSeq: number, receivedSeq: number, message?: string, options?: ErrorOptions) {
    super(
      message ??
        `The server waits for batch ${expectedSeq} of this producer and was sent ${receivedSeq}. It may have ` +
          "forgotten the producer: start a new epoch (autoClaim does it) once you know what was stored.",
      "SEQUENCE_GAP",
      409,
      undefined,
      options,
    )
    this.expectedSeq = expectedSeq
    this.receivedSeq = receivedSeq
  }
}
