import { DurableStreamError } from "../errors/durable-stream-error.ts"
import { FetchError } from "../errors/fetch-error.ts"
import { LinkedAbortController } from "../http/abort.ts"
import type { Endpoint } from "../http/endpoint.ts"
import { failureOf } from "../http/failure.ts"
import { send, type RequestObserver, type StreamRequest } from "../http/request.ts"
import { releaseBody } from "../http/response.ts"
import type { RetryNotice } from "../http/retry-loop.ts"
import { monotonicMs } from "../platform/clock.ts"
import { mediaType } from "../protocol/content-type.ts"
import {
  CURSOR_QUERY_PARAM,
  LIVE_QUERY_PARAM,
  OFFSET_QUERY_PARAM,
  STREAM_UP_TO_DATE_HEADER,
} from "../protocol/names.ts"
import { describeUrl } from "../protocol/request-url.ts"
import { hasHeader, readMetadata, saysClosed } from "../protocol/response-metadata.ts"
import { arrivesInParts, bodyPayload, type BodyContext, type BodyPlatform } from "./body.ts"
import { IdleWatch, type IdleListener } from "./idle-watch.ts"
import type { ArrivedPage, TransferFailure } from "./page.ts"
import { reportEvent, ResponseHead } from "./session-events.ts"
import type { ReadRequest, SessionEvent } from "./session-state.ts"
import { SseConnection } from "./sse-connection.ts"
import type { SseEnding } from "./sse-health.ts"
import type { SessionSettings } from "./stream-options.ts"

export interface ReadContext {
  readonly endpoint: Endpoint
  readonly settings: SessionSettings
  readonly contentType: string | undefined
  latest: ResponseHead | undefined
  readonly dispatch: (event: SessionEvent) => void
  readonly platform: BodyPlatform
  /** Called with the bytes of text that arrive by a transport that carries bytes. */
  readonly onText: ((bytes: Uint8Array) => void) | undefined
}

/** What a request led to. It was retried as often as the settings allow. */
export type Opened =
  ArrivedPage | { readonly kind: "connection"; readonly connection: SseConnection } | NotOpened

type NotOpened = Extract<
  SessionEvent,
  { kind: "sse-closed" | "poll-timed-out" | "transfer-failed" | "request-failed" }
>

/** SSE responses begin at once, and so do their bodies; one that does not is buffered by something. */
const SSE_START_TIMEOUT_MS = 10_000

/** A long-poll that fails after this was held open, as it should be: a gateway, or its network, gave up on it. */
const HELD_POLL_MS = 1_000

/** Statuses of an SSE request that mean that this server, or something in front of it, does not support SSE. */
const sseRejections: readonly number[] = [400, 405, 406, 415, 501]

export interface PendingRequest {
  readonly request: ReadRequest
  /** Lives as long as the response is used: aborting it ends the body or connection too. */
  readonly controller: LinkedAbortController
  /** Never rejects for what a network may do; what it resolves with after an abort means nothing. */
  readonly opened: Promise<Opened>
}

/** Makes one read request. */
export function openTransport(context: ReadContext, request: ReadRequest): PendingRequest {
  const controller = new LinkedAbortController()
  const attempt = new ReadAttempt(context, request, controller)
  // Not awaited: what an async function keeps while it waits is twice as much, and a session waits here most of its life.
  const opened = send(context.endpoint, attempt.request, controller.signal).then(
    (response) => attempt.open(response),
    (error: unknown) => attempt.fail(error),
  )
  return { request, controller, opened }
}

/**
 * A read request: measures its attempts, and sees that none stays idle for too long. The pauses between them are not watched:
 * they may be long, because the server asked for it.
 */
class ReadAttempt implements RequestObserver, IdleListener {
  readonly #context: ReadContext
  readonly #read: ReadRequest
  readonly #controller: LinkedAbortController
  readonly #watch: IdleWatch
  /** When the newest attempt was sent: what came before says nothing about the response. */
  #startedAtMs = monotonicMs()

  constructor(context: ReadContext, read: ReadRequest, controller: LinkedAbortController) {
    this.#context = context
    this.#read = read
    this.#controller = controller
    this.#watch = new IdleWatch(context.endpoint.url, this)
  }

  get request(): StreamRequest {
    const { transport, offset, cursor } = this.#read
    const isLive = transport !== "catch-up"
    return {
      method: "GET",
      operation: "read",
      // More of the same does not tell whether SSE fails or the server is down: the session asks in another way.
      retry: transport === "sse" ? "never" : "idempotent",
      // Middlewares compress, and so buffer, what does not say that it is an event stream.
      ...(transport === "sse" && { headers: { accept: "text/event-stream" } }),
      query: {
        [OFFSET_QUERY_PARAM]: offset,
        // Catch-up URLs have neither, so that caches can keep the responses.
        [LIVE_QUERY_PARAM]: isLive ? transport : undefined,
        [CURSOR_QUERY_PARAM]: isLive ? cursor : undefined,
      },
      timeoutMs: Infinity,
      heldMs: transport === "long-poll" ? HELD_POLL_MS : Infinity,
      observer: this,
    }
  }

  onRequest(attempt: number): void {
    this.#startedAtMs = monotonicMs()
    this.#watch.listen(this.#startTimeoutMs)
    const { transport, offset } = this.#read
    reportEvent(this.#context, { kind: "request", transport, offset, attempt })
  }

  onResponse(response: Response): void {
    this.#watch.heard()
    const { transport } = this.#read
    const { status, headers } = response
    // An SSE response stays open, and keeps its headers for as long. More pages follow one that is not up to date.
    const stays = transport !== "sse" && hasHeader(headers, STREAM_UP_TO_DATE_HEADER)
    this.#context.latest = new ResponseHead(response, stays)
    reportEvent(this.#context, { kind: "response", transport, status, durationMs: this.#elapsedMs })
  }

  onRetry(notice: RetryNotice): void {
    this.#watch.heard()
    this.#context.dispatch({ kind: "request-retried", transport: this.#read.transport, ...notice })
  }

  onIdle({ error }: TransferFailure): void {
    this.#controller.abort(error)
  }

  open(response: Response): Opened {
    try {
      // An SSE request for a stream that is closed may be answered as a long-poll is.
      const isEmptyEnd = response.status === 204 && saysClosed(response.headers)
      if (this.#read.transport !== "sse" || isEmptyEnd) return this.#openPage(response)
      const isEvents = mediaType(response.headers.get("content-type")) === "text/event-stream"
      if (isEvents && arrivesInParts(response)) return this.#openConnection(response)
    } catch (error) {
      return this.fail(error)
    }
    this.#discard(response)
    return notConnected("unsupported", "nothing")
  }

  fail(error: unknown): NotOpened {
    const { transport } = this.#read
    this.#watch.end()
    const idle = this.#watch.failure
    if (transport === "sse") return idle ? notConnected(idle.kind) : sseFailure(error)
    if (idle === undefined) return { kind: "request-failed", error }
    if (transport === "long-poll" && idle.kind === "timeout") {
      return { kind: "poll-timed-out", elapsedMs: this.#elapsedMs }
    }
    return { kind: "transfer-failed", failure: idle, deliveredBytes: 0 }
  }

  get #elapsedMs(): number {
    return monotonicMs() - this.#startedAtMs
  }

  get #startTimeoutMs(): number {
    const { idleTimeoutMs } = this.#context.settings
    const isSse = this.#read.transport === "sse"
    return isSse ? Math.min(SSE_START_TIMEOUT_MS, idleTimeoutMs) : idleTimeoutMs
  }

  #openPage(response: Response): Opened {
    const { status, headers } = response
    const metadata = readMetadata(headers)
    // A long-poll that timed out does not move, so that its offset can be filled in.
    const offset = metadata.offset ?? (status === 204 ? this.#read.offset : undefined)
    if (offset === undefined) {
      this.#discard(response)
      const error = missingOffset(this.#context.endpoint.url, response)
      const failure = { kind: "malformed", error } as const
      return { kind: "transfer-failed", failure, deliveredBytes: 0 }
    }
    const { onText } = this.#context
    const isText = onText && mediaType(headers.get("content-type")).startsWith("text/")
    const payload = bodyPayload(response, this.#body(isText ? onText : undefined))
    const end = { ...metadata, offset }
    return { kind: "page", end, payload, elapsedMs: this.#elapsedMs, response }
  }

  #openConnection(response: Response): Opened {
    const connection = new SseConnection(response, {
      ...this.#body(undefined),
      offset: this.#read.offset,
      contentType: this.#context.contentType,
      startedAtMs: this.#startedAtMs,
      firstByteTimeoutMs: this.#startTimeoutMs,
      maxPageBytes: this.#context.settings.maxPageBytes,
    })
    return { kind: "connection", connection }
  }

  #body(onBytes: BodyContext["onBytes"]): BodyContext {
    const { endpoint, settings, platform } = this.#context
    const { signal } = this.#controller
    const { idleTimeoutMs } = settings
    return { url: endpoint.url, signal, watch: this.#watch, idleTimeoutMs, platform, onBytes }
  }

  #discard(response: Response): void {
    this.#watch.end()
    releaseBody(response)
  }
}

/** What it means that an SSE request failed. */
function sseFailure(error: unknown): NotOpened {
  const failure = failureOf(error)
  if (failure === undefined || !(error instanceof FetchError)) {
    return { kind: "request-failed", error }
  }
  if (sseRejections.includes(error.status)) return notConnected("unsupported", "nothing")
  if (!failure.retryable) return { kind: "request-failed", error }
  return notConnected("network", "no-response", { error, retryAfterMs: failure.retryAfterMs })
}

function notConnected(
  kind: SseEnding["kind"],
  brought: SseEnding["brought"] = "no-response",
  failure?: SseEnding["failure"],
): NotOpened {
  return { kind: "sse-closed", ending: { kind, brought, livedMs: 0, failure } }
}

function missingOffset(url: string, response: Response): DurableStreamError {
  const type = mediaType(response.headers.get("content-type")) || "unknown type"
  return new DurableStreamError(
    `The response from ${describeUrl(url)} (${response.status}, ${type}) has no Stream-Next-Offset. It is not a ` +
      "durable stream, a proxy strips the header, or CORS does not expose it (Access-Control-Expose-Headers).",
    "PROTOCOL",
    response.status,
  )
}
