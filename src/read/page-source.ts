import type { Offset } from "../protocol/offset.ts"
import { endOf, type Page, type PageMark } from "./page.ts"
import type { BrokenPayload, Payload } from "./payload.ts"
import type { Session } from "./session.ts"
import type { SessionOutcome } from "./session-types.ts"

/** Why a transfer brought no whole page. */
export interface TransferFailure {
  readonly kind: "timeout" | "suspended" | "network" | "malformed"
  readonly error: Error
}

/** A page as a consumer gets it. */
export interface SourcePage {
  /** The offset that it was requested at. */
  readonly start: Offset
  /** Where it ends, as the server said. */
  readonly end: PageMark
  readonly payload: Payload
  /** Leading bytes that the caller already has, from an earlier transfer that broke. */
  readonly deliveredBytes: number
  /** Whether it is the first page behind an offset that the error handler chose. */
  readonly restarted: boolean
}

/** What a page held. */
export interface PageContent {
  readonly empty: boolean
  /** Its size, for consumers that deliver parts of pages. */
  readonly bytes?: number
}

/** What consumers see of a session. */
export interface PageSource {
  readonly contentType: string | undefined
  /** The end of what was delivered: what users see. Moves in `commit` only. */
  readonly position: PageMark
  /** How the session ended; undefined while it lives. */
  readonly outcome: SessionOutcome | undefined
  /** Settles, and never rejects, when the session is over. */
  readonly ended: Promise<SessionOutcome>
  readonly maxPageBytes: number | undefined
  next(): Promise<SourcePage | undefined>
  commit(page: SourcePage, content: PageContent): PageMark
  hold(page: SourcePage, content: PageContent): void
  proceed(): void
  reject(page: SourcePage, failure: TransferFailure, deliveredBytes?: number): void
  fail(error: unknown): void
  readToTail(): void
  cancel(reason: unknown): void
}

const damageOf = {
  timeout: "cut",
  suspended: "stale",
  network: "cut",
  malformed: "malformed",
} as const

/** What a payload that broke means. */
export function failureOfPayload({ damage, error }: BrokenPayload): TransferFailure {
  const kind = damage === "malformed" ? damage : damage === "stale" ? "suspended" : "network"
  return { kind, error }
}

/** The session as consumers see it. */
// eslint-disable-next-line max-lines-per-function -- goes when Session implements PageSource
export function pageSource(session: Session, start: Offset): PageSource {
  let position: PageMark = {
    offset: start,
    cursor: undefined,
    upToDate: false,
    streamClosed: false,
  }
  let before = position
  let taken: Required<PageContent> | undefined
  const settle = (content: PageContent) => {
    taken = { empty: content.empty, bytes: content.bytes ?? 0 }
  }
  const source: PageSource = {
    get contentType() {
      return session.contentType
    },
    get position() {
      return position
    },
    get outcome() {
      return session.state.kind === "ended" ? session.state.outcome : undefined
    },
    get ended() {
      return session.ended
    },
    maxPageBytes: undefined,
    async next() {
      source.proceed()
      const page: Page | undefined = await session.next()
      if (page === undefined) return undefined
      const { offset, handedOnBytes } = session.state
      const { payload, ...end } = page
      return { start: offset, end, payload, deliveredBytes: handedOnBytes, restarted: false }
    },
    commit(page, content) {
      const { offset, upToDate, streamClosed, cursor } = endOf(page.end, page.start, content.empty)
      before = position
      position = { offset, upToDate, streamClosed, cursor: cursor ?? before.cursor }
      settle(content)
      return { offset, upToDate, streamClosed, cursor }
    },
    hold(_page, content) {
      before = position
      settle(content)
    },
    proceed() {
      if (taken === undefined) return
      const { bytes, empty } = taken
      taken = undefined
      session.delivered(bytes, empty)
    },
    reject(_page, failure, deliveredBytes = 0) {
      session.broken({ damage: damageOf[failure.kind], error: failure.error }, deliveredBytes)
    },
    fail(error) {
      if (taken !== undefined) position = before
      taken = undefined
      session.fail(error)
    },
    readToTail() {
      session.readToTail()
    },
    cancel(reason) {
      session.cancel(reason)
    },
  }
  return source
}
