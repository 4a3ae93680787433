/**
 * Whether a text is whole: one with half of a character (a surrogate that stands alone) has no UTF-8, and so no place in
 * a URL. JavaScript's own check is younger than the platforms that this package runs on.
 */
export function isWellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text)
}
