import { checkMessage, invalidMessageError } from "../errors/invalid-message-error.ts"
import { decodeUtf8Strictly, encodeUtf8 } from "../platform/text.ts"
import { joinBytes } from "../protocol/bytes.ts"
import { DEFAULT_CONTENT_TYPE, encodeMessage, type MessageContent } from "../protocol/message.ts"
import { decodeChunk, NO_TEXT } from "../protocol/utf8-decoder.ts"
import { WholeCharacters } from "../protocol/well-formed.ts"

/** Turns the chunks of a source into the parts of request bodies. */
export interface ContentSplitter {
  /** @returns the parts that this chunk completes */
  push(chunk: Uint8Array | string): MessageContent[]
  /** @returns what is left at the end of the source */
  end(): MessageContent[]
}

/** Passes content on as bytes. Strings become UTF-8, also if a chunk ends between the halves of a character. */
export class ByteSplitter implements ContentSplitter {
  readonly #stream: string
  readonly #text = new WholeCharacters()

  constructor(stream: string) {
    this.#stream = stream
  }

  push(chunk: Uint8Array | string): Uint8Array[] {
    if (typeof chunk === "string") return this.#encode(this.#text.push(chunk))
    // A copy: a source may fill the same buffer again while the network still has the last chunk.
    return [...this.end(), ...(chunk.byteLength === 0 ? [] : [chunk.slice()])]
  }

  end(): Uint8Array[] {
    return this.#encode(this.#text.end())
  }

  #encode(text: string): Uint8Array[] {
    if (text === "") return []
    checkMessage(encodeMessage(text, DEFAULT_CONTENT_TYPE), this.#stream)
    return [encodeUtf8(text)]
  }
}

const NEWLINE = /* @__PURE__ */ Uint8Array.of(0x0a)
const QUOTE = 0x22
const COMMA = 0x2c
const OPEN_ARRAY = 0x5b
const BACKSLASH = 0x5c
const CLOSE_ARRAY = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const SIGNS = [QUOTE, COMMA, OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT]

/**
 * Takes JSON text apart into messages as it arrives. The chunks are one text, wherever they are cut, of values one after
 * another (newlines or white space may separate them, and must separate numbers). An array is the messages in it, as in the
 * body of a request. The scan finds only where a message ends; each is then checked to be one JSON value.
 */
export class JsonSplitter implements ContentSplitter {
  readonly #stream: string
  /** The beginning of a character that ends in the next chunk of bytes. */
  #pending: Uint8Array | undefined
  /** The arrays and objects that are open inside the message. */
  #depth = 0
  #inString = false
  #isEscaped = false
  /** A number, `true`, `false` or `null` outside an array: only what follows tells where it ends. */
  #isBare = false
  /** Inside an array of messages: whether it has one yet. */
  #array: "outside" | "empty" | "filled" = "outside"
  /** What earlier chunks hold of the message. */
  #begun = ""
  #start = 0
  #messages: MessageContent[] = []

  constructor(stream: string) {
    this.#stream = stream
  }

  /** @throws DurableStreamError `PARSE_ERROR` if the text is not JSON */
  push(chunk: Uint8Array | string): MessageContent[] {
    return this.#scan(typeof chunk === "string" ? this.#decode() + chunk : this.#decode(chunk))
  }

  /** @throws DurableStreamError `PARSE_ERROR` if the text ends inside a message or an array */
  end(): MessageContent[] {
    const messages = this.#scan(`${this.#decode()}\n`)
    const isWhole = this.#depth === 0 && !this.#inString && this.#array === "outside"
    if (!isWhole) throw this.#malformed()
    return messages
  }

  /** Without bytes, none may be pending. */
  #decode(bytes?: Uint8Array): string {
    if (bytes === undefined && this.#pending === undefined) return ""
    try {
      const chunk = bytes ?? NEWLINE
      const joined = this.#pending === undefined ? chunk : joinBytes([this.#pending, chunk])
      const { text, pending } = decodeChunk(NO_TEXT, joined)
      this.#pending = pending
      // Malformed bytes become U+FFFD, which the bytes may also contain.
      const whole = joined.subarray(0, joined.byteLength - (pending?.byteLength ?? 0))
      return text.includes("\uFFFD") ? decodeUtf8Strictly(whole) : text
    } catch (cause) {
      throw this.#malformed(cause)
    }
  }

  #scan(text: string): MessageContent[] {
    this.#messages = []
    this.#start = 0
    for (let at = 0; at < text.length; at++) {
      const unit = text.charCodeAt(at)
      if (this.#inString) this.#scanString(unit, text, at)
      else if (this.#array !== "outside" || this.#depth > 0) this.#scanInside(unit, text, at)
      else this.#scanBetween(unit, text, at)
    }
    this.#begun += text.slice(this.#start)
    return this.#messages
  }

  #scanString(unit: number, text: string, at: number): void {
    if (this.#isEscaped) this.#isEscaped = false
    else if (unit === BACKSLASH) this.#isEscaped = true
    else if (unit === QUOTE) {
      this.#inString = false
      if (this.#depth === 0 && this.#array === "outside") this.#finish(text, at + 1)
    }
  }

  /** Inside a message that is an array or object, or inside an array of messages. */
  #scanInside(unit: number, text: string, at: number): void {
    if (unit === QUOTE) this.#inString = true
    else if (unit === OPEN_ARRAY || unit === OPEN_OBJECT) this.#depth++
    else if (this.#depth > 0) {
      if (unit !== CLOSE_ARRAY && unit !== CLOSE_OBJECT) return
      if (--this.#depth === 0 && this.#array === "outside") this.#finish(text, at + 1)
    } else if (unit === COMMA || unit === CLOSE_ARRAY) {
      const isEmpty = (this.#begun + text.slice(this.#start, at)).trim() === ""
      if (isEmpty && unit === CLOSE_ARRAY && this.#array === "empty") this.#begun = ""
      else this.#finish(text, at)
      this.#start = at + 1
      this.#array = unit === COMMA ? "filled" : "outside"
    }
  }

  /** Outside of everything but a bare value. */
  #scanBetween(unit: number, text: string, at: number): void {
    const isWhiteSpace = unit === 0x20 || unit === 0x0a || unit === 0x0d || unit === 0x09
    const isSign = SIGNS.includes(unit)
    if (this.#isBare) {
      if (!isWhiteSpace && !isSign) return
      this.#isBare = false
      this.#finish(text, at)
    }
    this.#start = isWhiteSpace || unit === OPEN_ARRAY ? at + 1 : at
    if (unit === OPEN_ARRAY) this.#array = "empty"
    else if (unit === QUOTE) this.#inString = true
    else if (unit === OPEN_OBJECT) this.#depth = 1
    else if (isSign) throw this.#malformed()
    else this.#isBare = !isWhiteSpace
  }

  #finish(text: string, end: number): void {
    const message = this.#begun + text.slice(this.#start, end)
    this.#begun = ""
    this.#start = end
    this.#messages.push(checkMessage(encodeMessage(message, "application/json"), this.#stream))
  }

  #malformed(cause?: unknown): Error {
    const reason = "the source must be JSON values one after another, or arrays of them"
    return invalidMessageError(this.#stream, { code: "PARSE_ERROR", reason, cause })
  }
}
