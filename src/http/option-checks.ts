import { DurableStreamError } from "../errors/durable-stream-error.ts"

/**
 * Checks of options. Each returns the value, or throws a DurableStreamError `BAD_REQUEST` that names the option and shows
 * its value. All but those of numbers accept undefined.
 */

/**
 * Checks an option that is a number.
 *
 * @param isValid - what the number must be beside
 * @param rule - the same in words, as they follow "must be"
 */
export function checkNumber(
  option: string,
  value: unknown,
  isValid: (value: number) => boolean,
  rule: string,
): number {
  if (typeof value === "number" && isValid(value)) return value
  throw badOption(option, rule, value)
}

/** Checks a duration: above 0, Infinity for no limit. */
export function checkDuration(option: string, ms: unknown): number {
  return checkNumber(option, ms, (it) => it > 0, "a number of milliseconds above 0, or Infinity")
}

/** Checks an amount: 0 or more. */
export function checkAmount(option: string, value: unknown): number {
  return checkNumber(option, value, (it) => it >= 0, "a number, 0 or more")
}

/** Checks a count: whole, 0 or more, Infinity for no limit. */
export function checkCount(option: string, count: unknown): number {
  const isCount = (it: number) => it === Infinity || (it >= 0 && Number.isInteger(it))
  return checkNumber(option, count, isCount, "a whole number, 0 or more, or Infinity")
}

/** Checks an option that is a function. */
export function checkFunction<T>(option: string, value: T): T {
  return check(option, value, typeof value === "function", "a function")
}

/** Checks an option that is true or false. */
export function checkBoolean<T>(option: string, value: T): T {
  return check(option, value, typeof value === "boolean", "true or false")
}

/** Checks options, or an option that holds others. */
export function checkObject<T>(option: string, value: T): T {
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value)
  return check(option, value, isObject, "an object")
}

function check<T>(option: string, value: T, isValid: boolean, rule: string): T {
  if (value === undefined || isValid) return value
  throw badOption(option, rule, value)
}

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
