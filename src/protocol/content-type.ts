import { SSE_COMPATIBLE_CONTENT_TYPES } from "./names.ts"

/**
 * The media type without parameters, in lower case: `Application/JSON; charset=utf-8` is `application/json`.
 * So is one that two layers added.
 *
 * @param contentType - a Content-Type value, or nothing
 */
export function mediaType(contentType: string | null | undefined): string {
  return (contentType ?? "").split(/[;,]/, 1)[0]?.trim().toLowerCase() ?? ""
}

/** Whether a stream of this content type is in JSON mode, where the unit is a message. */
export function isJsonContentType(contentType: string | null | undefined): boolean {
  // Asked for every message: costs no string, unlike mediaType.
  return /^\s*application\/json\s*([;,]|$)/i.test(contentType ?? "")
}

/** Whether SSE carries this content type as plain text. Every other type is base64, even if no header says so. */
export function isPlainInSse(contentType: string | null | undefined): boolean {
  const type = mediaType(contentType)
  return SSE_COMPATIBLE_CONTENT_TYPES.some((prefix) =>
    prefix.endsWith("/") ? type.startsWith(prefix) : type === prefix,
  )
}
