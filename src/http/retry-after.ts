/** No server makes this client wait longer than an hour. */
const MAX_RETRY_AFTER_MS = 3_600_000

/**
 * How long a `Retry-After` asks to wait, in milliseconds: 0 where it is missing, past, negative or no time at
 * all, and an hour at the most, so that an absurd one neither parks a client for ever nor overflows a timer.
 *
 * @param value - the header: seconds, or an HTTP date
 * @param nowMs - the time, as `Date.now()` tells it
 */
export function retryAfterMs(value: string | null | undefined, nowMs: number): number {
  const text = value?.trim() ?? ""
  if (text === "") return 0
  // Only what looks like a date may become one: Date.parse takes "-5" for a month.
  const ms = /^[+-]?\d+(\.\d+)?$/.test(text)
    ? Number(text) * 1000
    : /^[A-Za-z]{3}/.test(text)
      ? Date.parse(text) - nowMs
      : 0
  return Number.isNaN(ms) ? 0 : Math.min(Math.max(ms, 0), MAX_RETRY_AFTER_MS)
}
