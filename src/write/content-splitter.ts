import type { AppendPart } from "./append-body.ts"

/** Turns the chunks of a source into the parts of request bodies. */
export interface ContentSplitter {
  /** @returns the parts that this chunk completes */
  push(chunk: Uint8Array | string): AppendPart[]
  /** @returns what is left at the end of the source */
  end(): AppendPart[]
}

/** Passes content on as bytes. Strings become UTF-8, also where a chunk ends between the halves of a character. */
export class ByteSplitter implements ContentSplitter {
  readonly #encoder = new TextEncoder()
  #half = ""

  push(chunk: Uint8Array | string): AppendPart[] {
    if (typeof chunk !== "string") return [...this.end(), ...present(chunk)]
    const text = this.#half + chunk
    this.#half = /[\uD800-\uDBFF]$/.test(text) ? text.slice(-1) : ""
    return present(this.#encoder.encode(text.slice(0, text.length - this.#half.length)))
  }

  end(): AppendPart[] {
    const left = this.#encoder.encode(this.#half)
    this.#half = ""
    return present(left)
  }
}

function present(bytes: Uint8Array): Uint8Array[] {
  return bytes.byteLength === 0 ? [] : [bytes]
}
