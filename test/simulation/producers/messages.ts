import type { SeededRandom } from "../../support/seeded-random.ts"
import { POISON } from "./rejecting-server.ts"

/** The messages of one writer: each says whose it is and which. */
export class ProducerMessages {
  readonly #owner: string
  readonly isJson: boolean
  #next = 0

  constructor(owner: string, isJson: boolean) {
    this.#owner = owner
    this.isJson = isJson
  }

  /** A new message, as it will be in the log. */
  make(random: SeededRandom, maxLength: number, isPoison: boolean): string {
    const id = `${this.#owner}${this.#next++}`
    const padding = random.pick(["x", "é", "漢", "😀"]).repeat(random.int(0, maxLength))
    const text = `${id}:${isPoison ? POISON : ""}${padding}`
    return this.isJson ? JSON.stringify({ m: text }) : `<${text}>`
  }

  /** A body that its stream does not accept. */
  makeInvalid(random: SeededRandom): unknown {
    return this.isJson ? random.pick(["{", '1},{"x":2', "", "[1]]"]) : random.pick([{}, 1])
  }

  /** What of a stream's content is this writer's. */
  static split(isJson: boolean, content: Uint8Array, owner: string): string[] {
    const text = new TextDecoder().decode(content)
    // What the model gives is what was appended: an array, or messages in brackets.
    const all = isJson
      ? (JSON.parse(text) as unknown[]).map((value) => JSON.stringify(value))
      : (text.match(/<[^>]*>/g) ?? [])
    const mark = isJson ? `{"m":"${owner}` : `<${owner}`
    return all.filter((message) => message.startsWith(mark))
  }
}
