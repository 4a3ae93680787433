import type { DurableStreamError } from "../errors/durable-stream-error.ts"
import { checkSignal, type EndpointOptions } from "../http/endpoint.ts"
import { checkOptions, RULES, type OptionRule } from "../http/option-checks.ts"
import type { Retrying } from "../http/retry-loop.ts"
import type { HeadersRecord, MaybePromise, ParamsRecord } from "../http/request-inputs.ts"
import { documentVisibility, type VisibilitySource } from "../platform/page-lifecycle.ts"
import { isOffset, START_OFFSET, type Offset } from "../protocol/offset.ts"

/**
 * How a session continues once it has caught up.
 *
 * - `false`: it ends.
 * - `true`: live, over the transport that fits the content type: SSE for JSON, long-poll otherwise.
 * - `"long-poll"`, `"sse"`: live over this transport. If SSE does not work, long-poll takes over.
 */
export type LiveMode = boolean | "long-poll" | "sse"

/** The live modes that name a transport. */
export type LegacyLiveMode = "long-poll" | "sse"

/** What an error handler can change before a request is made again. */
export interface RetryOpts {
  /** Merged over the session's params, for all further requests. */
  params?: ParamsRecord | undefined
  /** Merged over the session's headers, for all further requests. */
  headers?: HeadersRecord | undefined
  /**
   * Continue from here instead: `"-1"` after `GONE` or `NOT_FOUND`, if the stream was recreated or truncated. The next batch
   * has `restarted: true`.
   */
  offset?: Offset | undefined
  /** After `SCHEMA`: omits the message, and the session continues. Any other decision ends it. */
  skip?: boolean | undefined
}

/** An error as handlers get it: this package's have a code, a header function's own error may not. */
export type StreamFailure = Error & Partial<Pick<DurableStreamError, "code" | "status" | "details">>

/**
 * Decides about a request that failed for good: an object means continue (with merged headers and params), nothing means
 * end with this error. 5xx, 429 and network failures reach it only after retries are exhausted. Its own retries are backed
 * off.
 */
export type StreamErrorHandler = (
  error: StreamFailure,
) => MaybePromise<RetryOpts | undefined | void>

/** When SSE gives way to long-poll. */
export interface SSEResilienceOptions {
  /**
   * A connection that ends sooner than this, in milliseconds, without anything new, is short.
   *
   * @default 1000
   */
  minConnectionDuration?: number | undefined
  /**
   * After so many short connections in a row, long-poll takes over.
   *
   * @default 3
   */
  maxShortConnections?: number | undefined
  /**
   * The limit of the first delay after a short connection, in milliseconds.
   *
   * @default 100
   */
  backoffBaseDelay?: number | undefined
  /**
   * The limit up to which the delays double, in milliseconds.
   *
   * @default 5000
   */
  backoffMaxDelay?: number | undefined
  /**
   * Warns on the console when long-poll takes over, with what to configure.
   *
   * @default true
   */
  logWarnings?: boolean | undefined
}

/** {@link SSEResilienceOptions} with every default filled in. */
export type SseSettings = {
  readonly [Name in keyof SSEResilienceOptions]-?: NonNullable<SSEResilienceOptions[Name]>
}

/** Where and how to read; shared by `stream()` and `DurableStream.stream()`. */
export interface ReadOptions {
  /**
   * Where to start: a stored offset, `"-1"` (the start) or `"now"` (skips what is stored).
   *
   * @default "-1"
   */
  offset?: Offset | undefined
  /** The cursor that was stored with the offset; sent with the first live request. */
  cursor?: string | undefined
  /**
   * How to continue once caught up.
   *
   * @default true
   */
  live?: LiveMode | undefined
  /** Ends the session. */
  signal?: AbortSignal | undefined
  /**
   * Treats the stream as JSON regardless of its content type.
   *
   * @default false
   */
  json?: boolean | undefined
  /** Called for every request of the session that failed for good. */
  onError?: StreamErrorHandler | undefined
  /** When SSE gives way to long-poll. */
  sseResilience?: SSEResilienceOptions | undefined
  /**
   * Warns if a browser reads over plain HTTP.
   *
   * @default true
   */
  warnOnHttp?: boolean | undefined
  /**
   * A read that receives nothing for longer than this, in milliseconds, is dropped and resumed. SSE comments count as
   * activity.
   *
   * @default 75_000
   */
  idleTimeoutMs?: number | undefined
  /**
   * Pauses a live session while it is hidden: `true` uses the document's visibility, or pass a source of your own.
   *
   * @default true
   */
  pauseWhenHidden?: boolean | VisibilitySource | undefined
  /**
   * How long it must stay hidden before its live sessions pause, in milliseconds.
   *
   * @default 0
   */
  hiddenGraceMs?: number | undefined
  /**
   * How many catch-up pages are requested ahead of the consumer, once consumption has begun. 0 disables it.
   *
   * @default 1
   */
  readAhead?: number | undefined
  /**
   * The limit, in bytes, of data that must be held in memory at once: a page that is delivered whole (as JSON, a chunk, or
   * collected), or an SSE line or event. To exceed it ends the session with `PAGE_TOO_LARGE`. `bodyStream()` and
   * `textStream()` hold no page and have no limit.
   *
   * @default JSON pages: the engine's longest string. SSE: 64 MiB. Bytes and text: none
   */
  maxPageBytes?: number | undefined
  /**
   * Called with what the session does: requests, responses, retries, transport changes, pauses, the end, and each
   * {@link ConnectionState}.
   */
  observe?: ((event: StreamEvent) => void) | undefined
}

/** The options of `stream()`. */
export interface StreamOptions
  extends Omit<EndpointOptions, "requestTimeoutMs" | "signal">, ReadOptions {}

/** How one request of a session reads. */
export type Transport = "catch-up" | "long-poll" | "sse"

/** Why SSE was given up. `lossy-text`: the stream holds text that SSE cannot carry unchanged. */
export type SseFallbackReason =
  | "short-connections"
  | "buffered"
  | "silent"
  | "failing"
  | "unsupported"
  | "malformed"
  | "lossy-text"

/**
 * What a session is at, for a user interface: `response.state`, and each change in `observe`.
 *
 * - `connecting`: no response has arrived yet.
 * - `catching-up`: it delivers what is stored.
 * - `live`: what was stored is delivered, and what is appended arrives at once. A connection that ends and is replaced without a
 *   failure stays live.
 * - `retrying`: the latest request failed. It lasts until a response arrives. While `onError` decides, the state does not change.
 * - `offline`: the browser says that it has no network. What is in flight is not aborted, and what arrives ends this state. It
 *   retries as soon as there is a network.
 * - `paused`: the page is hidden.
 * - `ended`: final. `eof`: the stream is closed; `up-to-date`: a finite read has caught up.
 */
export type ConnectionState =
  | { readonly kind: "connecting" | "catching-up" | "offline" }
  | { readonly kind: "live"; readonly transport: Exclude<Transport, "catch-up"> }
  | Retrying
  | { readonly kind: "paused"; readonly reason: PauseReason }
  | ({ readonly kind: "ended" } & SessionEnd)

/** How a session ended. */
export interface SessionEnd {
  readonly reason: "eof" | "up-to-date" | "cancelled" | "aborted" | "failed"
  /** What it failed with. */
  readonly error?: unknown
}

/** What a session does, as `observe` receives it. */
export type StreamEvent =
  | {
      readonly kind: "request"
      readonly transport: Transport
      readonly offset: Offset
      /** From 1; above it the request is a retry. */
      readonly attempt: number
    }
  | {
      readonly kind: "response"
      readonly transport: Transport
      readonly status: number
      /** From the request to its headers. */
      readonly durationMs: number
    }
  | {
      readonly kind: "retry"
      readonly transport: Transport
      readonly attempt: number
      readonly delayMs: number
      readonly error: Error
    }
  | {
      readonly kind: "transport"
      readonly from: Transport
      readonly to: Transport
      /** Why SSE was given up, if it was. */
      readonly reason?: SseFallbackReason
    }
  /**
   * The stream does not know the stored offset that the session started at: it was probably deleted and created again. Its
   * messages start at `"-1"`.
   */
  | { readonly kind: "offset-mismatch"; readonly offset: Offset; readonly nextOffset: Offset }
  | { readonly kind: "pause"; readonly reason: PauseReason }
  | { readonly kind: "resume"; readonly reason: PauseReason }
  | ({ readonly kind: "end" } & SessionEnd)
  /** Where the session is now; the first one is `connecting`. Comes before the event that explains it. */
  | { readonly kind: "state"; readonly state: ConnectionState }

/** Why a session pauses. */
export type PauseReason = "hidden"

/** Checked {@link ReadOptions} with every default filled in. */
export type SessionSettings = Readonly<ReturnType<typeof sessionSettings>>

/** What an offset must be that a read is to start at. */
export const OFFSET: OptionRule = { words: 'a stored offset, "-1" or "now"', isMet: isOffset }

const LIVE_MODES: readonly unknown[] = [true, false, "long-poll", "sse"]

/**
 * Checks the options of a read and fills in the defaults.
 *
 * @throws DurableStreamError `BAD_REQUEST` that names the option
 * @throws InvalidSignalError if the signal is none
 */
// eslint-disable-next-line @typescript-eslint/explicit-module-boundary-types -- SessionSettings is what it returns
export function sessionSettings(options: ReadOptions) {
  const {
    offset = START_OFFSET,
    live = true,
    json = false,
    idleTimeoutMs = 75_000,
    pauseWhenHidden = true,
    hiddenGraceMs = 0,
    readAhead = 1,
    sseResilience,
    ...given
  } = checkOptions(options, {
    offset: OFFSET,
    live: { words: 'true, false, "long-poll" or "sse"', isMet: (it) => LIVE_MODES.includes(it) },
    json: RULES.boolean,
    onError: RULES.function,
    observe: RULES.function,
    idleTimeoutMs: RULES.duration,
    pauseWhenHidden: { words: "a boolean or a VisibilitySource", isMet: isVisibilityOption },
    hiddenGraceMs: {
      words: "a number of milliseconds, 0 or more",
      isMet: (it) => Number.isFinite(it) && Number(it) >= 0,
    },
    readAhead: RULES.count,
    maxPageBytes: {
      words: "a whole number, 1 or more, or Infinity",
      isMet: (it) => it === Infinity || (Number.isInteger(it) && Number(it) >= 1),
    },
    warnOnHttp: RULES.boolean,
  })
  const { signal, cursor, maxPageBytes, onError, observe } = given
  return {
    offset,
    cursor,
    live,
    json,
    signal: checkSignal(signal),
    onError,
    observe,
    sse:
      sseResilience === undefined ? (defaultSse ??= sseSettings({})) : sseSettings(sseResilience),
    idleTimeoutMs,
    visibility: pauseWhenHidden === true ? documentVisibility() : pauseWhenHidden || undefined,
    hiddenGraceMs,
    readAhead,
    maxPageBytes,
  }
}

/** One object for all sessions without the option. */
let defaultSse: SseSettings | undefined

function sseSettings(options: SSEResilienceOptions): SseSettings {
  const {
    minConnectionDuration = 1000,
    maxShortConnections = 3,
    backoffMaxDelay = 5000,
    backoffBaseDelay = Math.min(100, backoffMaxDelay),
    logWarnings = true,
  } = checkOptions(
    options,
    {
      minConnectionDuration: RULES.amount,
      maxShortConnections: RULES.count,
      backoffMaxDelay: RULES.amount,
      backoffBaseDelay: RULES.amount,
      logWarnings: RULES.boolean,
    },
    "sseResilience.",
  )
  return {
    minConnectionDuration,
    maxShortConnections,
    backoffBaseDelay,
    backoffMaxDelay: Math.max(backoffBaseDelay, backoffMaxDelay),
    logWarnings,
  }
}

function isVisibilityOption(it: unknown): boolean {
  // JavaScript callers can give anything.
  const { subscribe } = (it ?? {}) as Partial<VisibilitySource>
  return typeof it === "boolean" || typeof subscribe === "function"
}
