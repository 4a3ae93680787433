import { DurableStreamError } from "../errors/durable-stream-error.ts"
import type { LinkedAbortController } from "../http/abort.ts"
import type { Endpoint } from "../http/endpoint.ts"
import { releaseBody } from "../http/release-body.ts"
import { send, type RequestObserver, type StreamRequest } from "../http/request.ts"
import { mediaType } from "../protocol/content-type.ts"
import { CURSOR_QUERY_PARAM, LIVE_QUERY_PARAM, OFFSET_QUERY_PARAM } from "../protocol/names.ts"
import { describeUrl } from "../protocol/request-url.ts"
import { readMetadata, saysClosed } from "../protocol/response-metadata.ts"
import { arrivesInParts, bodyPayload } from "./body-payload.ts"
import { endOf, type Page } from "./page.ts"
import type { ReadRequest } from "./read-request.ts"
import { RequestWatch } from "./request-watch.ts"
import type { SessionNarrator } from "./session-narrator.ts"
import type { TextFidelity } from "./text-fidelity.ts"
import { SseConnection } from "./sse-connection.ts"
import { failedRequest, silentRequest, unopenedSse, type Unopened } from "./unopened.ts"

/** What every request of a session is made with. */
export interface ReadContext {
  readonly endpoint: Endpoint
  readonly idleTimeoutMs: number
  /** The stream's content type, once an answer has told it. */
  readonly contentType: string | undefined
  readonly narrator: SessionNarrator
  readonly fidelity: TextFidelity
}

/** What became of a request. It has been tried again as often as the settings allow, and is not tried again here. */
export type Opened =
  | {
      readonly kind: "page"
      readonly page: Page
      readonly elapsedMs: number
      readonly response: Response
    }
  | { readonly kind: "connection"; readonly connection: SseConnection }
  | Unopened

/** SSE answers begin at once; a request for them that stays without one is held back by something. */
const SSE_ANSWER_TIMEOUT_MS = 10_000

/** A long-poll that fails after this was held open, as it should be: a gateway, or its network, had enough of it. */
const HELD_POLL_MS = 1_000

/**
 * Makes one read request. Never rejects for what a network may do; what it resolves with after the scope was aborted
 * means nothing.
 *
 * @param scope - lives as long as the answer is used: ending it ends the body or connection too
 */
export function openTransport(
  context: ReadContext,
  request: ReadRequest,
  scope: LinkedAbortController,
): Promise<Opened> {
  const { endpoint, idleTimeoutMs, narrator } = context
  const { url } = endpoint
  const isSse = request.transport === "sse"
  const answerTimeoutMs = isSse ? Math.min(SSE_ANSWER_TIMEOUT_MS, idleTimeoutMs) : idleTimeoutMs
  const watch = new RequestWatch(request, { url, answerTimeoutMs, scope, narrator })
  // Not awaited: what an async function keeps while it waits is twice as much, and a session waits here most of its life.
  return send(endpoint, streamRequest(request, watch), scope.signal).then(
    (response) => openAnswer(context, request, response, { watch, signal: scope.signal }),
    (error: unknown) => unopened(request, error, watch),
  )
}

function openAnswer(
  { endpoint, idleTimeoutMs, contentType, fidelity }: ReadContext,
  request: ReadRequest,
  response: Response,
  { watch, signal }: { readonly watch: RequestWatch; readonly signal: AbortSignal },
): Opened {
  const { url } = endpoint
  const { startedAt, elapsedMs, idle } = watch
  const isSse = request.transport === "sse"
  try {
    // An SSE request for a stream that is closed already may be answered as a long-poll is.
    if (!isSse || (response.status === 204 && saysClosed(response.headers))) {
      const onBytes = scanOf(response, fidelity)
      const body = { url, signal, watch: idle, idleTimeoutMs, onBytes }
      return openPage(request, response, body, elapsedMs)
    }
    const isEvents = mediaType(response.headers.get("content-type")) === "text/event-stream"
    if (isEvents && arrivesInParts(response)) {
      const body = { url, signal, watch: idle, idleTimeoutMs }
      const events = { request, contentType, fidelity, startedAt }
      return { kind: "connection", connection: new SseConnection(response, body, events) }
    }
  } catch (error) {
    return unopened(request, error, watch)
  }
  idle.end()
  releaseBody(response)
  return unopenedSse("unsupported")
}

function unopened(
  { transport }: ReadRequest,
  error: unknown,
  { idle, silence, elapsedMs }: RequestWatch,
): Unopened {
  idle.end()
  return silence === undefined
    ? failedRequest(transport, error)
    : silentRequest(transport, silence, elapsedMs)
}

function streamRequest(request: ReadRequest, observer: RequestObserver): StreamRequest {
  const { transport } = request
  return {
    method: "GET",
    operation: "read",
    // Whether SSE fails or the server is down is not told by more of the same: the session asks in another way.
    retry: transport === "sse" ? "never" : "idempotent",
    query: readQuery(request),
    timeoutMs: Infinity,
    heldMs: transport === "long-poll" ? HELD_POLL_MS : Infinity,
    observer,
  }
}

function openPage(
  request: ReadRequest,
  response: Response,
  body: Parameters<typeof bodyPayload>[1],
  elapsedMs: number,
): Opened {
  const metadata = readMetadata(response.headers)
  const { status } = response
  // A long-poll that timed out moves nothing, so what it leaves out can be filled in.
  const offset = metadata.offset ?? (status === 204 ? request.offset : undefined)
  if (offset === undefined) {
    body.watch.end()
    releaseBody(response)
    return { kind: "broken", damage: "malformed", error: withoutOffset(body.url, response) }
  }
  const payload = bodyPayload(response, body)
  const mark = endOf({ ...metadata, offset }, request.offset, status === 204)
  return { kind: "page", page: { ...mark, payload }, elapsedMs, response }
}

function withoutOffset(url: string, response: Response): DurableStreamError {
  const type = mediaType(response.headers.get("content-type")) || "unknown type"
  return new DurableStreamError(
    `The answer from ${describeUrl(url)} (${response.status}, ${type}) has no Stream-Next-Offset: it is not a ` +
      "durable stream, a proxy strips the header, or CORS does not expose it (Access-Control-Expose-Headers).",
    "PROTOCOL",
    response.status,
  )
}

/** Text is looked at for what SSE could not carry. */
function scanOf(
  response: Response,
  fidelity: TextFidelity,
): ((bytes: Uint8Array) => void) | undefined {
  const isText = mediaType(response.headers.get("content-type")).startsWith("text/")
  if (!isText) return undefined
  return (bytes) => {
    fidelity.scan(bytes)
  }
}

function readQuery(request: ReadRequest): Record<string, string | undefined> {
  const live = request.transport !== "catch-up"
  return {
    [OFFSET_QUERY_PARAM]: request.offset,
    // Catch-up URLs carry neither, so that caches can keep the answers.
    [LIVE_QUERY_PARAM]: live ? request.transport : undefined,
    [CURSOR_QUERY_PARAM]: live ? request.cursor : undefined,
  }
}
