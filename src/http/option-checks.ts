import { badOption } from "../errors/bad-option.ts"

/**
 * Checks an option that is a number.
 *
 * @param isValid - what the number must be beside
 * @param rule - the same in words, as they follow "must be"
 * @throws DurableStreamError `BAD_REQUEST` that names the option and its value
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

/**
 * Checks a duration: above 0, Infinity for none.
 *
 * @throws DurableStreamError `BAD_REQUEST` that names the option and its value
 */
export function checkDuration(option: string, ms: unknown): number {
  return checkNumber(
    option,
    ms,
    (given) => given > 0,
    "a number of milliseconds above 0, or Infinity",
  )
}

/**
 * Checks a count: whole, 0 or more, Infinity for no limit.
 *
 * @throws DurableStreamError `BAD_REQUEST` that names the option and its value
 */
export function checkCount(option: string, count: unknown): number {
  return checkNumber(
    option,
    count,
    (given) => given >= 0 && (given === Infinity || Number.isInteger(given)),
    "a whole number, 0 or more, or Infinity",
  )
}

/**
 * Checks an option that is a function, where it is given.
 *
 * @throws DurableStreamError `BAD_REQUEST` that names the option
 */
export function checkFunction<T>(option: string, value: T): T {
  if (value === undefined || typeof value === "function") return value
  throw badOption(option, "a function", value)
}

/**
 * Checks an option that is true or false, where it is given.
 *
 * @throws DurableStreamError `BAD_REQUEST` that names the option
 */
export function checkBoolean<T>(option: string, value: T): T {
  if (value === undefined || typeof value === "boolean") return value
  throw badOption(option, "true or false", value)
}

/**
 * Checks options, or an option that holds others, where they are given.
 *
 * @throws DurableStreamError `BAD_REQUEST` that names them
 */
export function checkObject<T>(option: string, value: T): T {
  if (value === undefined) return value
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value
  throw badOption(option, "an object", value)
}
