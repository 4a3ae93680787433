import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { MissingStreamUrlError } from "../errors/missing-stream-url-error.ts"
import { checkSignal, type Endpoint } from "../http/endpoint.ts"
import {
  STREAM_FORKED_FROM_HEADER,
  STREAM_FORK_OFFSET_HEADER,
  STREAM_FORK_SUB_OFFSET_HEADER,
} from "../protocol/names.ts"
import { NOW_OFFSET } from "../protocol/offset.ts"
import { pathOf } from "../protocol/request-url.ts"
import { createStream, type CreatedStream } from "./create-stream.ts"
import { headExistingStream } from "./head-stream.ts"
import type { StreamContentType } from "./stream-content-type.ts"
import { checkText, checkWholeNumber } from "./write-checks.ts"
import type { CreateSettings, ForkPoint } from "./write-options.ts"

/** The stream that a fork is made of. */
export interface ForkSource {
  readonly endpoint: Endpoint
  readonly contentType: StreamContentType
}

/**
 * Creates a fork.
 *
 * Without an offset the source is asked for its tail first: the offset then stays the same when the create is tried
 * again after a lost answer, while the tail moves on.
 *
 * @param source - the stream to fork
 * @param target - where the fork will be
 * @throws as `createStream`; `NOT_FOUND` where there is no source
 */
export async function forkStream(
  source: ForkSource,
  target: Endpoint,
  settings: CreateSettings & ForkPoint,
  signal: AbortSignal | undefined,
): Promise<CreatedStream> {
  checkSignal(signal)
  const { offset, subOffset } = settings
  const headers: Record<string, string> = {
    [STREAM_FORKED_FROM_HEADER]: pathOf(source.endpoint.url),
  }
  if (offset !== undefined) checkText("offset", offset, STREAM_FORK_OFFSET_HEADER)
  if (subOffset !== undefined) {
    headers[STREAM_FORK_SUB_OFFSET_HEADER] = String(checkWholeNumber("subOffset", subOffset, 0))
  }
  let from = offset
  if (offset === undefined || offset === NOW_OFFSET) {
    const head = await headExistingStream(source.endpoint, signal)
    if (head.contentType !== undefined) source.contentType.current = head.contentType
    from = head.offset
  }
  if (from !== undefined) headers[STREAM_FORK_OFFSET_HEADER] = from
  const inherited = source.contentType.current
  const created = await createStream(target, settings, {
    signal,
    forkHeaders: headers,
    // A fork has its source's type unasked; only a body has to be of that type.
    ...(settings.body !== undefined && { defaultContentType: inherited }),
  })
  return { ...created, contentType: created.contentType ?? inherited }
}

/**
 * The URL of a fork: absolute, or relative to its source.
 *
 * @throws MissingStreamUrlError, DurableStreamError `BAD_REQUEST`
 */
export function forkUrl(url: string | URL | undefined, sourceUrl: string): string {
  if (url === undefined || url === "") throw new MissingStreamUrlError()
  if (url instanceof URL) return url.href
  // An absolute one stays as it was written, as every stream's URL does.
  if (/^[a-z][a-z\d+.-]*:/i.test(url)) return url
  try {
    return new URL(url, sourceUrl).href
  } catch {
    throw new DurableStreamError("The option url of the fork is no URL.", "BAD_REQUEST")
  }
}
