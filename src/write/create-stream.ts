import { badOption, checkOptions, RULES, wholeNumber } from "../http/option-checks.ts"
import { checkMessage } from "../errors/invalid-message-error.ts"
import { MissingStreamUrlError } from "../errors/missing-stream-url-error.ts"
import { LinkedAbortController, raceAbort } from "../http/abort.ts"
import { checkSignal, type Endpoint } from "../http/endpoint.ts"
import type { HeadersRecord } from "../http/request-inputs.ts"
import { exchange } from "../http/request.ts"
import { headExistingStream } from "../http/stream-head.ts"
import { encodeUtf8 } from "../platform/text.ts"
import { tagOf } from "../protocol/bytes.ts"
import { isJsonContentType, mediaType } from "../protocol/content-type.ts"
import {
  encodeMessage,
  guessContentType,
  takeSnapshot,
  type MessageContent,
} from "../protocol/message.ts"
import {
  CONTENT_TYPE_HEADER,
  STREAM_CLOSED_HEADER,
  STREAM_EXPIRES_AT_HEADER,
  STREAM_FORKED_FROM_HEADER,
  STREAM_FORK_OFFSET_HEADER,
  STREAM_FORK_SUB_OFFSET_HEADER,
  STREAM_OFFSET_HEADER,
  STREAM_TTL_HEADER,
} from "../protocol/names.ts"
import { NOW_OFFSET } from "../protocol/offset.ts"
import { describeUrl, pathOf } from "../protocol/request-url.ts"
import { hasHeader, headerOf } from "../protocol/response-metadata.ts"
import { parseRfc3339 } from "../protocol/rfc3339.ts"
import type { WriteTarget } from "./append-request.ts"
import { disownBody, isThenable } from "./promised-body.ts"
import { badRequest, checkContentType, checkText, namedHeader } from "./write-checks.ts"
import type { CreateSettings, ForkPoint } from "./write-options.ts"

export interface CreateContext {
  readonly signal?: AbortSignal | undefined
  /** The content type if the settings name none: the handle's. */
  readonly defaultContentType?: string | undefined
  readonly forkHeaders?: Readonly<Record<string, string | undefined>>
}

/**
 * Creates a stream, or makes sure that it exists: a repetition with the same configuration succeeds and stores nothing.
 *
 * @returns the stream's content type, if it is known
 * @throws DurableStreamError `BAD_REQUEST` or `PARSE_ERROR` for settings that no server accepts, else as `exchange`:
 *   `CONFLICT_EXISTS` if a stream with another configuration exists
 */
export async function createStream(
  endpoint: Endpoint,
  settings: CreateSettings,
  { signal, defaultContentType, forkHeaders }: CreateContext,
): Promise<string | undefined> {
  disownBody(settings.body)
  checkSignal(signal)
  checkContentType(settings.contentType)
  const lifetime = createHeaders(settings)
  const abort = new LinkedAbortController(endpoint.signal, signal)
  const expiry =
    lifetime[STREAM_EXPIRES_AT_HEADER] ?? namedHeader(endpoint.headers, STREAM_EXPIRES_AT_HEADER)
  let serverMs = Number.NaN
  let expired: Error | undefined
  const observer = {
    onResponse(response: Response) {
      serverMs = Date.parse(headerOf(response.headers, "date") ?? "")
    },
    onRetry({ error }: { readonly error: Error }) {
      // Servers that cannot create what has expired say so with a 500, each time. Their clock decides, not this machine's.
      if (typeof expiry !== "string" || !((parseRfc3339(expiry.trim()) ?? 0) < serverMs)) return
      expired = error
      abort.abort()
    },
  }
  try {
    // A body that is not a promise is taken as it is at the call.
    const body = isThenable(settings.body)
      ? await raceAbort(Promise.resolve(settings.body), abort.signal)
      : settings.body
    const stream = describeUrl(endpoint.url)
    const content = await firstContent(body, settings.contentType ?? defaultContentType, stream)
    const request = {
      method: "PUT",
      operation: forkHeaders === undefined ? "create" : "fork",
      retry: "idempotent",
      headers: {
        [CONTENT_TYPE_HEADER]: content.type,
        ...lifetime,
        ...forkHeaders,
      },
      ...(content.body !== undefined && { body: content.body }),
      observer,
    } as const
    const { headers } = await exchange(endpoint, request, abort.signal)
    return typeOfCreated(headers, content.type)
  } catch (error) {
    throw expired ?? error
  } finally {
    abort.end()
  }
}

/**
 * Creates a fork.
 *
 * The source's HEAD comes first, and the fork names what it would inherit: a create that is retried after a lost response
 * is then the same, also if the source's tail has moved on, and the server can tell that it is.
 *
 * @param source - the stream to fork
 * @param target - where the fork will be
 * @returns the fork's content type, if it is known
 * @throws as `createStream`; `NOT_FOUND` if there is no source
 */
export async function forkStream(
  { endpoint, handle }: WriteTarget,
  target: Endpoint,
  settings: CreateSettings & ForkPoint,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  disownBody(settings.body)
  checkSignal(signal)
  const { offset, subOffset } = settings
  if (offset !== undefined) checkText("offset", offset, STREAM_FORK_OFFSET_HEADER)
  checkOptions(settings, { subOffset: wholeNumber(0) })
  createHeaders(settings)
  const head = await headExistingStream(endpoint, signal, "idempotent")
  if (head.contentType !== undefined) handle.contentType = head.contentType
  const from = offset === undefined || offset === NOW_OFFSET ? head.offset : offset
  const { ttlSeconds, expiresAt } = namesLifetime(settings, target.headers) ? {} : head
  return createStream(target, settings, {
    signal,
    defaultContentType: handle.contentType,
    forkHeaders: {
      ...(ttlSeconds !== undefined
        ? { [STREAM_TTL_HEADER]: String(ttlSeconds) }
        : expiresAt !== undefined && { [STREAM_EXPIRES_AT_HEADER]: expiresAt }),
      [STREAM_FORKED_FROM_HEADER]: pathOf(endpoint.url),
      [STREAM_FORK_OFFSET_HEADER]: from,
      [STREAM_FORK_SUB_OFFSET_HEADER]: subOffset?.toString(),
    },
  })
}

/**
 * The URL of a fork: absolute, or relative to its source.
 *
 * @throws MissingStreamUrlError; DurableStreamError `BAD_REQUEST` if it leads to another origin, which must not get the
 *   handle's headers and params
 */
export function forkUrl(given: unknown, sourceUrl: string): string {
  if (given === undefined || given === null || given === "") throw new MissingStreamUrlError()
  // A URL of any realm. Any value but null and undefined may be asked for a property.
  const url = typeof given === "string" ? given : (given as { readonly href?: unknown }).href
  if (typeof url !== "string") throw badOption("url", "a string or a URL", given)
  let source: URL
  let resolved: URL
  try {
    source = new URL(sourceUrl)
    resolved = new URL(url, source)
  } catch {
    throw badRequest(
      `The option url of the fork, or that of ${describeUrl(sourceUrl)}, is not a URL.`,
    )
  }
  if (resolved.origin !== source.origin) {
    throw badRequest(
      `The option url leads to another origin than ${describeUrl(sourceUrl)}: a fork is created by its source's server.`,
    )
  }
  // What is certainly absolute stays as it was written, as every stream's URL does.
  return /^https?:\/\//i.test(url) ? url : resolved.href
}

const CREATE_ONLY = [
  STREAM_TTL_HEADER,
  STREAM_EXPIRES_AT_HEADER,
  STREAM_CLOSED_HEADER,
  STREAM_FORKED_FROM_HEADER,
  STREAM_FORK_OFFSET_HEADER,
  STREAM_FORK_SUB_OFFSET_HEADER,
]

/**
 * Separates the headers that only a create may carry: a caller's own `Stream-Closed` for the create must not close the
 * stream with the first append.
 */
export function splitCreateHeaders(headers: HeadersRecord): {
  createOnly: HeadersRecord
  others: HeadersRecord
} {
  const createOnly: HeadersRecord = {}
  const others: HeadersRecord = {}
  for (const [name, value] of Object.entries(headers)) {
    const isCreateOnly = CREATE_ONLY.some((only) => only.toLowerCase() === name.toLowerCase())
    ;(isCreateOnly ? createOnly : others)[name] = value
  }
  return { createOnly, others }
}

/**
 * The headers of a create that say how long the stream lives and whether it is created closed.
 *
 * @throws DurableStreamError `BAD_REQUEST` that names the option
 */
export function createHeaders(settings: CreateSettings): Record<string, string | undefined> {
  const { ttlSeconds, expiresAt, closed } = checkOptions(settings, {
    ttlSeconds: wholeNumber(1),
    expiresAt: {
      words: "an RFC 3339 time, such as new Date(…).toISOString()",
      isMet: (it) => typeof it === "string" && parseRfc3339(it) !== undefined,
    },
    closed: RULES.boolean,
  })
  if (ttlSeconds !== undefined && expiresAt !== undefined) {
    throw badRequest("The options ttlSeconds and expiresAt exclude each other: give one of them.")
  }
  return {
    [STREAM_TTL_HEADER]: ttlSeconds?.toString(),
    [STREAM_EXPIRES_AT_HEADER]: expiresAt,
    [STREAM_CLOSED_HEADER]: closed === true ? "true" : undefined,
  }
}

function namesLifetime({ ttlSeconds, expiresAt }: CreateSettings, given: HeadersRecord): boolean {
  const ofHeaders = (name: string) => namedHeader(given, name)
  const ttl = ttlSeconds ?? ofHeaders(STREAM_TTL_HEADER)
  return (ttl ?? expiresAt ?? ofHeaders(STREAM_EXPIRES_AT_HEADER)) !== undefined
}

/** What the platform calls the content type of any text. */
const TYPE_OF_ANY_TEXT = "text/plain;charset=UTF-8"

/**
 * The content type that the server says, which may keep another one than was requested. A response that has a body, or does
 * not know the offset, may speak of itself: of that one, no more than a spelling is taken.
 */
function typeOfCreated(headers: Headers, requested: string | undefined): string | undefined {
  const said = headerOf(headers, CONTENT_TYPE_HEADER)
  if (requested === undefined || said === undefined) return said ?? requested
  if (mediaType(said) === mediaType(requested)) return said
  const hasBody = Number(headers.get("content-length")) > 0 || said === TYPE_OF_ANY_TEXT
  return hasHeader(headers, STREAM_OFFSET_HEADER) && !hasBody ? said : requested
}

/**
 * The body of the PUT, which the server flattens if it is an array on a JSON stream, and its type. No type is invented: a
 * stream that was created without one would respond with a conflict.
 */
async function firstContent(
  body: unknown,
  named: string | undefined,
  stream: string,
): Promise<{ type: string | undefined; body?: MessageContent }> {
  if (body === undefined) return { type: named }
  const blob = isBlob(body) ? body : undefined
  const type = named ?? (blob?.type || undefined)
  const message = takeSnapshot(blob ? await blob.arrayBuffer() : body, !blob)
  // A value without a named type is stored as its JSON text.
  const content = checkMessage(encodeMessage(message, type ?? guessContentType(message)), stream)
  if (content.length === 0 && !isJsonContentType(type)) return { type }
  // The platform would name a type for text, and names none for bytes.
  const isNamed = type !== undefined || typeof content !== "string"
  return { type, body: isNamed ? content : encodeUtf8(content) }
}

function isBlob(value: unknown): value is Blob {
  return /^\[object (Blob|File)\]$/.test(tagOf(value))
}
