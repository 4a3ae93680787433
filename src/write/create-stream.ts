import { checkSignal, type Endpoint } from "../http/endpoint.ts"
import { exchange } from "../http/request.ts"
import { isJsonContentType } from "../protocol/content-type.ts"
import { CONTENT_TYPE_HEADER, STREAM_OFFSET_HEADER } from "../protocol/names.ts"
import type { Offset } from "../protocol/offset.ts"
import { describeUrl } from "../protocol/request-url.ts"
import { encodeBody, guessContentType, takeBody, type AppendPart } from "./append-body.ts"
import { createHeaders } from "./create-headers.ts"
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
  checkSignal(signal)
  checkContentType(settings.contentType)
  const stream = describeUrl(endpoint.url)
  const lifetime = createHeaders(settings, endpoint.headers, Date.now())
  const content = firstContent(settings, defaultContentType, stream)
  const type = content.type
  const { headers } = await exchange(
    endpoint,
    {
      method: "PUT",
      operation: forkHeaders === undefined ? "create" : "fork",
      retry: "idempotent",
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
    contentType: headers.get(CONTENT_TYPE_HEADER) ?? type,
    offset: headers.get(STREAM_OFFSET_HEADER) ?? undefined,
  }
}

/** The body of the PUT, which the server takes apart where it is an array on a JSON stream, and its type. */
function firstContent(
  settings: CreateSettings,
  defaultContentType: string | undefined,
  stream: string,
): { type: string | undefined; body?: AppendPart } {
  const type = settings.contentType ?? defaultContentType
  if (settings.body === undefined) return { type }
  const snapshot = takeBody(settings.body, stream)
  const knownType = type ?? guessContentType(snapshot)
  const isNothing =
    (snapshot.kind === "text" && snapshot.text === "") ||
    (snapshot.kind === "bytes" && snapshot.bytes.byteLength === 0)
  if (isNothing && !isJsonContentType(knownType)) return { type: knownType }
  return { type: knownType, body: encodeBody(snapshot, knownType, stream) }
}
