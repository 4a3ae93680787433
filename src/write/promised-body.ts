export function isThenable(value: unknown): value is PromiseLike<unknown> {
  if (typeof value !== "object" || value === null) return false
  try {
    return "then" in value && typeof value.then === "function"
  } catch {
    // A revoked proxy.
    return false
  }
}

/**
 * Keeps the failure of a body that may never be awaited, because its call fails before, from being an unhandled rejection.
 * Only a promise can fail so: another thenable may begin its work when it is asked.
 */
export function disownBody(body: unknown): void {
  try {
    if (body instanceof Promise) body.catch(() => undefined)
  } catch {
    // A revoked proxy is not a promise.
  }
}
