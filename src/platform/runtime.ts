/** Whether this is a page or worker of a browser. */
export function isBrowser(): boolean {
  return userAgent().startsWith("Mozilla/")
}

/** Whether this is Cloudflare's workerd, where a request must not wait for what belongs to another request. */
export function isWorkerd(): boolean {
  return userAgent() === "Cloudflare-Workers"
}

function userAgent(): string {
  const agent: unknown = typeof navigator === "undefined" ? undefined : navigator.userAgent
  return typeof agent === "string" ? agent : ""
}
