import { DurableStreamError } from "../errors/durable-stream-error.ts"

/** What `details` of the error for a message that was left out holds. */
export interface RejectedMessageDetails {
  /** The message, as it was or would have been sent. */
  readonly message: Uint8Array
  /** The same, read as UTF-8. */
  readonly text: string
}

/**
 * The error for one message that was left out, while the others go on.
 *
 * @param cause - why: the server's answer, or what is wrong with the message
 */
export function rejectedMessageError(
  stream: string,
  message: Uint8Array,
  cause: Error,
): DurableStreamError {
  const details: RejectedMessageDetails = { message, text: new TextDecoder().decode(message) }
  return new DurableStreamError(
    `One message for ${stream} was refused and left out; the others go on without it. ${cause.message}`,
    cause instanceof DurableStreamError ? cause.code : "UNKNOWN",
    cause instanceof DurableStreamError ? cause.status : undefined,
    details,
    { cause },
  )
}
