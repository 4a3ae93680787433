const resending = new WeakSet<typeof globalThis.fetch>()

/** Notes that a `fetch` sends a request again by itself. */
export function noteResending(fetch: typeof globalThis.fetch): void {
  resending.add(fetch)
}

/**
 * Whether a request is sent again by `fetch` or below it, so that a POST can arrive twice for one call, and only the second answer
 * is seen. Browsers and Deno do it where a connection that was used before breaks without an answer.
 */
export function resendsRequests(fetch: typeof globalThis.fetch): boolean {
  if (resending.has(fetch)) return true
  const agent = typeof navigator === "undefined" ? undefined : navigator.userAgent
  return typeof agent === "string" && /^(Mozilla|Deno)\//.test(agent)
}
