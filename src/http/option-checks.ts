import { badOption } from "../errors/bad-option.ts"

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
