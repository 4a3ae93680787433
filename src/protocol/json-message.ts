import { byteView } from "./byte-view.ts"

/** Why a value cannot be a message of a JSON stream. */
export interface NotOneJsonValue {
  readonly kind: "invalid"
  readonly cause: unknown
}

/** One message of a JSON stream, serialized: text, or the bytes that the caller serialized. */
export type JsonMessage =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }

/**
 * Serializes one message of a JSON stream. A string or bytes are taken to be serialized already, and must be
 * exactly one JSON value: messages are sent side by side in one array, where `1},{"x":2` would smuggle in more
 * than one, and malformed text would spoil its neighbours.
 *
 * @param value - a JSON value, or one serialized as a string or UTF-8 bytes (an ArrayBuffer or a view of one)
 */
export function serializeJsonMessage(value: unknown): JsonMessage | NotOneJsonValue {
  try {
    if (typeof value === "string") {
      JSON.parse(value)
      return { kind: "text", text: value }
    }
    const bytes = byteView(value)
    if (bytes !== undefined) {
      // A BOM is not JSON: it must not be swallowed on the way to the check.
      JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes))
      return { kind: "bytes", bytes }
    }
    // The library's type hides that functions, symbols and undefined have no JSON.
    const text = JSON.stringify(value) as string | undefined
    if (text === "{}") refuseOpaque(value)
    if (text !== undefined) return { kind: "text", text }
    return { kind: "invalid", cause: new TypeError(`${typeof value} has no JSON`) }
  } catch (cause) {
    return { kind: "invalid", cause }
  }
}

/** What these hold is not in their JSON, which is `{}`. Nobody means that. */
function refuseOpaque(value: unknown): void {
  const tag = Object.prototype.toString.call(value)
  if (/ (Blob|File|FormData|Headers|Request|Response|URLSearchParams)\]$/.test(tag)) {
    throw new TypeError(`${tag} has no JSON: read it first`)
  }
}
