import { checkSignal, type Endpoint } from "../http/endpoint.ts"
import { exchange } from "../http/request.ts"
import { isJsonContentType, mediaType } from "../protocol/content-type.ts"
import { CONTENT_TYPE_HEADER, STREAM_OFFSET_HEADER } from "../protocol/names.ts"
import type { Offset } from "../protocol/offset.ts"
import { describeUrl } from "../protocol/request-url.ts"
import { hasHeader } from "../protocol/response-metadata.ts"
import { encodeBody, guessContentType, takeBody, type AppendPart } from "./append-body.ts"
import { createHeaders, hasExpired } from "./create-headers.ts"
import { disownBody, isThenable, promisedBody } from "./promised-body.ts"
import { checkContentType } from "./write-checks.ts"
import type { CreateSettings } from "./write-options.ts"

/** What the server said of a stream that was created, or was there already with the same configuration. */
export interface CreatedStream {
  readonly contentType: string | undefined
  readonly offset: Offset | undefined
}

/** What a create is told beside the settings. */
export interface CreateContext {
  readonly signal?: AbortSignal | undefined
  /** The content type where the settings name none: the handle's. */
  readonly defaultContentType?: string | undefined
  /** The headers that make a fork of it. */
  readonly forkHeaders?: Readonly<Record<string, string>>
}

/**
 * Creates a stream, or makes sure that it is there: a repetition with the same configuration succeeds and stores nothing.
 *
 * @throws DurableStreamError `BAD_REQUEST` or `PARSE_ERROR` for settings that no server takes, else as `exchange`:
 *   `CONFLICT_EXISTS` where a stream with another configuration is there
 */
export async function createStream(
  endpoint: Endpoint,
  settings: CreateSettings,
  { signal, defaultContentType, forkHeaders }: CreateContext,
): Promise<CreatedStream> {
  disownBody(settings.body)
  checkSignal(signal)
  checkContentType(settings.contentType)
  const stream = describeUrl(endpoint.url)
  const lifetime = createHeaders(settings, endpoint.headers)
  // A body that is here is taken as it is at the call.
  const first = isThenable(settings.body)
    ? await promisedBody(settings.body, endpoint.signal, signal)
    : settings.body
  const content = firstContent(first, settings.contentType ?? defaultContentType, stream)
  const type = content.type
  const { headers } = await exchange(
    endpoint,
    {
      method: "PUT",
      operation: forkHeaders === undefined ? "create" : "fork",
      // Servers that cannot create what has expired may say so with a 500, for ever.
      retry: hasExpired(lifetime, endpoint.headers, Date.now()) ? "never" : "idempotent",
      headers: {
        ...(type !== undefined && { [CONTENT_TYPE_HEADER]: type }),
        ...lifetime,
        ...forkHeaders,
      },
      ...(content.body !== undefined && { body: content.body }),
    },
    signal,
  )
  return {
    contentType: typeOfCreated(headers, type),
    offset: headers.get(STREAM_OFFSET_HEADER) ?? undefined,
  }
}

/** What the platform calls a body of text where nobody says what it is. */
const TYPE_OF_ANY_TEXT = "text/plain;charset=UTF-8"

/**
 * The stream's content type as the server says it, which may keep another one than was asked for. An answer that has a body, or
 * does not know where the stream goes on, may speak of itself: from that one no more is taken than a spelling.
 */
function typeOfCreated(headers: Headers, askedFor: string | undefined): string | undefined {
  const answered = headers.get(CONTENT_TYPE_HEADER) ?? undefined
  if (askedFor === undefined || answered === undefined) return answered ?? askedFor
  if (mediaType(answered) === mediaType(askedFor)) return answered
  const hasBody = Number(headers.get("content-length")) > 0 || answered === TYPE_OF_ANY_TEXT
  return hasHeader(headers, STREAM_OFFSET_HEADER) && !hasBody ? answered : askedFor
}

/** The body of the PUT, which the server takes apart where it is an array on a JSON stream, and its type. */
function firstContent(
  body: unknown,
  type: string | undefined,
  stream: string,
): { type: string | undefined; body?: AppendPart } {
  if (body === undefined) return { type }
  const snapshot = takeBody(body, stream)
  const knownType = type ?? guessContentType(snapshot)
  const isNothing =
    (snapshot.kind === "text" && snapshot.text === "") ||
    (snapshot.kind === "bytes" && snapshot.bytes.byteLength === 0)
  if (isNothing && !isJsonContentType(knownType)) return { type: knownType }
  return { type: knownType, body: encodeBody(snapshot, knownType, stream) }
}
