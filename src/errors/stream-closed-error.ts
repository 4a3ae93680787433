import { describeUrl } from "../protocol/request-url.ts"
import type { Offset } from "../protocol/offset.ts"
import { DurableStreamError } from "./durable-stream-error.ts"

/** A write to a closed stream (409 with `Stream-Closed`). Nothing was stored, and nothing ever will be. */
export class StreamClosedError extends DurableStreamError {
  override name = "StreamClosedError"
  override readonly code = "STREAM_CLOSED"
  override readonly status = 409
  readonly streamClosed = true
  /** Where the stream ends, where the server said so. */
  readonly finalOffset?: Offset

  /**
   * @param url - the stream; the message shows it without its query
   * @param finalOffset - where the stream ends
   */
  constructor(url?: string, finalOffset?: Offset, options?: ErrorOptions) {
    const stream = url === undefined ? "The stream" : `The stream ${describeUrl(url)}`
    super(
      `${stream} is closed and takes no more data. Write to a new stream, or to a fork of it.`,
      "STREAM_CLOSED",
      409,
      undefined,
      options,
    )
    if (finalOffset !== undefined) this.finalOffset = finalOffset
  }
}
