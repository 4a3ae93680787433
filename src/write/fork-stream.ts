import { badOption } from "../errors/bad-option.ts"
import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { MissingStreamUrlError } from "../errors/missing-stream-url-error.ts"
import { checkSignal, type Endpoint } from "../http/endpoint.ts"
import {
  STREAM_EXPIRES_AT_HEADER,
  STREAM_FORKED_FROM_HEADER,
  STREAM_FORK_OFFSET_HEADER,
  STREAM_FORK_SUB_OFFSET_HEADER,
  STREAM_TTL_HEADER,
} from "../protocol/names.ts"
import { NOW_OFFSET } from "../protocol/offset.ts"
import { pathOf } from "../protocol/request-url.ts"
import { createHeaders, namesLifetime } from "./create-headers.ts"
import { createStream, type CreatedStream } from "./create-stream.ts"
import { headExistingStream, type ExistingStream } from "./head-stream.ts"
import { disownBody } from "./promised-body.ts"
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
 * The source is asked first, and what a fork would inherit is said: a create that is tried again after a lost answer is
 * then the same, also where the source's tail has moved on, and a server can tell that it is.
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
  disownBody(settings.body)
  checkSignal(signal)
  const { offset, subOffset } = settings
  if (offset !== undefined) checkText("offset", offset, STREAM_FORK_OFFSET_HEADER)
  if (subOffset !== undefined) checkWholeNumber("subOffset", subOffset, 0)
  createHeaders(settings, target.headers)
  const head = await headExistingStream(source.endpoint, signal)
  if (head.contentType !== undefined) source.contentType.current = head.contentType
  const from = offset === undefined || offset === NOW_OFFSET ? head.offset : offset
  return createStream(target, settings, {
    signal,
    defaultContentType: source.contentType.current,
    forkHeaders: {
      ...(!namesLifetime(settings, target.headers) && inheritedLifetime(head)),
      [STREAM_FORKED_FROM_HEADER]: pathOf(source.endpoint.url),
      ...(from !== undefined && { [STREAM_FORK_OFFSET_HEADER]: from }),
      ...(subOffset !== undefined && { [STREAM_FORK_SUB_OFFSET_HEADER]: String(subOffset) }),
    },
  })
}

function inheritedLifetime(head: ExistingStream): Record<string, string> {
  if (head.ttlSeconds !== undefined) return { [STREAM_TTL_HEADER]: String(head.ttlSeconds) }
  return head.expiresAt === undefined ? {} : { [STREAM_EXPIRES_AT_HEADER]: head.expiresAt }
}

/** Options without those that are undefined: what is left out of a call is the handle's. */
export function definedOptions<T extends object>(options: T): Partial<T> {
  const entries = Object.entries(options).filter(([, value]) => value !== undefined)
  // What is left has the types that it had.
  return Object.fromEntries(entries) as Partial<T>
}

/**
 * The URL of a fork: absolute, or relative to its source.
 *
 * @throws MissingStreamUrlError, DurableStreamError `BAD_REQUEST`
 */
export function forkUrl(url: string | URL | null | undefined, sourceUrl: string): string {
  if (url === undefined || url === null || url === "") throw new MissingStreamUrlError()
  if (url instanceof URL) return url.href
  // JavaScript callers can give anything.
  if (typeof url !== "string") throw badOption("url", "a string or a URL", url)
  // An absolute one stays as it was written, as every stream's URL does.
  if (/^[a-z][a-z\d+.-]*:/i.test(url)) return url
  try {
    return new URL(url, sourceUrl).href
  } catch {
    throw new DurableStreamError("The option url of the fork is no URL.", "BAD_REQUEST")
  }
}
