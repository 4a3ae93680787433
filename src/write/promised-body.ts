import { LinkedAbortController, raceAbort } from "../http/abort.ts"

/** Whether a value is awaited like a promise. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  if (typeof value !== "object" || value === null) return false
  try {
    return "then" in value && typeof value.then === "function"
  } catch {
    // A proxy that cannot be looked at is none.
    return false
  }
}

/**
 * Waits for a body, or for what is given in its place if that is no promise.
 *
 * @param body - the body, or a promise of it
 * @param signals - end the wait
 * @throws what the promise rejects with; FetchBackoffAbortError on abort
 */
export async function promisedBody(
  body: unknown,
  ...signals: readonly (AbortSignal | undefined)[]
): Promise<unknown> {
  const scope = new LinkedAbortController(...signals)
  try {
    return await raceAbort(Promise.resolve(body), scope.signal)
  } finally {
    scope.end()
  }
}

/**
 * Keeps the failure of a body that may never be waited for, because its call fails before, from surfacing as an unhandled
 * rejection. Only a promise can fail so: another thenable may begin its work when it is asked.
 */
export function disownBody(body: unknown): void {
  try {
    if (body instanceof Promise) body.catch(() => undefined)
  } catch {
    // A proxy that cannot be looked at is no promise.
  }
}
