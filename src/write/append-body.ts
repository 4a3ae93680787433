import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { byteView } from "../protocol/byte-view.ts"
import { isJsonContentType } from "../protocol/content-type.ts"
import { joinBytes } from "../protocol/join-bytes.ts"
import { serializeJsonMessage } from "../protocol/json-message.ts"

/** What a caller gave as a body, as it was at the time of the call: later changes do not reach it. */
export type BodySnapshot =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  /** Any other value, serialized. */
  | { readonly kind: "json"; readonly text: string }
  /** A value without JSON: no stream takes it. */
  | { readonly kind: "unserializable"; readonly cause: unknown }
  | { readonly kind: "refused"; readonly error: DurableStreamError }

/** What one caller adds to a request's body: raw content, or one serialized message of a JSON stream. */
export type AppendPart = string | Uint8Array

/**
 * Takes a body as it is now: bytes are copied, values serialized.
 *
 * @param stream - the stream as messages may show it
 */
export function takeBody(value: unknown, stream: string): BodySnapshot {
  if (typeof value === "string") return { kind: "text", text: value }
  const bytes = byteView(value)
  if (bytes !== undefined) return { kind: "bytes", bytes: bytes.slice() }
  if (isSource(value)) {
    const error = new DurableStreamError(
      `append() takes one body, not a stream of them: use appendStream() for ${stream}.`,
      "BAD_REQUEST",
    )
    return { kind: "refused", error }
  }
  const message = serializeJsonMessage(value)
  if (message.kind === "text") return { kind: "json", text: message.text }
  return {
    kind: "unserializable",
    cause: message.kind === "invalid" ? message.cause : undefined,
  }
}

/** Whether no content type makes a body one that can be sent. */
export function isHopeless({ kind }: BodySnapshot): boolean {
  return kind === "refused" || kind === "unserializable"
}

/** The content type to try where nobody knows the stream's. The server refuses it where it is not. */
export function guessContentType(body: BodySnapshot): string {
  if (body.kind === "text") return "text/plain"
  return body.kind === "bytes" ? "application/octet-stream" : "application/json"
}

/**
 * Makes what a caller gave into content of a type.
 *
 * @param stream - the stream as messages may show it
 * @throws DurableStreamError `PARSE_ERROR` where it is not one JSON value and has to be, `BAD_REQUEST` where it is
 *   empty or needs a JSON stream
 */
export function encodeBody(body: BodySnapshot, contentType: string, stream: string): AppendPart {
  if (body.kind === "refused") throw body.error
  if (isJsonContentType(contentType)) return encodeJson(body, stream)
  if (body.kind === "json" || body.kind === "unserializable") {
    throw new DurableStreamError(
      `${stream} takes strings and bytes (it is ${contentType}); other values need a JSON stream.`,
      "BAD_REQUEST",
    )
  }
  const part = body.kind === "text" ? body.text : body.bytes
  if (part.length === 0) {
    throw new DurableStreamError(
      `The body for ${stream} is empty: there is nothing to append.`,
      "BAD_REQUEST",
    )
  }
  return part
}

/**
 * Puts parts into the body of one request: messages into one array, which the server flattens, content side by side.
 */
export function joinParts(parts: readonly AppendPart[], contentType: string): AppendPart {
  if (isJsonContentType(contentType)) return concat(parts, ["[", ",", "]"])
  const [only] = parts
  return only !== undefined && parts.length === 1 ? only : concat(parts, ["", "", ""])
}

function encodeJson(body: Exclude<BodySnapshot, { kind: "refused" }>, stream: string): AppendPart {
  // Serialized by takeBody: there is nothing left to check.
  if (body.kind === "json") return body.text
  if (body.kind === "unserializable") {
    throw notJson(`The body for ${stream} cannot be serialized as JSON.`, body.cause)
  }
  const message = serializeJsonMessage(body.kind === "text" ? body.text : body.bytes)
  if (message.kind === "text") return message.text
  if (message.kind === "bytes") return message.bytes
  throw notJson(
    `The body for ${stream} is not exactly one JSON value; strings and bytes must be serialized JSON there.`,
    message.cause,
  )
}

function notJson(message: string, cause: unknown): DurableStreamError {
  return new DurableStreamError(message, "PARSE_ERROR", undefined, undefined, { cause })
}

/** Text stays text: the platform encodes it faster than this could, and traces and mocks can read it. */
function concat(
  parts: readonly AppendPart[],
  [head, between, tail]: readonly [head: string, between: string, tail: string],
): AppendPart {
  if (parts.every((part) => typeof part === "string")) return head + parts.join(between) + tail
  const encoder = new TextEncoder()
  const pieces: Uint8Array[] = [encoder.encode(head)]
  parts.forEach((part, index) => {
    if (index > 0) pieces.push(encoder.encode(between))
    pieces.push(typeof part === "string" ? encoder.encode(part) : part)
  })
  pieces.push(encoder.encode(tail))
  return joinBytes(pieces)
}

/** A stream or an async iterable. Its JSON would be `{}`, which nobody means. */
function isSource(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false
  try {
    return "getReader" in value || Symbol.asyncIterator in value
  } catch {
    // A proxy that cannot be looked at.
    return false
  }
}
