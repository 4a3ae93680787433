import { onAbort } from "../http/abort-watch.ts"
import { failureOf } from "../http/failure.ts"
import type { SessionEvent } from "./session-types.ts"
import type { RetryOpts, StreamErrorHandler } from "./stream-options.ts"

/** What a decision is made with. */
export interface ErrorQuestion {
  readonly onError: StreamErrorHandler | undefined
  /** From when the last decision to go on was carried out until now; Infinity where there was none. */
  readonly sinceLastMs: number
  /** Makes the changes that the handler wants. What it throws ends the session, as they are no good. */
  readonly change: (changes: RetryOpts) => void
}

/**
 * Has the error handler decide, and tells the session. The handler's word replaces no `Retry-After`: while it takes its
 * time, that passes.
 *
 * @param question - what it is decided with
 * @param error - what a request failed with
 * @param signal - ends the wait for the handler; not aborted yet
 */
export async function decideOn(
  question: ErrorQuestion,
  error: unknown,
  signal: AbortSignal,
): Promise<SessionEvent> {
  const { onError, sinceLastMs, change } = question
  const askedAt = performance.now()
  const waitMs = failureOf(error)?.retryAfterMs ?? 0
  const decided = (again: boolean, reason: unknown): SessionEvent => {
    const left = Math.max(0, waitMs - (performance.now() - askedAt))
    return { kind: "decided", again, error: reason, retryAfterMs: left, sinceLastMs }
  }
  try {
    const changes = await askErrorHandler(onError, error, signal)
    if (changes !== undefined) change(changes)
    return decided(changes !== undefined, error)
  } catch (thrown) {
    return decided(false, thrown)
  }
}

/**
 * Asks the error handler whether to go on after an error.
 *
 * @param error - what a request failed with; a header function may have thrown anything, and the handler is told it
 * @param signal - ends the wait for the handler, which may take its time; not aborted yet
 * @returns what to change before the request is made again; undefined where the session is to end
 * @throws what the handler threw
 */
export async function askErrorHandler(
  onError: StreamErrorHandler | undefined,
  error: unknown,
  signal: AbortSignal,
): Promise<RetryOpts | undefined> {
  let unwatch: () => void = () => undefined
  // Watched before the handler is called, which may end the session itself and then never settle.
  const aborted = new Promise<undefined>((resolve) => {
    unwatch = onAbort(signal, () => {
      resolve(undefined)
    })
  })
  try {
    // Whatever a request throws is an Error.
    const answer: unknown = await Promise.race([onError?.(error as Error), aborted])
    // Nothing, or the null of a JavaScript caller, ends the session; an object is what the handler's type says.
    return typeof answer === "object" && answer !== null ? answer : undefined
  } finally {
    unwatch()
  }
}
