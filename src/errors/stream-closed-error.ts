import { describeUrl } from "../protocol/request-url.ts"
import type { Offset } from "../protocol/offset.ts"
import { DurableStreamError } from "./durable-stream-error.ts"

/** A write to a closed stream (409 with `Stream-Closed`). Nothing was stored. */
export class StreamClosedError extends DurableStreamError {
  static override readonly name: string = "StreamClosedError"
  override name = "StreamClosedError"
  declare code: "STREAM_CLOSED"
  declare status: 409
  streamClosed = true
  /** Where the stream ends, if the server said so. */
  declare finalOffset?: Offset

  /**
   * @param url - the stream; the message shows it without its query
   * @param finalOffset - where the stream ends
   */
  constructor(url?: string, finalOffset?: Offset, options?: ErrorOptions) {
    const stream = url === undefined ? "The stream" : `The stream ${describeUrl(url)}`
    super(
      `${stream} is closed. Write to a new stream, or to a fork of it.`,
      "STREAM_CLOSED",
      409,
      undefined,
      options,
    )
    if (finalOffset !== undefined) this.finalOffset = finalOffset
  }
}
