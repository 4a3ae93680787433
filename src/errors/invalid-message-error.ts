import type { InvalidMessage, MessageSnapshot } from "../protocol/message.ts"
import { DurableStreamError } from "./durable-stream-error.ts"

/**
 * The error for a value that is not a message. Nothing of it was sent.
 *
 * @param stream - the stream as messages may show it
 */
export function invalidMessageError(
  stream: string,
  { code, reason, cause }: Omit<InvalidMessage, "kind">,
): DurableStreamError {
  const message = `The message for ${stream} was not sent: ${reason}.`
  return new DurableStreamError(message, code, undefined, undefined, { cause })
}

export function checkMessage<T extends MessageSnapshot>(
  message: T,
  stream: string,
): Exclude<T, InvalidMessage> {
  if (typeof message === "object" && "kind" in message && message.kind === "invalid") {
    throw invalidMessageError(stream, message)
  }
  // What is left is not invalid; the compiler does not narrow a type parameter.
  return message as Exclude<T, InvalidMessage>
}
