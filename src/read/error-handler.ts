import { onAbort } from "../http/abort.ts"
import type { RetryOpts, StreamErrorHandler } from "./stream-options.ts"

/** Calls the error handler. Resolves with what to change, or undefined if the session is to end, or the signal is aborted. */
export async function callErrorHandler(
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
    const decision: unknown = await Promise.race([onError?.(error as Error), aborted])
    // Nothing, or the null of a JavaScript caller, ends the session; an object is what the handler's type says.
    return typeof decision === "object" && decision !== null ? decision : undefined
  } finally {
    unwatch()
  }
}
