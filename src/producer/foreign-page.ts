import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { mediaType } from "../protocol/content-type.ts"
import { CONTENT_TYPE_HEADER, STREAM_OFFSET_HEADER } from "../protocol/names.ts"
import { describeUrl } from "../protocol/request-url.ts"

/** Whether a success is a page of HTML that knows nothing of streams: a login, a captive portal. */
export function isForeignPage(headers: Headers): boolean {
  const isPage = mediaType(headers.get(CONTENT_TYPE_HEADER)) === "text/html"
  return isPage && !headers.has(STREAM_OFFSET_HEADER)
}

/** The error for such a page. */
export function foreignPageError(url: string, status: number): DurableStreamError {
  return new DurableStreamError(
    `A page of HTML with status ${status} came back from ${describeUrl(url)}: something in between answers in the server's ` +
      "place.",
    "PROTOCOL",
    status,
  )
}
