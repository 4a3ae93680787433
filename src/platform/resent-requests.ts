/**
 * Whether the platform sends a request again on its own, below `fetch`, where a connection that it had used before breaks
 * without an answer. Browsers and Deno do, a POST too: it can arrive twice for one call, and only the second answer is seen.
 */
export function resendsRequests(): boolean {
  const agent = typeof navigator === "undefined" ? undefined : navigator.userAgent
  return typeof agent === "string" && /^(Mozilla|Deno)\//.test(agent)
}
