import { decodeUtf8Strictly, encodeUtf8 } from "../platform/text.ts"
import { byteView, tagOf, joinBytes } from "./bytes.ts"
import { isJsonContentType } from "./content-type.ts"
import { isWellFormed } from "./well-formed.ts"

/** What a request carries of a message: text that UTF-8 can encode, or bytes. */
export type MessageContent = string | Uint8Array

/** A value that only a JSON stream takes, serialized. */
export interface SerializedValue {
  readonly kind: "value"
  readonly json: string
}

export interface InvalidMessage {
  readonly kind: "invalid"
  readonly code: "PARSE_ERROR" | "BAD_REQUEST"
  readonly reason: string
  readonly cause?: unknown
}

/** A message as the caller gave it at the time of the call. Text and bytes are their own snapshot, which costs no object. */
export type MessageSnapshot = MessageContent | SerializedValue | InvalidMessage

export const DEFAULT_CONTENT_TYPE = "application/octet-stream"

/**
 * Takes a message as it is now: later changes of the value do not reach it.
 *
 * @param copies - false keeps the caller's bytes: for a message that is encoded before the call returns
 */
export function takeSnapshot(value: unknown, copies = true): MessageSnapshot {
  if (typeof value === "string") return value
  const bytes = byteView(value)
  if (bytes === undefined) return serialize(value)
  return copies ? bytes.slice() : bytes
}

/**
 * What a request carries of a message on a stream of this content type. May be empty on a stream that is not JSON.
 *
 * On a JSON stream, text and bytes must be exactly one JSON value: messages are sent side by side in one array, where
 * `1},{"x":2` would inject a second message, and malformed text would corrupt the others.
 */
export function encodeMessage(
  message: MessageSnapshot,
  contentType: string,
): MessageContent | InvalidMessage {
  const isJson = isJsonContentType(contentType)
  if (typeof message === "string" || !("kind" in message)) {
    return isJson ? checkJson(message) : checkText(message)
  }
  if (isJson) return message.kind === "value" ? message.json : message
  if (message.kind === "invalid" && message.code === "BAD_REQUEST") return message
  return invalid(
    "BAD_REQUEST",
    `a stream of ${contentType} takes strings and bytes; other values need a JSON stream`,
  )
}

/** Puts messages into one request: on a JSON stream into one array, which the server flattens, otherwise side by side. */
export function joinMessages(
  parts: readonly MessageContent[],
  contentType: string,
): MessageContent {
  const [head, between, tail] = isJsonContentType(contentType) ? ["[", ",", "]"] : ["", "", ""]
  const [only] = parts
  if (only !== undefined && parts.length === 1 && head === "") return only
  // Text stays text: the platform encodes it faster, and traces and mocks can read it.
  if (parts.every((part) => typeof part === "string")) return head + parts.join(between) + tail
  const pieces = parts.flatMap((part, index) => {
    const bytes = typeof part === "string" ? encodeUtf8(part) : part
    return head === "" ? bytes : [encodeUtf8(index === 0 ? head : between), bytes]
  })
  return joinBytes([...pieces, encodeUtf8(tail)])
}

/** The content type to try if it is not known. The server rejects it if it is not the stream's. */
export function guessContentType(message: MessageSnapshot): string {
  if (typeof message === "string") return "text/plain"
  return "kind" in message ? "application/json" : DEFAULT_CONTENT_TYPE
}

function checkText(content: MessageContent): MessageContent | InvalidMessage {
  if (typeof content !== "string" || isWellFormed(content)) return content
  return halfCharacter("BAD_REQUEST")
}

function checkJson(content: MessageContent): MessageContent | InvalidMessage {
  try {
    JSON.parse(typeof content === "string" ? content : decodeUtf8Strictly(content))
  } catch (cause) {
    return invalid("PARSE_ERROR", "a string or bytes must be exactly one JSON value", cause)
  }
  return typeof content !== "string" || isWellFormed(content)
    ? content
    : halfCharacter("PARSE_ERROR")
}

/** The platform would send U+FFFD in its place. */
function halfCharacter(code: InvalidMessage["code"]): InvalidMessage {
  return invalid(code, "the text contains half of a character (a lone surrogate)")
}

function invalid(code: InvalidMessage["code"], reason: string, cause?: unknown): InvalidMessage {
  return { kind: "invalid", code, reason, cause }
}

function serialize(value: unknown): SerializedValue | InvalidMessage {
  try {
    const hint = typeof value === "object" && value !== null && hintFor(value)
    if (hint) return invalid("BAD_REQUEST", hint)
    // The library's type hides that functions, symbols and undefined have no JSON.
    const json = JSON.stringify(value) as string | undefined
    if (json === undefined) return invalid("PARSE_ERROR", `${typeof value} has no JSON`)
    // Only what became `{}` can have lost what it held: other messages need no second look.
    const culprit = json.includes("{}") ? findUnserializable(value) : undefined
    return culprit === undefined ? { kind: "value", json } : invalid("PARSE_ERROR", culprit)
  } catch (cause) {
    return invalid("PARSE_ERROR", explain(value) ?? "it cannot be serialized", cause)
  }
}

/** What to do with a value that will be something else later. */
function hintFor(value: object): string | undefined {
  if ("then" in value && typeof value.then === "function") return "await the promise first"
  if (!("getReader" in value || Symbol.asyncIterator in value)) return undefined
  return "a stream is not one message; use appendStream() or writable()"
}

function explain(value: unknown): string | undefined {
  try {
    return findUnserializable(value)
  } catch {
    // A getter, a proxy or toJSON that throws.
    return undefined
  }
}

/** Finds what JSON.stringify throws for, or silently makes `{}` of, and where it is. */
function findUnserializable(
  given: unknown,
  key = "",
  path = "",
  ancestors: readonly unknown[] = [],
): string | undefined {
  // Any value may be asked for a property, but null and undefined.
  const { toJSON } = (given ?? {}) as { toJSON?: unknown }
  const value: unknown = typeof toJSON === "function" ? toJSON.call(given, key) : given
  const found = (what: string) => `${what}${path && ` at ${path.slice(0, 100)}`} has no JSON`
  if (typeof value === "bigint") return found("BigInt")
  if (typeof value !== "object" || value === null) return undefined
  if (ancestors.includes(value)) return found("a circular reference")
  const entries = Object.entries(value)
  const tag = tagOf(value).slice(8, -1)
  // Map, Set, Error, RegExp, Promise, Blob, Headers, ArrayBuffer, …: what they hold is not in their properties.
  if (entries.length === 0 && !TRANSPARENT_TAGS.includes(tag)) return found(tag)
  for (const [name, child] of entries) {
    const index = /^\d+$/.test(name) ? name : JSON.stringify(name)
    const step = /^[a-z_$][\w$]*$/i.test(name) ? `.${name}` : `[${index}]`
    const culprit = findUnserializable(child, name, path + step, [...ancestors, value])
    if (culprit !== undefined) return culprit
  }
  return undefined
}

const TRANSPARENT_TAGS = ["Object", "Array", "Arguments", "Boolean", "Number", "String"]
