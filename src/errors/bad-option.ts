import { DurableStreamError } from "./durable-stream-error.ts"

/** Longer strings are cut: an option may be given a whole document by mistake. */
const MAX_SHOWN_CHARS = 80

/**
 * The error for an option that cannot be what it is.
 *
 * @param option - its name, with those of the options around it: `sseResilience.backoffMaxDelay`
 * @param rule - what it must be
 * @param value - what was given; shown, so that it must be no secret
 */
export function badOption(option: string, rule: string, value: unknown): DurableStreamError {
  return new DurableStreamError(
    `The option ${option} must be ${rule}, not ${showValue(value)}.`,
    "BAD_REQUEST",
  )
}

/** A value as a message can show it, whatever it is: many values throw where they are made into text. */
export function showValue(value: unknown): string {
  if (typeof value === "string") {
    return JSON.stringify(value.length > MAX_SHOWN_CHARS ? `${value.slice(0, 80)}…` : value)
  }
  if (typeof value === "bigint") return `${value}n`
  if (typeof value === "number" || typeof value === "boolean") return String(value)
  return kindOf(value)
}

/** What kind of value it is, with its article: for values that messages must not show. */
export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  if (Array.isArray(value)) return "an array"
  return typeof value === "object" ? "an object" : `a ${typeof value}`
}
