import { transferError } from "../http/failure.ts"
import { encodeUtf8 } from "../platform/text.ts"
import { NOW_OFFSET, START_OFFSET, type Offset } from "../protocol/offset.ts"

export interface PageMark {
  readonly offset: Offset
  readonly cursor: string | undefined
  readonly upToDate: boolean
  readonly streamClosed: boolean
}

export type SessionOutcome =
  | { readonly kind: "eof" }
  | { readonly kind: "up-to-date" }
  | { readonly kind: "cancelled"; readonly reason: unknown }
  | { readonly kind: "aborted"; readonly reason: unknown }
  | { readonly kind: "failed"; readonly error: unknown }

export interface ArrivedPage {
  readonly kind: "page"
  readonly end: PageMark
  readonly payload: Payload
  /** From the request to the response; Infinity for SSE, whose pages come unasked. */
  readonly elapsedMs: number
  readonly response?: Response
}

/** A page as a consumer gets it. */
export interface SourcePage {
  /** The offset that it was requested at. */
  readonly start: Offset
  /** Where it ends, as the server said. `commit` returns where it ends for the caller. */
  readonly end: PageMark
  readonly payload: Payload
  /** Leading bytes that the caller already has, from an earlier transfer that failed. */
  readonly deliveredBytes: number
  /** Whether it is the first page at an offset that the error handler chose. */
  readonly restarted: boolean
}

export interface PageContent {
  readonly empty: boolean
  /** Its size, for consumers that deliver parts of pages. */
  readonly bytes?: number
}

/**
 * A session as its consumer sees it. After `next` gave a page, exactly one of `commit`, `hold`, `reject` and `fail` follows,
 * then `next` again. Calls after the end of the session change nothing.
 */
export interface PageSource {
  readonly contentType: string | undefined
  /** What users see: the end of what was committed. Moves in `commit` and nowhere else. */
  readonly position: PageMark
  readonly outcome: SessionOutcome | undefined
  /** Settles, and never rejects, when the session is over. */
  readonly ended: Promise<SessionOutcome>
  readonly maxPageBytes: number | undefined
  /**
   * The next page; undefined at the end, after `cancel`, and at the tail of a finite read. Says that the consumer has dealt
   * with the page before. One call at a time.
   *
   * @throws what ended the session
   */
  next(): Promise<SourcePage | undefined>
  /** The page is the caller's. Returns its end, clamped ({@link clampedEnd}). Comes before the callback runs. */
  commit(page: SourcePage, content: PageContent): PageMark
  /** Reads on behind the page, while `position` stays: it goes to the caller with a later page. */
  hold(page: SourcePage, content: PageContent): void
  /** The page is not whole, or not valid; `deliveredBytes` of it, from its start, are the caller's. It is read again. */
  reject(page: SourcePage, failure: TransferFailure, deliveredBytes?: number): void
  /** Ends the session with an exception. Takes back a commit that no `next` followed. */
  fail(error: unknown): void
  /** The consumer wants no more than what is stored: the session ends at the tail, and does not pause. */
  readToTail(): void
  cancel(reason: unknown): void
}

/**
 * Where a page ends for its reader. A page that is empty and ends before it began comes from a server that has less than the
 * one before (a replica that lags behind): a reader that followed it would read what lies between twice.
 */
export function clampedEnd(
  { start, end }: Pick<SourcePage, "start" | "end">,
  empty: boolean,
): PageMark {
  const isSentinel = start === START_OFFSET || start === NOW_OFFSET
  // Offsets may be compared as strings; servers that count without padding get that wrong as they grow.
  const isBehind = end.offset.length === start.length && end.offset < start
  return empty && !isSentinel && isBehind ? { ...end, offset: start } : end
}

/** Why a transfer brought no whole page: one union from the body to the state machine. */
export interface TransferFailure {
  /**
   * - `timeout`: nothing arrived for `idleTimeoutMs`
   * - `suspended`: the machine, or its page, slept; the connection is dead
   * - `network`: the connection broke
   * - `malformed`: the bytes are not what the protocol says
   */
  readonly kind: "timeout" | "suspended" | "network" | "malformed"
  readonly error: Error
  /** Equal for failures that occur in the same way. Missing if a network can fail like this for long. */
  readonly signature?: string | undefined
}

export function transferFailure(
  url: string,
  kind: TransferFailure["kind"],
  reason: string,
  detail: { readonly cause?: unknown; readonly signature?: string } = {},
): TransferFailure {
  const error = transferError(url, { kind, reason, cause: detail.cause })
  return { kind, error, signature: detail.signature }
}

/** The next part of a payload. Failures of the network are values here: they are expected. */
export type PayloadRead =
  | { readonly kind: "chunk"; readonly bytes: Uint8Array }
  | { readonly kind: "end" }
  | { readonly kind: "failed"; readonly failure: TransferFailure }

/** The content of a page, taken once. */
export interface Payload {
  /** The content as text, in order, if it arrived as text (SSE). Then there is no need to read bytes. */
  readonly texts?: readonly string[]
  /** There was no body at all, as with a 204. */
  readonly bodiless?: true
  readonly isComplete: boolean
  /**
   * The next bytes. One call at a time.
   *
   * @throws what no transfer can fix: the body is not one, or was used by the caller's `fetch`
   */
  read(): Promise<PayloadRead>
  release(): void
}

export function bufferedPayload(bytes: Uint8Array): Payload {
  let rest: Uint8Array | undefined = bytes.byteLength === 0 ? undefined : bytes
  return {
    isComplete: true,
    read() {
      const chunk = rest
      rest = undefined
      return Promise.resolve(
        chunk === undefined ? { kind: "end" } : { kind: "chunk", bytes: chunk },
      )
    },
    release() {
      rest = undefined
    },
  }
}

export function emptyPayload(): Payload {
  return { ...bufferedPayload(new Uint8Array()), bodiless: true }
}

export function textPayload(texts: readonly string[]): Payload {
  let bytes: Payload | undefined
  return {
    texts,
    isComplete: true,
    read() {
      bytes ??= bufferedPayload(encodeUtf8(texts.join("")))
      return bytes.read()
    },
    release() {
      bytes?.release()
    },
  }
}
