import type { DurableStreamError } from "../errors/durable-stream-error.ts"
import { onOnline } from "../platform/online.ts"
import { backoffDelayMs, type Backoff } from "./backoff.ts"
import { callObserver } from "./call-observer.ts"
import type { FailureKind } from "./fetch-failure.ts"
import { sleep } from "./sleep.ts"

/**
 * Whether a request may be tried again, by what the protocol guarantees:
 *
 * - `idempotent`: sending it twice does what sending it once does (reads, PUT, DELETE, producer batches, close only);
 * - `unless-stored`: only where the server says that it stored nothing, or never saw it (a plain append);
 * - `never`: its body cannot be sent again (a streamed append), or its caller goes on in another way.
 */
export type RetryPolicy = "idempotent" | "unless-stored" | "never"

/** What became of one attempt. */
export type AttemptOutcome<T> = { readonly kind: "response"; readonly value: T } | FailedAttempt

/** An attempt that failed. */
export interface FailedAttempt {
  readonly kind: "failed"
  /** The HTTP status, or how the request failed without one. */
  readonly failure: number | FailureKind
  readonly error: DurableStreamError
  /** What the server asked to wait, in milliseconds. */
  readonly retryAfterMs: number
}

/** A retry that is about to happen. */
export interface RetryNotice {
  readonly attempt: number
  readonly delayMs: number
  readonly error: DurableStreamError
}

/** What {@link retryLoop} is told. */
export interface RetryLoopOptions<T> {
  /** Makes another attempt, from the second on; rejects only for what ends the loop (an abort, a failing header function). */
  readonly attempt: (attempt: number) => Promise<AttemptOutcome<T>>
  readonly policy: RetryPolicy
  readonly backoff: Backoff
  readonly signal: AbortSignal
  /**
   * An attempt that lasted this long before it failed, in milliseconds, was not refused but held: the count begins anew.
   * Default Infinity.
   */
  readonly heldMs?: number | undefined
  /** Told of every retry. */
  readonly observer?: { onRetry?(notice: RetryNotice): void } | undefined
}

/** How often what is `faulty` is tried again: it may pass, but a mistake in a program must come to light. */
const MAX_FAULTY_RETRIES = 5

/**
 * The one retry loop: attempts until one is answered, the policy or the count forbids another, or the signal
 * ends it. What failed for want of a network is tried again as soon as the platform says that there is one.
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
  const startedAt = performance.now()
  return first.then((outcome) =>
    outcome.kind === "response" ? outcome.value : tryAgain(options(), outcome, startedAt),
  )
}

async function tryAgain<T>(
  options: RetryLoopOptions<T>,
  outcome: FailedAttempt,
  startedAt: number,
): Promise<T> {
  const { backoff, signal } = options
  let failures = 0
  // After a long time offline the first attempts may still come too early: they are not as far apart as the last ones.
  const watchNetwork = (wake: () => void) =>
    onOnline(() => {
      failures = 0
      wake()
    })
  let failed = outcome
  let faultyCount = 0
  for (let attempt = 1; ; attempt++) {
    const { error, failure } = failed
    if (performance.now() - startedAt >= (options.heldMs ?? Infinity)) attempt = 1
    if (attempt === 1) failures = 0
    callObserver("onFailedAttempt", () => backoff.onFailedAttempt?.())
    if (attempt > backoff.maxRetries || !mayTryAgain(options.policy, failure)) throw error
    if (failure === "faulty" && ++faultyCount > MAX_FAULTY_RETRIES) throw error
    const delayMs = backoffDelayMs(backoff, ++failures, Math.random(), failed.retryAfterMs)
    if (backoff.debug) {
      console.debug(
        `[durable-streams] attempt ${attempt} failed, again in ${Math.round(delayMs)} ms: ${error.message}`,
      )
    }
    options.observer?.onRetry?.({ attempt, delayMs, error })
    await sleep(delayMs, signal, typeof failure === "string" ? watchNetwork : undefined)
    startedAt = performance.now()
    const next = await options.attempt(attempt + 1)
    if (next.kind === "response") return next.value
    failed = next
  }
}

/**
 * Whether the protocol lets a request be tried again.
 *
 * @param policy - what the caller says of the request
 * @param failure - the HTTP status, or how it failed without one
 */
export function mayTryAgain(policy: RetryPolicy, failure: number | FailureKind): boolean {
  if (policy === "never" || failure === "impossible") return false
  if (policy === "unless-stored") {
    return failure === "refused" || failure === 429 || failure === 500 || failure === 503
  }
  if (typeof failure === "string") return true
  // 501 and 505 say that the server will never know how.
  return (
    failure === 408 ||
    failure === 425 ||
    failure === 429 ||
    (failure >= 500 && failure !== 501 && failure !== 505)
  )
}

/**
 * Whether a write that failed may have been stored all the same.
 *
 * @param failure - the HTTP status, or how it failed without one
 */
export function isIndeterminate(failure: number | FailureKind): boolean {
  if (typeof failure === "string") return failure === "lost" || failure === "faulty"
  // 500 and 503 are the server's own word that nothing was stored; the rest comes from what stands in front of it.
  return failure === 408 || (failure > 500 && ![501, 503, 505].includes(failure))
}
