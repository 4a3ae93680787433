interface Base64Decoder {
  fromBase64?(text: string): Uint8Array
}

/**
 * Decodes standard base64.
 *
 * @param text - base64 without line breaks, padded to a multiple of four
 * @returns the bytes, or undefined if the text is not valid
 * @throws TypeError if the platform cannot decode base64
 */
export function decodeBase64(text: string): Uint8Array | undefined {
  if (text.length % 4 !== 0) return undefined
  // Uint8Array.fromBase64 is newer than the TypeScript library this compiles against.
  const native = (Uint8Array as Base64Decoder).fromBase64
  if (native === undefined && typeof atob === "undefined") {
    throw new TypeError(
      'atob is missing on this platform: read binary streams with live: "long-poll"',
    )
  }
  try {
    if (native !== undefined) return native.call(Uint8Array, text)
    const binary = atob(text)
    const bytes = new Uint8Array(binary.length)
    for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i)
    return bytes
  } catch {
    return undefined
  }
}
