import { FetchError } from "../errors/fetch-error.ts"
import { INDETERMINATE_HINT } from "../errors/indeterminate-hint.ts"
import { PRODUCER_EPOCH_HEADER, STREAM_UP_TO_DATE_HEADER } from "../protocol/names.ts"
import { describeUrl } from "../protocol/request-url.ts"
import { hasHeader } from "../protocol/response-metadata.ts"

/**
 * Calls `fetch`, and again where it could not follow a redirect that keeps the method (307, 308): Node 20 and 22 give a body
 * of bytes away when they send it, and have nothing left to send to where the redirect points. A Blob they can send twice.
 * The redirect was the server's answer, so nothing was stored by then.
 *
 * @throws what `fetch` throws without a promise
 */
export function fetchThroughRedirects(
  fetch: typeof globalThis.fetch,
  url: string,
  init: RequestInit,
): Promise<Response> {
  const { body } = init
  // A fetch of the caller's may give its answer without a promise.
  const answer = Promise.resolve(fetch(url, init))
  if (!(body instanceof Uint8Array)) return answer
  return answer.catch((error: unknown) => {
    if (!isGivenAway(error)) throw error
    // The library's type wants to rule out shared memory, which no body is.
    return fetch(url, { ...init, body: new Blob([body as Uint8Array<ArrayBuffer>]) })
  })
}

/**
 * The error of a write whose answer is one to a read: redirects with 301, 302 and 303 turn a POST into a GET, which `fetch`
 * does without a word. Where the answer could be one to a write after all, as a 307 leaves it, the write is in doubt.
 *
 * @param method - what the write was made with
 * @param response - the answer, its body unread
 * @param url - the stream's; the message shows it without its query
 * @returns undefined where the answer is the write's
 */
export function redirectedWriteError(
  method: string,
  { ok, redirected, headers, status }: Response,
  url: string,
): FetchError | undefined {
  // A refusal says what it is, whoever it refuses.
  if (!redirected || !ok) return undefined
  const isRead = hasHeader(headers, STREAM_UP_TO_DATE_HEADER)
  // Only a read, a page that is no stream's, or a chatty server has a body; only a producer's append has its numbers.
  const hasBody = hasHeader(headers, "content-type") && headers.get("content-length") !== "0"
  const canBeRead = method === "POST" && hasBody && !hasHeader(headers, PRODUCER_EPOCH_HEADER)
  if (!isRead && !canBeRead) return undefined
  const stream = describeUrl(url)
  const what = isRead
    ? `Nothing was written to ${stream}: a redirect (301, 302 or 303) turned the request into a read.`
    : `No answer to the write to ${stream}: a redirect led to what could be a page. ${INDETERMINATE_HINT}`
  const message = `${what} Redirect with 307 or 308 and answer with 204, or use the URL that it leads to.`
  return new FetchError(status, undefined, undefined, {}, stream, message, {
    code: "PROTOCOL",
    indeterminate: !isRead,
  })
}

function isGivenAway(error: unknown): boolean {
  return (
    error instanceof TypeError &&
    error.cause instanceof TypeError &&
    /detached/i.test(error.cause.message)
  )
}
