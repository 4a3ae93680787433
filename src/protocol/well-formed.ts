/** Half a character: a surrogate without its other half. No `\p{…}` and no lookbehind, which Hermes cannot compile. */
const LONE_SURROGATE = /[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?:^|[^\uD800-\uDBFF])[\uDC00-\uDFFF]/

/** Whether a text has no lone surrogate: one that has is not encodable as UTF-8. */
export function isWellFormed(text: string): boolean {
  // The platform's own check is much faster, but younger than some platforms and than the library's type.
  const checked = text as string & { isWellFormed?: () => boolean }
  return checked.isWellFormed?.() ?? !LONE_SURROGATE.test(text)
}
