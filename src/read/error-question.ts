import type { RetryOpts, StreamErrorHandler } from "./stream-options.ts"

/**
 * Asks the error handler whether to go on after an error.
 *
 * @param error - what a request failed with; a header function may have thrown anything, and the handler is told it
 * @param signal - ends the wait for the handler, which may take its time
 * @returns what to change before the request is made again; undefined where the session is to end
 * @throws what the handler threw
 */
export async function askErrorHandler(
  onError: StreamErrorHandler | undefined,
  error: unknown,
  signal: AbortSignal,
): Promise<RetryOpts | undefined> {
  // Whatever a request throws is an Error.
  const answer: unknown = await Promise.race([onError?.(error as Error), aborted(signal)])
  // Nothing, or the null of a JavaScript caller, ends the session; an object is what the handler's type says.
  return typeof answer === "object" && answer !== null ? answer : undefined
}

function aborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => {
      resolve(undefined)
    })
  })
}
