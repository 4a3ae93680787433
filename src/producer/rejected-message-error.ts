import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { decodeUtf8 } from "../platform/text.ts"

/** What `details` of the error for a rejected message holds. */
export interface RejectedMessageDetails {
  /** The message, as it was or would have been sent. */
  readonly message: Uint8Array
  /** The same, read as UTF-8. */
  readonly text: string
}

/**
 * The error for one message that was rejected; the others go through.
 *
 * @param cause - the server's response, or what is wrong with the message
 */
export function rejectedMessageError(
  stream: string,
  message: Uint8Array,
  cause: Error,
): DurableStreamError {
  const details: RejectedMessageDetails = { message, text: decodeUtf8(message) }
  return new DurableStreamError(
    `One message for ${stream} was rejected; the others go through. ${cause.message}`,
    cause instanceof DurableStreamError ? cause.code : "UNKNOWN",
    cause instanceof DurableStreamError ? cause.status : undefined,
    details,
    { cause },
  )
}
