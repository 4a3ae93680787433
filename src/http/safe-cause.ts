/** What platforms say of a failure beside its message. None of it comes from a query or from a header's value. */
const harmlessFields = ["code", "errno", "syscall", "address", "port", "hostname"] as const

/** Classes that tell what kind of failure it is. */
const errorClasses = [TypeError, RangeError, SyntaxError, ReferenceError] as const

/** Causes can go in a circle. */
const MAX_DEPTH = 8

/**
 * What failed, to be the `cause` of an error that may be logged. Platforms put the URL with its query (Deno into the
 * message, Bun and Node into fields) and values of headers into theirs: such an error is copied without them, and so is
 * one with such a cause. Any other is given as it is.
 */
export function safeCause(error: unknown): unknown {
  return withoutSecrets(error, 0)
}

function withoutSecrets(error: unknown, depth: number): unknown {
  if (typeof error === "string") return withoutQueries(error)
  // Not instanceof: the platform's errors are another realm's in some test environments.
  if (typeof error !== "object" || error === null || !("message" in error)) return error
  if (depth === MAX_DEPTH) return undefined
  // Any object may be asked for a property.
  const { cause, errors } = error as { cause?: unknown; errors?: unknown }
  const safe = withoutSecrets(cause, depth + 1)
  const list: unknown[] = Array.isArray(errors) ? errors : []
  const safeList = list.map((member) => withoutSecrets(member, depth + 1))
  const isSafe =
    safe === cause &&
    safeList.every((member, index) => member === list[index]) &&
    [error.message, ...Object.values(error)].every(
      (text) => typeof text !== "string" || text === withoutQueries(text),
    )
  return isSafe ? error : copyOf(error, safe, safeList)
}

function copyOf(error: object, cause: unknown, errors: readonly unknown[]): Error {
  // Any object may be asked for these too; each is checked where it is used.
  const { message, name, stack } = error as Partial<Error>
  const Class = errorClasses.find((known) => error instanceof known) ?? Error
  const copy = new Class(
    withoutQueries(String(message)),
    cause === undefined ? undefined : { cause },
  )
  if (typeof name === "string" && name !== copy.name) copy.name = name
  if (typeof stack === "string") copy.stack = withoutQueries(stack)
  // And for these.
  const fields = error as Readonly<Record<string, unknown>>
  const kept = harmlessFields.filter((field) => /string|number/.test(typeof fields[field]))
  Object.assign(copy, Object.fromEntries(kept.map((field) => [field, fields[field]])))
  if (errors.length > 0) Object.assign(copy, { errors })
  return copy
}

/** A text without queries, credentials in URLs and, where it speaks of headers, without what it quotes. */
function withoutQueries(text: string): string {
  const withoutUrls = text
    // The punctuation behind a URL is the sentence's.
    .replace(/\?\S+?([)\]"'`,.:;>]*)(?=\s|$)/g, "$1")
    .replace(/\/\/[^\s/@]+@/g, "//")
  return /header/i.test(text) ? withoutUrls.replace(/(["'`])[^]*?\1/g, "$1…$1") : withoutUrls
}
