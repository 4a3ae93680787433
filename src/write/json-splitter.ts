import { checkMessage, invalidMessageError } from "../errors/invalid-message-error.ts"
import { encodeMessage, type MessageContent } from "../protocol/message.ts"

/** Turns the chunks of a source into the parts of request bodies. */
export interface ContentSplitter {
  /** @returns the parts that this chunk completes */
  push(chunk: Uint8Array | string): MessageContent[]
  /** @returns what is left at the end of the source */
  end(): MessageContent[]
}

/**
 * Where the scan stands between two values:
 *
 * - `outside` any array: a value may begin, or an array of messages;
 * - `opened`: right after such an array's `[`;
 * - `after-comma`: a value has to follow;
 * - `after-value`: a comma or the array's end has to.
 */
type Place = "outside" | "opened" | "after-comma" | "after-value"

const QUOTE = 0x22
const COMMA = 0x2c
const OPEN_ARRAY = 0x5b
const BACKSLASH = 0x5c
const CLOSE_ARRAY = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

/**
 * Takes JSON text apart into messages as it arrives. The chunks are one text, wherever they are cut; in it stand
 * values one after another (newlines or white space may separate them, and must where numbers meet), and an array
 * stands for the messages in it, as it does in the body of a request. Each message is checked to be JSON.
 */
export class JsonSplitter implements ContentSplitter {
  readonly #decoder = new TextDecoder("utf-8", { fatal: true })
  readonly #stream: string
  #place: Place = "outside"
  /** What earlier chunks hold of the value that is being scanned. */
  #begun = ""
  #value: "none" | "nested" | "string" | "bare" = "none"
  #depth = 0
  #inString = false
  #isEscaped = false

  /** @param stream - the stream as messages may show it */
  constructor(stream: string) {
    this.#stream = stream
  }

  /** @throws DurableStreamError `PARSE_ERROR` where the text is not JSON */
  push(chunk: Uint8Array | string): string[] {
    if (typeof chunk !== "string") return this.#scan(this.#decode(chunk))
    // No character of bytes may have begun and not ended.
    this.#decode(undefined)
    return this.#scan(chunk)
  }

  /** @throws DurableStreamError `PARSE_ERROR` where the text ends in the middle */
  end(): string[] {
    const messages = this.#scan(this.#decode(undefined))
    // Nothing but the end of the text tells where a number ends.
    if (this.#value === "bare") messages.push(this.#finish(""))
    if (this.#value !== "none" || this.#place !== "outside") throw this.#malformed()
    return messages
  }

  #decode(bytes: Uint8Array | undefined): string {
    try {
      return this.#decoder.decode(bytes, { stream: bytes !== undefined })
    } catch (cause) {
      throw this.#malformed(cause)
    }
  }

  #scan(text: string): string[] {
    const messages: string[] = []
    let start = 0
    for (let at = 0; at < text.length; at++) {
      const unit = text.charCodeAt(at)
      if (this.#value === "bare" && endsBareValue(unit)) {
        messages.push(this.#finish(text.slice(start, at)))
      }
      if (this.#value === "none") {
        if (this.#begins(unit)) start = at
      } else if (this.#ends(unit)) {
        messages.push(this.#finish(text.slice(start, at + 1)))
      }
    }
    if (this.#value !== "none") this.#begun += text.slice(start)
    return messages
  }

  /** Takes one unit between values; whether a value begins with it. */
  #begins(unit: number): boolean {
    if (isWhiteSpace(unit)) return false
    const place = this.#place
    if (place === "outside" && unit === OPEN_ARRAY) this.#place = "opened"
    else if (place === "after-value" && unit === COMMA) this.#place = "after-comma"
    else if (place !== "outside" && place !== "after-comma" && unit === CLOSE_ARRAY) {
      this.#place = "outside"
    } else if (place === "after-value" || endsBareValue(unit, QUOTE, OPEN_ARRAY, OPEN_OBJECT)) {
      throw this.#malformed()
    } else {
      this.#begin(unit)
      return true
    }
    return false
  }

  #begin(unit: number): void {
    const isNested = unit === OPEN_ARRAY || unit === OPEN_OBJECT
    this.#value = isNested ? "nested" : unit === QUOTE ? "string" : "bare"
    this.#depth = isNested ? 1 : 0
    this.#inString = unit === QUOTE
    this.#isEscaped = false
  }

  /** Takes one unit inside a value; whether the value ends with it. */
  #ends(unit: number): boolean {
    if (this.#inString) {
      if (this.#isEscaped) this.#isEscaped = false
      else if (unit === BACKSLASH) this.#isEscaped = true
      else if (unit === QUOTE) this.#inString = false
      return !this.#inString && this.#depth === 0
    }
    if (unit === QUOTE) this.#inString = true
    else if (unit === OPEN_ARRAY || unit === OPEN_OBJECT) this.#depth++
    else if (unit === CLOSE_ARRAY || unit === CLOSE_OBJECT) this.#depth--
    return this.#value === "nested" && this.#depth === 0
  }

  #finish(rest: string): string {
    const message = this.#begun + rest
    this.#begun = ""
    this.#value = "none"
    if (this.#place !== "outside") this.#place = "after-value"
    checkMessage(encodeMessage(message, "application/json"), this.#stream)
    return message
  }

  #malformed(cause?: unknown): Error {
    const reason = "the source must be JSON values one after another, or arrays of them"
    return invalidMessageError(this.#stream, { code: "PARSE_ERROR", reason, cause })
  }
}

function isWhiteSpace(unit: number): boolean {
  return unit === 0x20 || unit === 0x0a || unit === 0x0d || unit === 0x09
}

/** Whether a unit cannot belong to a number, `true`, `false` or `null`. `but` names units that it lets pass. */
function endsBareValue(unit: number, ...but: readonly number[]): boolean {
  if (but.includes(unit)) return false
  return (
    isWhiteSpace(unit) ||
    unit === COMMA ||
    unit === QUOTE ||
    unit === OPEN_ARRAY ||
    unit === CLOSE_ARRAY ||
    unit === OPEN_OBJECT ||
    unit === CLOSE_OBJECT
  )
}
