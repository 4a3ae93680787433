import { DurableStreamError } from "../errors/durable-stream-error.ts"

export interface OptionRule {
  /** In words, as they follow "must be". */
  readonly words: string
  readonly isMet: (value: unknown) => boolean
}

export const RULES: Readonly<
  Record<"amount" | "boolean" | "count" | "duration" | "function" | "object", OptionRule>
> = {
  amount: { words: "a number, 0 or more", isMet: (it) => typeof it === "number" && it >= 0 },
  boolean: { words: "true or false", isMet: (it) => typeof it === "boolean" },
  count: {
    words: "a whole number, 0 or more, or Infinity",
    isMet: (it) => it === Infinity || (Number.isInteger(it) && Number(it) >= 0),
  },
  duration: {
    words: "a number of milliseconds above 0, or Infinity",
    isMet: (it) => typeof it === "number" && it > 0,
  },
  function: { words: "a function", isMet: (it) => typeof it === "function" },
  object: {
    words: "an object",
    isMet: (it) => typeof it === "object" && it !== null && !Array.isArray(it),
  },
}

/** The rule of whole numbers, which the protocol sends in decimal. */
export function wholeNumber(least: number): OptionRule {
  const words = `a whole number from ${least} to 2^53 - 1`
  return { words, isMet: (it) => Number.isSafeInteger(it) && Number(it) >= least }
}

/**
 * Checks options against a table of rules. What is undefined is omitted.
 *
 * @param prefix - stands before their names in messages: `backoffOptions.`
 * @returns the options
 * @throws DurableStreamError `BAD_REQUEST` that names the option and shows its value
 */
export function checkOptions<T extends object>(
  options: T,
  rules: { readonly [K in keyof T]?: OptionRule },
  prefix = "",
): T {
  checkObject(prefix.slice(0, -1) || "options", options)
  for (const [name, rule] of Object.entries<OptionRule | undefined>(rules)) {
    // Each name of a rule is that of an option.
    if (rule !== undefined) checkOption(prefix + name, options[name as keyof T], rule)
  }
  return options
}

function checkOption<T>(option: string, value: T, { words, isMet }: OptionRule): T {
  if (value === undefined || isMet(value)) return value
  throw badOption(option, words, value)
}

/**
 * Checks an option that is a number, and not undefined.
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

export function checkDuration(option: string, ms: number): number {
  return checkOption(option, ms, RULES.duration)
}

export function checkAmount(option: string, value: number): number {
  return checkOption(option, value, RULES.amount)
}

export function checkCount(option: string, count: number): number {
  return checkOption(option, count, RULES.count)
}

export function checkFunction<T>(option: string, value: T): T {
  return checkOption(option, value, RULES.function)
}

export function checkBoolean<T>(option: string, value: T): T {
  return checkOption(option, value, RULES.boolean)
}

export function checkObject<T>(option: string, value: T): T {
  return checkOption(option, value, RULES.object)
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
function showValue(value: unknown): string {
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
