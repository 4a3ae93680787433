import { isDurableStreamError } from "../errors/durable-stream-error.ts"

/** What platforms say of a failure beside its message. None of it comes from a query or from a header's value. */
const harmlessFields = ["code", "errno", "syscall", "address", "port", "hostname", "status", "type"]

/** Causes can go in a circle. */
const MAX_DEPTH = 8

/**
 * What failed, to be the `cause` of an error that may be logged. Platforms put the URL with its query (Deno into the message,
 * Bun and Node into fields) and values of headers into theirs, and layers over `fetch` (axios, ky, got) the whole request:
 * such an error is copied without them, and so is one with such a cause. Any other is given as it is.
 */
export function safeCause(error: unknown, depth = 0): unknown {
  if (typeof error === "string") return withoutSecrets(error)
  if (typeof error !== "object" || error === null || isDurableStreamError(error)) return error
  if (depth === MAX_DEPTH) return undefined
  // Any object may be asked for a property.
  const fields = error as Readonly<Record<string, unknown>>
  const cause = safeCause(fields["cause"], depth + 1)
  const given: unknown[] = Array.isArray(fields["errors"]) ? fields["errors"] : []
  const errors = given.map((member) => safeCause(member, depth + 1))
  const isSafe = (key: string) => {
    if (key === "cause") return cause === fields[key]
    if (key === "errors") return errors.every((member, index) => member === given[index])
    const value = fields[key]
    if (typeof value === "string") return key === "stack" || value === withoutSecrets(value)
    return typeof value !== "function" && (typeof value !== "object" || value === null)
  }
  if (Object.getOwnPropertyNames(error).every(isSafe)) return error
  const { name, message, stack } = fields
  const Class = error instanceof TypeError ? TypeError : Error
  const copy = new Class(withoutSecrets(String(message)), cause === undefined ? {} : { cause })
  if (typeof name === "string" && name !== copy.name) copy.name = name
  if (typeof stack === "string") copy.stack = withoutSecrets(stack)
  for (const key of harmlessFields) {
    if (/string|number/.test(typeof fields[key])) Object.assign(copy, { [key]: fields[key] })
  }
  return errors.length > 0 ? Object.assign(copy, { errors }) : copy
}

/** A text without queries, credentials in URLs and, if it is about headers, without what it quotes. */
function withoutSecrets(text: string): string {
  const withoutUrls = text
    // The punctuation behind a URL is the sentence's.
    .replace(/\?\S+?([)\]"'`,.:;>]*)(?=\s|$)/g, "$1")
    .replace(/(https?:[/\\]*|(?:^|[\s"'(])\/\/)\S*[^\s/\\]@/gi, "$1")
  return /header/i.test(text) ? withoutUrls.replace(/(["'`])[^]*?\1/g, "$1…$1") : withoutUrls
}
