import type { AppendPart } from "./append-body.ts"
import { WholeCharacters } from "./whole-characters.ts"

/** Turns the chunks of a source into the parts of request bodies. */
export interface ContentSplitter {
  /** @returns the parts that this chunk completes */
  push(chunk: Uint8Array | string): AppendPart[]
  /** @returns what is left at the end of the source */
  end(): AppendPart[]
}

/**
 * Passes content on as bytes. Strings become UTF-8, also where a chunk ends between the halves of a character. Bytes are copied:
 * a source may fill the same buffer again for its next chunk, while the network still has the last one.
 */
export class ByteSplitter implements ContentSplitter {
  readonly #encoder = new TextEncoder()
  readonly #text = new WholeCharacters()

  push(chunk: Uint8Array | string): AppendPart[] {
    if (typeof chunk !== "string") return [...this.end(), ...present(chunk.slice())]
    return present(this.#encoder.encode(this.#text.push(chunk)))
  }

  end(): AppendPart[] {
    return present(this.#encoder.encode(this.#text.end()))
  }
}

function present(bytes: Uint8Array): Uint8Array[] {
  return bytes.byteLength === 0 ? [] : [bytes]
}
