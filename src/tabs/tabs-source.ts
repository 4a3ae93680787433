import { FetchBackoffAbortError } from "../errors/fetch-backoff-abort-error.ts"
import { LinkedAbortController, onAbort, sleep } from "../http/abort.ts"
import { extendEndpoint, type Endpoint } from "../http/endpoint.ts"
import { monotonicMs } from "../platform/clock.ts"
import { callObserver } from "../platform/console.ts"
import { isOffline, onOnline } from "../platform/network.ts"
import type { Origin } from "../platform/origin.ts"
import { documentVisibility, type PageLifecycleEvent } from "../platform/page-lifecycle.ts"
import { isJsonContentType } from "../protocol/content-type.ts"
import type { Offset } from "../protocol/offset.ts"
import { OFFLINE, READING } from "../read/connection-state.ts"
import { watchVisibility } from "../read/lifetime.ts"
import {
  bufferedPayload,
  clampedEnd,
  textPayload,
  type PageContent,
  type PageMark,
  type SessionOutcome,
  type SourcePage,
  type TransferFailure,
} from "../read/page.ts"
import type { ResponseHead } from "../read/session-events.ts"
import type { ResponseSource } from "../read/session-response.ts"
import { Session } from "../read/session.ts"
import type { ConnectionState, SessionSettings, StreamEvent } from "../read/stream-options.ts"
import {
  followerTransition,
  initialFollower,
  wakeAtMs,
  type FollowerEffect,
  type FollowerEvent,
  type FollowerState,
} from "./follower-state.ts"
import { Membership } from "./membership.ts"
import type { SharedStreamEvent } from "./shared-stream-options.ts"
import { isDocuments, type SharedPage } from "./wire.ts"

/** A connection that fails this often gives the lock to another participant. */
const FEED_RETRIES = 10
/** Requests of a participant that reads alone are at least this far apart. */
const ALONE_GAP_MS = 250

/** What a {@link TabsSource} reads with. */
export interface TabsSettings {
  readonly endpoint: Endpoint
  readonly session: SessionSettings
  readonly observe: ((event: SharedStreamEvent) => void) | undefined
  readonly origin: Origin
  /** Of the lock and the channel. */
  readonly name: string
}

/**
 * The pages of one participant: its own sessions' while it catches up or reads alone, the holder's while it follows. Executes
 * the effects of the state machine (follower-state.ts).
 */
export class TabsSource implements ResponseSource {
  readonly #settings: TabsSettings
  /** With what the error handler has changed. */
  #endpoint: Endpoint
  readonly #cleanups: (() => void)[] = []
  #unwatchVisibility: (() => void) | undefined
  #outcome: SessionOutcome | undefined
  #ended: Promise<SessionOutcome> | undefined
  #settle: ((outcome: SessionOutcome) => void) | undefined
  readonly #membership: Membership
  #state: FollowerState
  readonly #events: FollowerEvent[] = []
  #isDispatching = false
  #timer: ReturnType<typeof setTimeout> | undefined
  /** The session that the next page is from; undefined while it is the holder that sends it. */
  #inner: Session | undefined
  /** Ends waits that belong to `#inner`. */
  #innerWait = new LinkedAbortController()
  #requestedAtMs = -Infinity
  #contentType: string | undefined
  #latest: ResponseHead | undefined
  #page: SourcePage | undefined
  /** The session that the consumer's page is from. */
  #pageSession: Session | undefined
  #position: PageMark
  #positionBefore: PageMark | undefined
  /** Where the next page starts. */
  #readOffset: Offset
  /** Whether it has caught up once. */
  #isLive = false
  #shownState: ConnectionState | undefined
  /** The browser has said that the network is gone, and nothing has arrived since. */
  #lostNetwork = false
  #isMidPage = false
  #restarted = false
  #isClosed = false
  #isFinite = false
  #wake: (() => void) | undefined

  constructor(settings: TabsSettings) {
    const { endpoint, session, origin, name } = settings
    this.#settings = settings
    this.#endpoint = endpoint
    this.#readOffset = session.offset
    const { offset } = session
    this.#position = { offset, cursor: undefined, upToDate: false, streamClosed: false }
    this.#state = initialFollower(offset, monotonicMs())
    this.#membership = new Membership({
      origin,
      name,
      dispatch: this.#dispatch.bind(this),
      observe: settings.observe,
      isHidden: () => this.#state.context.isHidden,
      isJson: () => this.#isJson,
      openFeed: this.#openFeed.bind(this),
    })
    const visibility = session.visibility ?? documentVisibility()
    if (visibility !== undefined) {
      this.#unwatchVisibility = watchVisibility(visibility, session.hiddenGraceMs, (kind) => {
        this.#dispatch({ kind })
      })
    }
    this.#begin(this.#session(offset, false, session.cursor))
    const setLost = (isLost: boolean) => () => this.#setLost(isLost)
    this.#cleanups.push(onOnline(setLost(false), setLost(true)))
    for (const signal of new Set([endpoint.signal, session.signal])) {
      if (signal === undefined) continue
      const abort = () => {
        this.#end({ kind: "aborted", reason: signal.reason })
      }
      if (signal.aborted) abort()
      else this.#cleanups.push(onAbort(signal, abort))
    }
  }

  get contentType(): string | undefined {
    return this.#contentType
  }

  get position(): PageMark {
    return this.#position
  }

  get outcome(): SessionOutcome | undefined {
    return this.#outcome
  }

  get ended(): Promise<SessionOutcome> {
    this.#ended ??= new Promise((resolve) => {
      if (this.#outcome === undefined) this.#settle = resolve
      else resolve(this.#outcome)
    })
    return this.#ended
  }

  get maxPageBytes(): number | undefined {
    return this.#settings.session.maxPageBytes
  }

  get latest(): ResponseHead | undefined {
    return this.#inner?.latest ?? this.#latest
  }

  get connectionState(): ConnectionState {
    const { outcome } = this
    if (outcome !== undefined) return { ...ending(outcome), kind: "ended" }
    const state = this.#inner?.connectionState
    // A session that reads what was missed is a part of what is live.
    const isFollowing = state === undefined || (this.#isLive && isReading.includes(state.kind))
    if (!isFollowing) return state
    return this.#lostNetwork && isOffline() ? OFFLINE : this.#live
  }

  /**
   * Waits for the first response.
   *
   * @throws what the first request failed with
   */
  async start(): Promise<void> {
    const inner = this.#inner
    try {
      await inner?.start()
    } catch (error) {
      this.#end({ kind: "failed", error })
    }
    this.#throwFailure()
    if (inner === undefined || this.outcome !== undefined) return
    this.#contentType = inner.contentType
    this.#position = inner.position
    // `now` has become the tail.
    this.#readOffset = this.#position.offset
    const onLifecycle = (event: PageLifecycleEvent) => {
      if (event === "departing" || event === "restored") this.#dispatch({ kind: event })
    }
    this.#cleanups.push(this.#settings.origin.onPageLifecycle(onLifecycle))
  }

  async next(): Promise<SourcePage | undefined> {
    this.#page = undefined
    this.#positionBefore = undefined
    const [offset, isMidPage, restarted] = [this.#readOffset, this.#isMidPage, this.#restarted]
    this.#restarted = false
    if (this.#isClosed) this.#end({ kind: "eof" })
    this.#dispatch({ kind: "next", offset, isMidPage, restarted })
    for (;;) {
      this.#throwFailure()
      if (this.outcome !== undefined) return undefined
      // The compiler does not see that the wait may set it.
      const page = this.#page as SourcePage | undefined
      if (page !== undefined) return page
      const inner = this.#inner
      if (inner === undefined) await new Promise<void>((resolve) => void (this.#wake = resolve))
      else await this.#read(inner)
    }
  }

  commit(page: SourcePage, content: PageContent): PageMark {
    const end = this.#pageSession?.commit(page, content) ?? clampedEnd(page, content.empty)
    const { outcome } = this
    // What was collected is committed at the end.
    const isOver = outcome !== undefined && outcome.kind !== "up-to-date" && outcome.kind !== "eof"
    if (isOver) return end
    this.#positionBefore = this.#position
    this.#position = { ...end, cursor: end.cursor ?? this.#position.cursor }
    this.#readOn(page, end, content)
    return end
  }

  hold(page: SourcePage, content: PageContent): void {
    this.#pageSession?.hold(page, content)
    this.#readOn(page, clampedEnd(page, content.empty), content)
  }

  reject(page: SourcePage, failure: TransferFailure, deliveredBytes = 0): void {
    this.#isMidPage ||= deliveredBytes > 0
    if (this.#pageSession !== undefined) {
      this.#pageSession.reject(page, failure, deliveredBytes)
    } else this.#dispatch({ kind: "rejected", offset: page.start })
  }

  fail(error: unknown): void {
    if (this.outcome !== undefined) return
    this.#position = this.#positionBefore ?? this.#position
    this.#end({ kind: "failed", error })
  }

  cancel(reason: unknown): void {
    this.#end({ kind: "cancelled", reason })
  }

  readToTail(): void {
    this.#isFinite = true
    this.#unwatchVisibility?.()
    this.#inner?.readToTail()
  }

  /** What a follower is at. The holder's transport may be another. */
  get #live(): ConnectionState {
    return this.#isJson && this.#settings.session.live !== "long-poll"
      ? READING.sse
      : READING["long-poll"]
  }

  get #isJson(): boolean {
    return this.#settings.session.json || isJsonContentType(this.#contentType)
  }

  #throwFailure(): void {
    const { outcome } = this
    if (outcome?.kind === "aborted") throw new FetchBackoffAbortError(outcome.reason)
    // As it is: a header function may have thrown anything.
    if (outcome?.kind === "failed") throw outcome.error
  }

  /** The consumer has taken the page, or keeps it. */
  #readOn(page: SourcePage, end: PageMark, { bytes = 0 }: PageContent): void {
    this.#readOffset = end.offset
    this.#restarted ||= page.restarted
    this.#isMidPage = bytes < page.deliveredBytes
    this.#isClosed = end.streamClosed
  }

  async #read(inner: Session): Promise<void> {
    try {
      if (this.#state.kind === "alone") {
        const delayMs = this.#requestedAtMs + ALONE_GAP_MS - monotonicMs()
        if (delayMs > 0) await sleep(delayMs, this.#innerWait.signal)
      }
      const page = await inner.next()
      if (this.#inner !== inner) return
      const { outcome } = inner
      if (page !== undefined && this.#isKnown(page)) {
        page.payload.release()
        inner.commit(page, { empty: true })
      } else if (page !== undefined) {
        this.#page = page
        this.#pageSession = inner
        this.#dispatch({ kind: "taken" })
      } else if (outcome?.kind === "up-to-date" && !this.#isFinite) {
        this.#isLive = true
        this.#dropInner()
        this.#dispatch({ kind: "caught-up" })
      } else if (outcome !== undefined) this.#end(outcome)
    } catch (error) {
      if (this.#inner === inner) this.#end(inner.outcome ?? { kind: "failed", error })
    }
  }

  /** A session tells its reader that it is up to date. This reader may know. */
  #isKnown({ start, end, restarted }: SourcePage): boolean {
    return this.#position.upToDate && start === end.offset && !end.streamClosed && !restarted
  }

  #dispatch(event: FollowerEvent): void {
    if (event.kind === "page" || event.kind === "caught-up") this.#setLost(false)
    this.#events.push(event)
    if (this.#isDispatching) return
    this.#isDispatching = true
    const pauses = this.#settings.session.visibility !== undefined
    for (let next = this.#events.shift(); next !== undefined; next = this.#events.shift()) {
      const env = { nowMs: monotonicMs(), random: Math.random(), pauses }
      const before = this.#state.kind
      const { state, effects } = followerTransition(this.#state, next, env)
      this.#state = state
      for (const effect of effects) this.#execute(effect)
      if (before !== state.kind) this.#tell(before, state)
    }
    this.#isDispatching = false
    clearTimeout(this.#timer)
    const atMs = wakeAtMs(this.#state, pauses)
    if (atMs < Infinity) {
      const timer = () => {
        this.#dispatch({ kind: "timer" })
      }
      this.#timer = setTimeout(timer, Math.max(0, atMs - monotonicMs()))
    }
    this.#wake?.()
    this.#wake = undefined
  }

  #execute(effect: FollowerEffect): void {
    if (this.outcome !== undefined) return
    switch (effect.kind) {
      case "read":
        this.#begin(this.#session(effect.offset, effect.isLive))
        break
      case "drop-read":
        this.#dropInner()
        break
      case "deliver":
        this.#page = sourcePage(effect.page)
        this.#pageSession = undefined
        break
      default:
        this.#membership.execute(effect)
    }
  }

  /** A session of this participant's own. The first one begins where the caller asked for. */
  #session(offset: Offset, isLive: boolean, cursor = this.#position.cursor): Session {
    const { session } = this.#settings
    const { onError } = session
    return new Session(this.#endpoint, {
      ...session,
      ...this.#observing,
      offset,
      cursor,
      ...(isLive ? { readAhead: 0 } : { live: false, visibility: undefined }),
      onError:
        onError &&
        (async (error) => {
          const changes = await onError(error)
          // What it merged stays merged for the sessions that follow. What it is, the session checks.
          if (changes) this.#endpoint = extendEndpoint(this.#endpoint, changes)
          return changes
        }),
    })
  }

  /** Sessions are parts of one read, which has one state and ends once. */
  get #observing(): Pick<SessionSettings, "observe"> {
    return {
      observe: (event: StreamEvent) => {
        if (event.kind === "request") this.#requestedAtMs = monotonicMs()
        if (event.kind === "state") {
          // One that has just been made is not shown before it is used; the end of one is not the end of the read.
          const isUsed = this.#inner !== undefined && event.state.kind !== "ended"
          if (isUsed) this.#showState()
        } else if (event.kind !== "end") this.#settings.observe?.(event)
      },
    }
  }

  #setLost(isLost: boolean): void {
    this.#lostNetwork = isLost
    this.#showState()
  }

  #showState(): void {
    const state = this.connectionState
    const before = this.#shownState
    // Those of a session are the same object as long as nothing changes.
    if (state === before || before?.kind === "ended") return
    this.#shownState = state
    this.#observe({ kind: "state", state })
  }

  #begin(inner: Session): void {
    this.#inner = inner
    this.#innerWait = new LinkedAbortController()
    this.#showState()
  }

  #dropInner(): void {
    const inner = this.#inner
    this.#latest = inner?.latest ?? this.#latest
    this.#inner = undefined
    this.#innerWait.abort()
    inner?.cancel(undefined)
    this.#showState()
  }

  /** Its errors are not the caller's: a participant learns by a session of its own. */
  #openFeed(offset: Offset): Session {
    const { backoff } = this.#endpoint
    const maxRetries = Math.min(FEED_RETRIES, backoff.maxRetries)
    return new Session(
      { ...this.#endpoint, backoff: { ...backoff, maxRetries } },
      {
        ...this.#settings.session,
        ...this.#observing,
        offset,
        cursor: undefined,
        onError: undefined,
      },
    )
  }

  #tell(before: FollowerState["kind"], { kind, context }: FollowerState): void {
    if (kind === "alone" && context.seat !== "denied") {
      this.#observe({ kind: "alone", reason: "unaligned" })
    }
    if (before === "alone" && kind === "following") this.#observe({ kind: "shared" })
  }

  #observe(event: SharedStreamEvent): void {
    const { observe } = this.#settings
    if (observe !== undefined) callObserver("observe", () => observe(event))
  }

  #end(outcome: SessionOutcome): void {
    if (this.outcome !== undefined) return
    this.#outcome = outcome
    this.#unwatchVisibility?.()
    for (const cleanup of this.#cleanups.splice(0)) cleanup()
    this.#dropInner()
    this.#membership.end()
    this.#dispatch({ kind: "end" })
    this.#showState()
    this.#observe({ ...ending(outcome), kind: "end" })
    this.#settle?.(outcome)
  }
}

const isReading: readonly ConnectionState["kind"][] = ["connecting", "catching-up", "ended"]

function ending(outcome: SessionOutcome) {
  const { kind: reason } = outcome
  return outcome.kind === "failed" ? { reason, error: outcome.error } : { reason }
}

function sourcePage({ start, end, content = [] }: SharedPage): SourcePage {
  const payload = isDocuments(content) ? textPayload(content) : bufferedPayload(content)
  return { start, end, payload, deliveredBytes: 0, restarted: false }
}
