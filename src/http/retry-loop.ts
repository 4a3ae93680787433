import type { DurableStreamError } from "../errors/durable-stream-error.ts"
import { monotonicMs } from "../platform/clock.ts"
import { callObserver, debug, isTestRun, warn } from "../platform/console.ts"
import { onOnline } from "../platform/network.ts"
import { describeUrl } from "../protocol/request-url.ts"
import { sleep } from "./abort.ts"
import { backoffDelayMs, type Backoff } from "./backoff.ts"
import { failureOf, type RequestFailure } from "./failure.ts"

/**
 * Whether a request may be retried, by what the protocol guarantees:
 *
 * - `idempotent`: sending it twice does what sending it once does (reads, PUT, DELETE, producer batches, close only);
 * - `quick`: the same, but three attempts within about a second are all (a HEAD, whose caller wants to know now);
 * - `not-processed`: only if the server certainly did not apply it (a plain append);
 * - `never`: its body cannot be sent again (a streamed append), or its caller goes on in another way.
 */
export type RetryPolicy = "idempotent" | "quick" | "not-processed" | "never"

export type AttemptOutcome<T> = { readonly kind: "response"; readonly value: T } | FailedAttempt

/** An attempt that failed. Its error carries the failure, see `failureOf`. */
export interface FailedAttempt {
  readonly kind: "failed"
  readonly error: DurableStreamError
}

/** A retry that is about to happen, as `observe` reports it. */
export interface RetryNotice {
  /** How many attempts have failed. */
  readonly attempt: number
  readonly delayMs: number
  readonly error: Error
}

/** What a reader or a writer is at while nothing but failures come. */
export interface Retrying {
  readonly kind: "retrying"
  /** What the latest attempt failed with. */
  readonly error: Error
  /** How many attempts have failed. */
  readonly attempt: number
  /** When the next attempt is due, or was made: in milliseconds since 1970, as `Date.now()` counts. */
  readonly retryAtMs: number
}

export interface RetryLoopOptions<T> {
  /** Makes another attempt, from the second on; rejects only for what ends the loop (an abort, a failing header function). */
  readonly attempt: (attempt: number) => Promise<AttemptOutcome<T>>
  readonly policy: RetryPolicy
  readonly backoff: Backoff
  readonly signal: AbortSignal
  /**
   * An attempt that lasted this long before it failed, in milliseconds, was not rejected but held: the count restarts.
   * Default Infinity.
   */
  readonly heldMs?: number | undefined
  readonly observer?: { onRetry?(notice: RetryNotice): void } | undefined
  /** What the console is warned about after some time of nothing but failures; default nothing. */
  readonly warnAbout?: string | undefined
}

/** So long a request fails before the console says so. */
const WARN_AFTER_MS = 3_000

const MAX_QUICK_ATTEMPTS = 3
const MAX_QUICK_MS = 1_000

/**
 * The one retry loop: attempts until one has a response, the policy or the count forbids another, or the signal ends it. It
 * decides by the policy and the failure alone. What failed for want of a network is retried as soon as the platform says that
 * there is one.
 *
 * @param first - the first attempt. Most requests need no other, and a long-poll stays in it: it is waited for without a
 *   loop, which takes more to keep
 * @param options - asked for once the first attempt has failed
 * @throws the last attempt's error, or FetchBackoffAbortError
 */
export function retryLoop<T>(
  first: Promise<AttemptOutcome<T>>,
  options: () => RetryLoopOptions<T>,
): Promise<T> {
  const startedAt = monotonicMs()
  return first.then((outcome) =>
    outcome.kind === "response" ? outcome.value : retry(options(), outcome, startedAt),
  )
}

async function retry<T>(
  options: RetryLoopOptions<T>,
  outcome: FailedAttempt,
  firstAt: number,
): Promise<T> {
  const { backoff, signal, policy, heldMs = Infinity, warnAbout } = options
  let failures = 0
  // After a long time offline the first attempts may still come too early: they are not as far apart as the last ones.
  const watchNetwork = (wake: () => void) =>
    onOnline(() => {
      failures = 0
      wake()
    })
  let failed = outcome
  let startedAt = firstAt
  let failingSince = firstAt
  let limitedCount = 0
  let mayWarn = warnAbout !== undefined
  for (let attempt = 1; ; attempt++) {
    const { error } = failed
    const failure = failureOf(error)
    const now = monotonicMs()
    if (now - startedAt >= heldMs) {
      attempt = 1
      failingSince = now
    }
    if (attempt === 1) failures = 0
    callObserver("onFailedAttempt", () => backoff.onFailedAttempt?.())
    if (failure === undefined || !mayRetry(policy, failure)) throw error
    limitedCount = failure.maxRetries === Infinity ? 0 : limitedCount + 1
    if (attempt > backoff.maxRetries || limitedCount > failure.maxRetries) throw error
    const delayMs = backoffDelayMs(backoff, ++failures, Math.random(), failure.retryAfterMs)
    const isQuick = attempt < MAX_QUICK_ATTEMPTS && now - firstAt + delayMs <= MAX_QUICK_MS
    if (policy === "quick" && !isQuick) throw error
    mayWarn &&= !warnOfOutage(warnAbout ?? "", failure.reason, attempt, now - failingSince)
    if (backoff.debug) {
      debug(`attempt ${attempt} failed, retrying in ${Math.round(delayMs)} ms: ${error.message}`)
    }
    options.observer?.onRetry?.({ attempt, delayMs, error })
    await sleep(delayMs, signal, failure.kind !== "response" ? watchNetwork : undefined)
    startedAt = monotonicMs()
    const next = await options.attempt(attempt + 1)
    if (next.kind === "response") return next.value
    failed = next
  }
}

/**
 * Warns on the console that a stream cannot be reached, once that lasts for some time.
 *
 * @param failingMs - how long nothing but failures came, in milliseconds
 * @returns whether that was long enough for a warning
 */
export function warnOfOutage(
  url: string,
  reason: string,
  tries: number,
  failingMs: number,
): boolean {
  if (failingMs < WARN_AFTER_MS || isTestRun()) return false
  warn(`still trying to reach ${describeUrl(url)}: ${reason}, ${tries} tries`)
  return true
}

function mayRetry(policy: RetryPolicy, { retryable, effect }: RequestFailure): boolean {
  return retryable && policy !== "never" && (policy !== "not-processed" || effect === "none")
}
