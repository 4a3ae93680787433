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

/** What matters next in a string, in an array or object, behind a number or word, and between messages. */
const IN_STRING = /["\\]/g
const INSIDE = /["[\]{},]/g
const AFTER_BARE = /[ \t\n\r"[\]{},]/g
const BETWEEN = /[^ \t\n\r]/g

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
  /** How many units of the next chunk are passed over: 1 behind a backslash that ends a chunk. */
  #skip = 0
  /** A number, `true`, `false` or `null` outside an array: only what follows tells where it ends. */
  #isBare = false
  /** Inside an array of messages: whether it has one yet. */
  #array: "outside" | "empty" | "filled" = "outside"
  /** What earlier chunks hold of the message. */
  #begun = ""

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
    if (this.#isInside || this.#inString) throw this.#malformed()
    return messages
  }

  get #isInside(): boolean {
    return this.#depth > 0 || this.#array !== "outside"
  }

  /** Without bytes, none may be pending. */
  #decode(bytes?: Uint8Array): string {
    if (bytes === undefined && this.#pending === undefined) return ""
    try {
      const chunk = bytes ?? Uint8Array.of(0x0a)
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
    const messages: MessageContent[] = []
    let start = 0
    const finish = (end: number) => {
      const message = this.#begun + text.slice(start, end)
      this.#begun = ""
      start = end
      messages.push(checkMessage(encodeMessage(message, "application/json"), this.#stream))
    }
    let at = this.#skip
    for (;;) {
      const isInside = this.#isInside
      const around = isInside ? INSIDE : this.#isBare ? AFTER_BARE : BETWEEN
      const pattern = this.#inString ? IN_STRING : around
      pattern.lastIndex = at
      const match = pattern.exec(text)
      if (match === null) break
      const { index, 0: sign } = match
      at = index + 1
      if (this.#inString) {
        if (sign === "\\") at++
        else {
          this.#inString = false
          if (!isInside) finish(at)
        }
      } else if (this.#isBare) {
        this.#isBare = false
        finish(index)
        at = index
      } else if (sign === "[" && !isInside) {
        this.#array = "empty"
        start = at
      } else if (this.#depth > 0 && (sign === "]" || sign === "}")) {
        if (--this.#depth === 0 && this.#array === "outside") finish(at)
      } else if (this.#depth === 0 && (sign === "," || sign === "]")) {
        if (!isInside) throw this.#malformed()
        const isEmpty = (this.#begun + text.slice(start, index)).trim() === ""
        if (isEmpty && sign === "]" && this.#array === "empty") this.#begun = ""
        else finish(index)
        start = at
        this.#array = sign === "," ? "filled" : "outside"
      } else if (sign !== ",") {
        if (!isInside) start = index
        if (sign === '"') this.#inString = true
        else if (sign === "[" || sign === "{") this.#depth++
        else this.#isBare = true
      }
    }
    this.#skip = Math.max(0, at - text.length)
    const isBegun = this.#isInside || this.#inString || this.#isBare
    if (isBegun) this.#begun += text.slice(start)
    return messages
  }

  #malformed(cause?: unknown): Error {
    const reason = "the source must be JSON values one after another, or arrays of them"
    return invalidMessageError(this.#stream, { code: "PARSE_ERROR", reason, cause })
  }
}
