import { DurableStreamError } from "./durable-stream-error.ts"

/** A gap (409 with `Producer-Expected-Seq`): the server lacks an earlier batch of this producer, or has forgotten it. */
export class SequenceGapError extends DurableStreamError {
  static override readonly name: string = "SequenceGapError"
  override name = "SequenceGapError"
  declare code: "SEQUENCE_GAP"
  declare status: 409
  /** The sequence number that the server expects. */
  expectedSeq: number
  /** The sequence number that it was sent. */
  receivedSeq: number

  /**
   * @param expectedSeq - the sequence number that the server expects
   * @param receivedSeq - the sequence number that it was sent
   */
  constructor(expectedSeq: number, receivedSeq: number, message?: string, options?: ErrorOptions) {
    super(
      message ??
        `The server expects batch ${expectedSeq} of this producer and received ${receivedSeq}. It may have forgotten ` +
          "the producer: check what is stored, then start a new epoch (autoClaim does it).",
      "SEQUENCE_GAP",
      409,
      undefined,
      options,
    )
    this.expectedSeq = expectedSeq
    this.receivedSeq = receivedSeq
  }
}
