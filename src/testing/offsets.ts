/**
 * Digits in the order of their character codes, chosen to break every client that parses, lower-cases or does not URL-encode an
 * offset. Quotes are missing because they have a meaning of their own in headers, and `, & = ? /` because offsets never have them.
 */
const DIGITS = "!#$%*+-:;@AZ[az~"
const WIDTH = 6
const PREFIX = "0;"

/** The model server's offset for a position (bytes, or messages of a JSON stream): opaque, ordered as positions are. */
export function offsetOf(position: number): string {
  let digits = ""
  let rest = position
  for (let place = 0; place < WIDTH; place++) {
    digits = DIGITS.charAt(rest % DIGITS.length) + digits
    rest = Math.floor(rest / DIGITS.length)
  }
  if (rest > 0) throw new RangeError(`position ${position} does not fit in an offset`)
  return PREFIX + digits
}

/** The position that an offset of the model server stands for; `-1` is 0; undefined when it is none of the model's. */
export function positionOf(offset: string): number | undefined {
  if (offset === "-1") return 0
  if (!offset.startsWith(PREFIX) || offset.length !== PREFIX.length + WIDTH) return undefined
  let position = 0
  for (const digit of offset.slice(PREFIX.length)) {
    const value = DIGITS.indexOf(digit)
    if (value < 0) return undefined
    position = position * DIGITS.length + value
  }
  return position
}
