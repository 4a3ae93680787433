import { decodeUtf8 } from "../platform/text.ts"
import { joinBytes } from "./join-bytes.ts"

/**
 * Turns bytes into text across chunks, pages and transports, keeping a character that is only half there until its
 * other half comes. A BOM is content and is kept, wherever it stands: only so is a text the same whether it was read
 * in one page, in many, over SSE or from an offset in its middle.
 */
export class Utf8Assembler {
  #held: Uint8Array = new Uint8Array()

  /** Whether everything that came in has gone out: the end of the text so far is the end of a character. */
  get aligned(): boolean {
    return this.#held.byteLength === 0
  }

  /** Takes bytes and gives the characters that they complete. */
  push(bytes: Uint8Array): string {
    const joined = this.aligned ? bytes : joinBytes([this.#held, bytes])
    const whole = joined.byteLength - incompleteTail(joined)
    this.#held = joined.slice(whole)
    return decodeUtf8(joined.subarray(0, whole))
  }

  /** What is left of a character whose end never came: U+FFFD, or nothing. */
  flush(): string {
    const rest = decodeUtf8(this.#held)
    this.#held = new Uint8Array()
    return rest
  }
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
