import fc from "fast-check"

/** Where bytes are split: shares of their length, so that they fit bytes of any length. */
export const cuts: fc.Arbitrary<number[]> = fc.oneof(
  fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 12 }),
  // Every byte by itself.
  fc.constant<number[]>([Number.NaN]),
)

/** The bytes in chunks that end at the cuts. Some chunks may be empty. */
export function chunked(bytes: Uint8Array, at: readonly number[]): Uint8Array[] {
  const places = at.some(Number.isNaN)
    ? Array.from(bytes, (_byte, index) => index)
    : at.map((share) => Math.floor(share * bytes.byteLength)).sort((a, b) => a - b)
  return [0, ...places].map((from, index) => bytes.slice(from, places[index] ?? bytes.byteLength))
}
