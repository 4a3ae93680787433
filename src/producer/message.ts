import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { byteView } from "../protocol/byte-view.ts"
import { serializeJsonMessage } from "../protocol/json-message.ts"

/** One message as it goes into a batch: text, or bytes that may still be the caller's. */
export type Message = string | Uint8Array

/** A message that waits for its stream's content type to be known, as it was when it was queued. */
export interface HeldMessage {
  /** `value` is what only a JSON stream takes, serialized already. */
  readonly kind: "text" | "bytes" | "value"
  readonly bytes: Uint8Array
}

const encoder = new TextEncoder()

/**
 * Makes what a caller appends into a message.
 *
 * @param isJson - whether the stream is in JSON mode, where a string or bytes must be exactly one JSON value
 * @param stream - the stream as messages may show it
 * @throws DurableStreamError `PARSE_ERROR` where it is not one JSON value and has to be, `BAD_REQUEST` where it is
 *   empty or the stream takes no such value
 */
export function toMessage(value: unknown, isJson: boolean, stream: string): Message {
  if (isJson) return toJsonMessage(value, stream)
  const content = typeof value === "string" ? value : byteView(value)
  if (content === undefined) throw notContent(stream)
  if (content.length === 0) throw emptyMessage(stream)
  return content
}

/**
 * Keeps what a caller appends before the stream's content type is known. Whether the stream takes it is said later.
 *
 * @throws DurableStreamError where no stream could take it
 */
export function holdMessage(value: unknown, stream: string): HeldMessage {
  if (typeof value === "string") return { kind: "text", bytes: encoder.encode(value) }
  const bytes = byteView(value)
  if (bytes !== undefined) return { kind: "bytes", bytes: bytes.slice() }
  const message = toJsonMessage(value, stream)
  return { kind: "value", bytes: typeof message === "string" ? encoder.encode(message) : message }
}

/**
 * Says what a held message is, now that the content type is known.
 *
 * @throws as {@link toMessage} does
 */
export function releaseMessage(held: HeldMessage, isJson: boolean, stream: string): Message {
  if (held.kind !== "value") return toMessage(held.bytes, isJson, stream)
  if (!isJson) throw notContent(stream)
  return held.bytes
}

/** Whether two held messages are the same. */
export function isSameMessage(one: HeldMessage | undefined, other: HeldMessage): boolean {
  if (one?.kind !== other.kind || one.bytes.byteLength !== other.bytes.byteLength) return false
  return one.bytes.every((byte, index) => byte === other.bytes[index])
}

/** How many bytes a message takes. */
export function byteLengthOf(message: Message): number {
  return typeof message === "string" ? encoder.encode(message).byteLength : message.byteLength
}

function toJsonMessage(value: unknown, stream: string): Message {
  if (typeof value === "object" && value !== null) refuseUnfinished(value, stream)
  const message = serializeJsonMessage(value)
  if (message.kind === "text") return message.text
  if (message.kind === "bytes") return message.bytes
  throw new DurableStreamError(
    `What was appended to ${stream} is not exactly one JSON value; a string or bytes must be serialized JSON there.`,
    "PARSE_ERROR",
    undefined,
    undefined,
    { cause: message.cause },
  )
}

/** What is still to come has the JSON `{}`, which nobody means. */
function refuseUnfinished(value: object, stream: string): void {
  if ("then" in value && typeof value.then === "function") {
    throw new DurableStreamError(
      `A promise cannot be appended to ${stream}: await it first.`,
      "BAD_REQUEST",
    )
  }
  if ("getReader" in value || Symbol.asyncIterator in value) {
    throw new DurableStreamError(
      `A stream cannot be one message of ${stream}: append what it gives, or pipe it to writable().`,
      "BAD_REQUEST",
    )
  }
}

function notContent(stream: string): DurableStreamError {
  return new DurableStreamError(
    `${stream} takes strings and bytes; other values need a JSON stream.`,
    "BAD_REQUEST",
  )
}

function emptyMessage(stream: string): DurableStreamError {
  return new DurableStreamError(
    `The message for ${stream} is empty: there is nothing to append.`,
    "BAD_REQUEST",
  )
}
