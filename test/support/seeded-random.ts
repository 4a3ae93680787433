const TEXT_ALPHABET = [
  "a",
  "b",
  "z",
  "0",
  " ",
  "\n",
  '"',
  "é",
  "ß",
  "ж",
  "€",
  "漢",
  "\u2028",
  "😀",
  "𝄞",
  "🏳",
]

/**
 * A small seeded generator (mulberry32): the same seed gives the same sequence on every machine.
 * Not for secrets.
 */
export class SeededRandom {
  #state: number

  constructor(seed: number) {
    // Neighbouring seeds must not give neighbouring sequences: spread them over the whole state.
    this.#state = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) >>> 0
    this.next()
    this.next()
  }

  /** A number in [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = this.#state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }

  /** A whole number from `min` to `max`, both included. */
  int(min: number, max: number): number {
    return min + Math.floor(this.next() * (max - min + 1))
  }

  /** True with the given probability (0 … 1). */
  chance(probability: number): boolean {
    return this.next() < probability
  }

  /** One of `items`, each as likely as the others; throws on an empty list. */
  pick<T>(items: readonly T[]): T {
    const index = this.int(0, items.length - 1)
    if (items.length === 0) throw new RangeError("pick() of nothing")
    // The index is inside the list; T itself may include undefined, so no check can narrow it.
    return items[index] as T
  }

  /** One key of `weights`, as likely as its weight; a weight of 0 is never picked. */
  weighted<K extends string>(weights: Readonly<Partial<Record<K, number>>>): K | undefined {
    // Object.entries forgets the key type; the object has no other keys than K.
    const entries = Object.entries(weights) as Array<[K, number]>
    let rest = this.next() * entries.reduce((sum, [, weight]) => sum + weight, 0)
    for (const [key, weight] of entries) {
      rest -= weight
      if (rest < 0) return key
    }
    return undefined
  }

  /** `length` random bytes. */
  bytes(length: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(length)
    for (let index = 0; index < length; index++) bytes[index] = this.int(0, 255)
    return bytes
  }

  /** A string of `length` characters of one to four UTF-8 bytes, quotes and line ends among them. */
  text(length: number): string {
    let text = ""
    for (let index = 0; index < length; index++) text += this.pick(TEXT_ALPHABET)
    return text
  }

  /** The items in random order; the input stays as it is. */
  shuffle<T>(items: readonly T[]): T[] {
    const result = [...items]
    for (let index = result.length - 1; index > 0; index--) {
      const other = this.int(0, index)
      // Both indices are inside the list.
      const swapped = result[index] as T
      result[index] = result[other] as T
      result[other] = swapped
    }
    return result
  }

  /** A generator of its own, so that drawing from one does not shift what the other gives. */
  fork(): SeededRandom {
    return new SeededRandom(Math.floor(this.next() * 4294967296))
  }
}
