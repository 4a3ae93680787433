import { onAbort } from "../http/abort-watch.ts"
import type { SessionEvent } from "./session-types.ts"
import type { RetryOpts, StreamErrorHandler } from "./stream-options.ts"

/**
 * Has the error handler decide, and tells the session.
 *
 * @param error - what a request failed with
 * @param signal - ends the wait for the handler; not aborted yet
 * @param change - makes the changes that the handler wants; what it throws ends the session, as they are no good
 */
export async function decideOn(
  onError: StreamErrorHandler | undefined,
  error: unknown,
  signal: AbortSignal,
  change: (changes: RetryOpts) => void,
): Promise<SessionEvent> {
  try {
    const changes = await askErrorHandler(onError, error, signal)
    if (changes !== undefined) change(changes)
    return { kind: "decided", again: changes !== undefined, error }
  } catch (thrown) {
    return { kind: "decided", again: false, error: thrown }
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
