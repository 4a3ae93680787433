import { FetchError } from "../errors/fetch-error.ts"
import { INDETERMINATE_HINT } from "../errors/indeterminate-hint.ts"
import { mediaType } from "../protocol/content-type.ts"
import {
  CONTENT_TYPE_HEADER,
  PRODUCER_EPOCH_HEADER,
  PRODUCER_SEQ_HEADER,
  STREAM_CLOSED_HEADER,
  STREAM_OFFSET_HEADER,
} from "../protocol/names.ts"
import { describeUrl } from "../protocol/request-url.ts"
import { hasHeader } from "../protocol/response-metadata.ts"

/** Any of them is said by nobody but a server of streams. */
const protocolHeaders = [
  STREAM_OFFSET_HEADER,
  STREAM_CLOSED_HEADER,
  PRODUCER_EPOCH_HEADER,
  PRODUCER_SEQ_HEADER,
] as const

/** The statuses that a page can have: 201 and 204 are words of the server's own. */
const pageStatuses: readonly number[] = [200, 203]

/** Whether a success is a page of HTML that knows nothing of streams: a login, a captive portal. */
function isForeignPage(headers: Headers): boolean {
  // Frameworks call nothing at all HTML.
  const isPage = isHtml(headers.get(CONTENT_TYPE_HEADER)) && headers.get("content-length") !== "0"
  return isPage && !protocolHeaders.some((name) => hasHeader(headers, name))
}

function foreignPageError(url: string, status: number, indeterminate: boolean): FetchError {
  const stream = describeUrl(url)
  const message =
    `A page of HTML with status ${status} came back from ${stream}: something in between answers in the server's ` +
    `place.${indeterminate ? ` ${INDETERMINATE_HINT}` : ""}`
  return new FetchError(status, undefined, undefined, {}, stream, message, {
    code: "PROTOCOL",
    indeterminate,
  })
}

interface RequestHead {
  readonly method: string
  readonly headers?: Readonly<Record<string, string>>
}

/**
 * The error of a write or a HEAD that such a page is the answer to. What stands in between may have passed a write on, so it is
 * in doubt. A read's page needs an offset anyway, and what writes HTML may be answered with it.
 *
 * @param request - what was asked
 * @param response - the answer, its body unread
 * @param url - the stream's
 * @returns undefined where the answer can be the server's
 */
export function foreignAnswerError(
  { method, headers: sent }: RequestHead,
  { status, headers }: Response,
  url: string,
): FetchError | undefined {
  if (method === "GET" || !pageStatuses.includes(status) || !isForeignPage(headers))
    return undefined
  if (isHtml(sent?.[CONTENT_TYPE_HEADER])) return undefined
  return foreignPageError(url, status, method !== "HEAD")
}

function isHtml(contentType: string | null | undefined): boolean {
  return mediaType(contentType) === "text/html"
}
