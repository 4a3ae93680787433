/**
 * Digits in the order of their character codes, chosen to break every client that parses or lower-cases an offset, or sorts it by
 * locale. A URL carries them also if a program forgets to encode them, as most servers' offsets. Quotes are missing because they
 * have a meaning of their own in headers, and `, & = ? /` because offsets never have them.
 */
const DIGITS = "!$*-.:;@AZ[_az|~"
/** Enough for 2^40 bytes. */
const WIDTH = 10
const PREFIX = "0;"
/** The reference server's offset of every stream's start, which programs name although offsets are opaque. */
const REFERENCE_START = "0000000000000000_0000000000000000"

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

/** The position that an offset stands for; `-1` and the reference server's start are 0; undefined if it is none of the model's. */
export function positionOf(offset: string): number | undefined {
  if (offset === "-1" || offset === REFERENCE_START) return 0
  if (!offset.startsWith(PREFIX) || offset.length !== PREFIX.length + WIDTH) return undefined
  let position = 0
  for (const digit of offset.slice(PREFIX.length)) {
    const value = DIGITS.indexOf(digit)
    if (value < 0) return undefined
    position = position * DIGITS.length + value
  }
  return position
}
