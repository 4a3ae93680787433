import { PRODUCER_EPOCH_HEADER, STREAM_UP_TO_DATE_HEADER } from "../protocol/names.ts"

/**
 * Calls `fetch`, and again where it could not follow a redirect that keeps the method (307, 308): Node 20 and 22 give a body
 * of bytes away when they send it, and have nothing left to send to where the redirect points. A Blob they can send twice.
 * The redirect was the server's answer, so nothing was stored by then.
 */
export async function fetchThroughRedirects(
  fetch: typeof globalThis.fetch,
  url: string,
  init: RequestInit,
): Promise<Response> {
  try {
    return await fetch(url, init)
  } catch (error) {
    const { body } = init
    if (!(body instanceof Uint8Array) || !isGivenAway(error)) throw error
    // The library's type wants to rule out shared memory, which no body is.
    return fetch(url, { ...init, body: new Blob([body as Uint8Array<ArrayBuffer>]) })
  }
}

/**
 * Whether the answer to a write is one to a read: redirects with 301, 302 and 303 turn a POST into a GET, which `fetch` does
 * without a word. Nothing was stored then.
 */
export function isAnswerToRead(method: string, { redirected, headers }: Response): boolean {
  if (!redirected) return false
  if (headers.has(STREAM_UP_TO_DATE_HEADER)) return true
  // Only a read, or a page that is no stream's, has a body; only a producer's append has its numbers.
  const hasBody = headers.has("content-type") && headers.get("content-length") !== "0"
  return method === "POST" && hasBody && !headers.has(PRODUCER_EPOCH_HEADER)
}

function isGivenAway(error: unknown): boolean {
  return (
    error instanceof TypeError &&
    error.cause instanceof TypeError &&
    /detached/i.test(error.cause.message)
  )
}
