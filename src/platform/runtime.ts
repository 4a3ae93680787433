/** Whether this is a page or worker of a browser. */
function isBrowser(): boolean {
  return userAgent().startsWith("Mozilla/")
}

/** Whether this is Cloudflare's workerd, where a request must not wait for what belongs to another request. */
export function isWorkerd(): boolean {
  return userAgent() === "Cloudflare-Workers"
}

/**
 * Whether a request's body may be a stream here.
 *
 * Never in a browser: those that can do it reject it over HTTP/1.1, and only once the source has been read from; a
 * page cannot tell beforehand which version its request will get.
 */
export function canStreamRequests(): boolean {
  return !isBrowser() && takesStreamBodies()
}

function userAgent(): string {
  const agent: unknown = typeof navigator === "undefined" ? undefined : navigator.userAgent
  return typeof agent === "string" ? agent : ""
}

/** A platform that knows streams as bodies reads `duplex`, and does not turn the stream into text. */
function takesStreamBodies(): boolean {
  let asked = false
  try {
    const init = {
      method: "POST",
      body: new ReadableStream(),
      get duplex() {
        asked = true
        return "half" as const
      },
    }
    return !new Request("http://localhost", init).headers.has("content-type") && asked
  } catch {
    return false
  }
}
