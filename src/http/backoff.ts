import { checkOptions, RULES } from "./option-checks.ts"

/**
 * How failed requests are retried: network failures and the statuses 408, 425, 429 and 5xx, except 501 and 505, which say
 * that the server does not support the request. Exponential, with full jitter: a random delay up to a limit that grows.
 */
export interface BackoffOptions {
  /**
   * The limit of the first delay in milliseconds, 0 or more.
   *
   * @default 100
   */
  initialDelay: number
  /**
   * The limit beyond which no delay's limit grows, in milliseconds, 0 or more. A longer `Retry-After` is honoured.
   *
   * @default 60_000
   */
  maxDelay: number
  /**
   * The factor by which the limit grows with each failure, 1 or more.
   *
   * @default 1.3
   */
  multiplier: number
  /**
   * How often a request is retried; 0 is never. Errors that nothing here recognises are retried three times at most.
   *
   * @default Infinity
   */
  maxRetries?: number | undefined
  /** Called after each failed attempt. */
  onFailedAttempt?: (() => void) | undefined
  /**
   * Logs each retry to the console, without queries and headers.
   *
   * @default false
   */
  debug?: boolean | undefined
}

/** Checked options with every default filled in. */
export type Backoff = Readonly<BackoffOptions & { maxRetries: number; debug: boolean }>

/** Those of {@link BackoffOptions} that differ from the defaults. */
export type BackoffOverrides = { [K in keyof BackoffOptions]?: BackoffOptions[K] | undefined }

/** The defaults of {@link BackoffOptions}. */
export const BackoffDefaults: BackoffOptions = {
  initialDelay: 100,
  maxDelay: 60_000,
  multiplier: 1.3,
  maxRetries: Infinity,
}

/**
 * Checks options and fills in the defaults.
 *
 * @throws DurableStreamError `BAD_REQUEST` that names the option and its value
 */
export function resolveBackoff(options: BackoffOverrides = {}): Backoff {
  const {
    initialDelay = 100,
    maxDelay = 60_000,
    multiplier = 1.3,
    maxRetries = Infinity,
    debug = false,
    onFailedAttempt,
  } = checkOptions(
    options,
    {
      initialDelay: RULES.amount,
      maxDelay: RULES.amount,
      multiplier: { words: "1 or more", isMet: (it) => Number.isFinite(it) && Number(it) >= 1 },
      maxRetries: RULES.count,
      debug: RULES.boolean,
      onFailedAttempt: RULES.function,
    },
    "backoffOptions.",
  )
  return { initialDelay, maxDelay, multiplier, maxRetries, debug, onFailedAttempt }
}

/**
 * The delay before a retry: random below a limit that grows with every attempt, and no shorter than the server asked for.
 *
 * @param backoff - checked options
 * @param attempt - how many attempts have failed, from 1
 * @param random - between 0 and 1
 * @param retryAfterMs - what the server asked for; default 0
 */
export function backoffDelayMs(
  { initialDelay, maxDelay, multiplier }: Pick<Backoff, "initialDelay" | "maxDelay" | "multiplier">,
  attempt: number,
  random: number,
  retryAfterMs = 0,
): number {
  // 0 times Infinity is NaN.
  const limit = Math.min(maxDelay, initialDelay * multiplier ** (attempt - 1) || 0)
  return Math.max(limit * random, retryAfterMs)
}

/**
 * How much longer to wait, so that a request that is repeated for nothing is made no more often than once in an interval on
 * average; at random, so that many clients do not come together.
 *
 * @param elapsedMs - how long it has taken already
 * @param random - between 0 and 1
 */
export function spacingDelayMs(intervalMs: number, elapsedMs: number, random: number): number {
  return Math.max(0, intervalMs - elapsedMs) * (0.5 + random)
}
