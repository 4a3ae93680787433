import {
  checkBoolean,
  checkCount,
  checkFunction,
  checkNumber,
  checkObject,
} from "./option-checks.ts"

/** How failed requests are tried again. Exponential, with full jitter: a random delay up to a limit that grows. */
export interface BackoffOptions {
  /** The limit of the first delay in milliseconds; above 0. Default 100. */
  initialDelay?: number
  /** The limit that no delay's limit grows beyond, in milliseconds. Default 60 000. */
  maxDelay?: number
  /** What the limit is multiplied by after each failure; 1 or more. Default 1.3. */
  multiplier?: number
  /** How often a request is tried again; 0 is never. Default Infinity. */
  maxRetries?: number
  /** Called after each failed attempt. */
  onFailedAttempt?: () => void
  /** Logs each retry to the console, without URLs' queries and without headers. Default false. */
  debug?: boolean
}

/** Checked options with every default filled in. */
export interface Backoff {
  readonly initialDelay: number
  readonly maxDelay: number
  readonly multiplier: number
  readonly maxRetries: number
  readonly onFailedAttempt?: () => void
  readonly debug: boolean
}

/** The defaults of {@link BackoffOptions}. */
export const BackoffDefaults: {
  readonly initialDelay: number
  readonly maxDelay: number
  readonly multiplier: number
  readonly maxRetries: number
} = { initialDelay: 100, maxDelay: 60_000, multiplier: 1.3, maxRetries: Infinity }

const settledDefaults: Backoff = { ...BackoffDefaults, debug: false }

/**
 * Checks options and fills in the defaults.
 *
 * @throws DurableStreamError `BAD_REQUEST` that names the option and its value
 */
export function resolveBackoff(options?: BackoffOptions): Backoff {
  if (options === undefined) return settledDefaults
  checkObject("backoffOptions", options)
  // A longer first delay alone, or a shorter limit, is no contradiction: the other's default gives way to it.
  const longest = typeof options.maxDelay === "number" ? options.maxDelay : Infinity
  const {
    initialDelay = longest > 0 ? Math.min(BackoffDefaults.initialDelay, longest) : 1,
    multiplier = BackoffDefaults.multiplier,
    maxRetries = BackoffDefaults.maxRetries,
    debug = false,
    onFailedAttempt,
  } = options
  checkNumber(
    "backoffOptions.initialDelay",
    initialDelay,
    (ms) => Number.isFinite(ms) && ms > 0,
    "above 0",
  )
  const { maxDelay = Math.max(BackoffDefaults.maxDelay, initialDelay) } = options
  checkNumber(
    "backoffOptions.maxDelay",
    maxDelay,
    (ms) => ms >= initialDelay,
    "initialDelay or more",
  )
  checkNumber(
    "backoffOptions.multiplier",
    multiplier,
    (factor) => Number.isFinite(factor) && factor >= 1,
    "1 or more",
  )
  checkCount("backoffOptions.maxRetries", maxRetries)
  checkBoolean("backoffOptions.debug", debug)
  checkFunction("backoffOptions.onFailedAttempt", onFailedAttempt)
  const backoff = { initialDelay, maxDelay, multiplier, maxRetries, debug }
  return onFailedAttempt === undefined ? backoff : { ...backoff, onFailedAttempt }
}

/**
 * The delay before a retry: random below a limit that grows with every attempt, and no shorter than the server
 * asked for.
 *
 * @param backoff - checked options
 * @param attempt - how many attempts have failed, from 1
 * @param random - between 0 and 1
 * @param retryAfterMs - what the server asked for; default 0
 */
export function backoffDelayMs(
  backoff: Pick<Backoff, "initialDelay" | "maxDelay" | "multiplier">,
  attempt: number,
  random: number,
  retryAfterMs = 0,
): number {
  const limit = Math.min(
    backoff.maxDelay,
    backoff.initialDelay * backoff.multiplier ** (attempt - 1),
  )
  return Math.max(limit * random, retryAfterMs)
}

/**
 * How much longer to wait, so that what is asked again and again for nothing is asked no more often than once in an
 * interval on average; at random, so that many clients do not come together.
 *
 * @param elapsedMs - how long it has taken already
 * @param random - between 0 and 1
 */
export function spacingDelayMs(intervalMs: number, elapsedMs: number, random: number): number {
  return Math.max(0, intervalMs - elapsedMs) * (0.5 + random)
}
