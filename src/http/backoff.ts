import { DurableStreamError } from "../errors/durable-stream-error.ts"

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

/**
 * Checks options and fills in the defaults.
 *
 * @throws DurableStreamError `BAD_REQUEST` that names the option and its value
 */
export function resolveBackoff(options: BackoffOptions = {}): Backoff {
  const backoff: Backoff = {
    initialDelay: options.initialDelay ?? BackoffDefaults.initialDelay,
    // A longer first delay alone is no contradiction: the default limit gives way to it.
    maxDelay: options.maxDelay ?? Math.max(BackoffDefaults.maxDelay, options.initialDelay ?? 0),
    multiplier: options.multiplier ?? BackoffDefaults.multiplier,
    maxRetries: options.maxRetries ?? BackoffDefaults.maxRetries,
    debug: options.debug ?? false,
    ...(options.onFailedAttempt !== undefined && { onFailedAttempt: options.onFailedAttempt }),
  }
  const { initialDelay, maxDelay, multiplier, maxRetries } = backoff
  check("initialDelay", initialDelay, Number.isFinite(initialDelay) && initialDelay > 0, "above 0")
  check("maxDelay", maxDelay, maxDelay >= initialDelay, "initialDelay or more")
  check("multiplier", multiplier, Number.isFinite(multiplier) && multiplier >= 1, "1 or more")
  check("maxRetries", maxRetries, isCount(maxRetries), "a whole number, 0 or more, or Infinity")
  return backoff
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

function isCount(value: number): boolean {
  return value >= 0 && (value === Infinity || Number.isInteger(value))
}

function check(name: string, value: unknown, valid: boolean, rule: string): void {
  if (typeof value === "number" && valid) return
  throw new DurableStreamError(
    `The option backoffOptions.${name} must be ${rule}, not ${String(value)}.`,
    "BAD_REQUEST",
  )
}
