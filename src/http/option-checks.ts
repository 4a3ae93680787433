import { badOption } from "../errors/bad-option.ts"

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
