import { decodeUtf8 } from "../platform/text.ts"
import { joinBytes } from "./bytes.ts"

/** Text, and the bytes behind it that begin a character whose end has not arrived: at most three. */
export interface PartialText {
  readonly text: string
  readonly pending: Uint8Array | undefined
}

/** Nothing decoded, nothing pending. */
export const NO_TEXT: PartialText = { text: "", pending: undefined }

/**
 * Decodes UTF-8 that arrives in chunks, split anywhere. A BOM is content and is kept: only so is a text the same if it was
 * read in one page, in many, over SSE, or from an offset in its middle. (Not the platform's `{ stream: true }`: Node decodes
 * with it several times slower, and its state cannot be taken back when a page breaks.)
 *
 * @param before - what was decoded before these bytes
 * @returns that text and the characters that the bytes complete
 */
export function decodeChunk({ text, pending }: PartialText, bytes: Uint8Array): PartialText {
  const joined = pending === undefined ? bytes : joinBytes([pending, bytes])
  const end = joined.byteLength - incompleteTail(joined)
  if (end === joined.byteLength) return { text: text + decodeUtf8(joined), pending: undefined }
  // A copy: a view would hold on to the whole chunk.
  return { text: text + decodeUtf8(joined.subarray(0, end)), pending: joined.slice(end) }
}

/** The text of a stream that has ended: a character that never became whole is U+FFFD. */
export function endText({ text, pending }: PartialText): PartialText {
  return { text: pending === undefined ? text : text + decodeUtf8(pending), pending: undefined }
}

/** How many bytes at the end begin a character that is not whole. */
function incompleteTail(bytes: Uint8Array): number {
  const { byteLength } = bytes
  for (let back = 1; back <= Math.min(3, byteLength); back++) {
    const byte = bytes[byteLength - back] ?? 0
    const isContinuation = (byte & 0xc0) === 0x80
    if (!isContinuation) return characterLength(byte) > back ? back : 0
  }
  return 0
}

function characterLength(leadByte: number): number {
  if (leadByte >= 0xf0 && leadByte <= 0xf4) return 4
  if (leadByte >= 0xe0 && leadByte <= 0xef) return 3
  if (leadByte >= 0xc2 && leadByte <= 0xdf) return 2
  return 1
}
