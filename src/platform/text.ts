let encoder: TextEncoder | undefined
let decoder: TextDecoder | undefined

/**
 * The text with U+FFFD in place of each half of a character (a lone surrogate). With the flag `u`, the class does not match
 * a surrogate of a pair; Hermes compiles it, unlike a property escape.
 */
export function toWellFormed(text: string): string {
  return text.replace(/[\uD800-\uDFFF]/gu, "\uFFFD")
}

/**
 * The UTF-8 of a text; half a character (a lone surrogate) becomes U+FFFD. Also on a platform without `TextEncoder`
 * (jest's jsdom).
 */
export function encodeUtf8(text: string): Uint8Array {
  if (typeof TextEncoder === "undefined") return encodeByHand(text)
  return (encoder ??= new TextEncoder()).encode(text)
}

/**
 * The text of whole UTF-8. A BOM is content and is kept, what is malformed becomes U+FFFD.
 *
 * @throws TypeError if the bytes are malformed and the platform has no `TextDecoder`
 */
export function decodeUtf8(bytes: Uint8Array): string {
  if (typeof TextDecoder === "undefined") return decodeByHand(bytes)
  return (decoder ??= new TextDecoder("utf-8", { ignoreBOM: true })).decode(bytes)
}

/**
 * The text of whole UTF-8, BOM included. Does not need a `TextDecoder` that knows `fatal`, which some platforms lack.
 *
 * @throws TypeError if the bytes are malformed
 */
export function decodeUtf8Strictly(bytes: Uint8Array): string {
  const text = decodeUtf8(bytes)
  // It may also be in the bytes.
  if (text.includes("\uFFFD")) {
    const again = encodeUtf8(text)
    if (again.length !== bytes.length || again.some((byte, at) => byte !== bytes[at])) {
      throw new TypeError("The bytes are not valid UTF-8")
    }
  }
  return text
}

function encodeByHand(text: string): Uint8Array {
  const units = encodeURIComponent(toWellFormed(text)).match(/%..|[^%]/g) ?? []
  return Uint8Array.from(units, (unit) =>
    unit.length === 1 ? unit.charCodeAt(0) : parseInt(unit.slice(1), 16),
  )
}

function decodeByHand(bytes: Uint8Array): string {
  let escaped = ""
  for (const byte of bytes) escaped += (byte < 16 ? "%0" : "%") + byte.toString(16)
  try {
    return decodeURIComponent(escaped)
  } catch {
    throw new TypeError(
      "TextDecoder is missing on this platform, and bytes that are not UTF-8 need it",
    )
  }
}
