import { isBrowser } from "./runtime.ts"

/**
 * Whether a request's body may be a stream here.
 *
 * Never in a browser: those that can do it refuse it over HTTP/1.1, and only once the source has been read from; a
 * page cannot tell beforehand which version its request will get.
 */
export function canStreamRequests(): boolean {
  return !isBrowser() && takesStreamBodies()
}

/** A platform that knows streams as bodies asks for `duplex`, and does not turn the stream into text. */
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
