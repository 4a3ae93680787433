import { FetchBackoffAbortError } from "../errors/fetch-backoff-abort-error.ts"
import { LinkedAbortController, sleep } from "../http/abort.ts"
import { extendEndpoint, type Endpoint } from "../http/endpoint.ts"
import { monotonicMs } from "../platform/clock.ts"
import { callObserver, warn } from "../platform/console.ts"
import type { Origin, OriginChannel } from "../platform/origin.ts"
import { documentVisibility } from "../platform/page-lifecycle.ts"
import { randomId } from "../platform/random-id.ts"
import { isJsonContentType } from "../protocol/content-type.ts"
import type { Offset } from "../protocol/offset.ts"
import { Lifetime } from "../read/lifetime.ts"
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
import type { SessionSettings, StreamEvent } from "../read/stream-options.ts"
import {
  followerTransition,
  initialFollower,
  wakeAtMs,
  type FollowerEffect,
  type FollowerEvent,
  type FollowerState,
} from "./follower-state.ts"
import { Holder } from "./holder.ts"
import { Seat } from "./seat.ts"
import type { SharedStreamEvent } from "./shared-stream-options.ts"
import {
  fromWire,
  isDocuments,
  toWire,
  type HolderReason,
  type Message,
  type SharedPage,
} from "./wire.ts"

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
  readonly #id = randomId().slice(0, 8)
  readonly #settings: TabsSettings
  /** With what the error handler has changed. */
  #endpoint: Endpoint
  readonly #lifetime: Lifetime
  readonly #seat: Seat
  #unwatchPage: (() => void) | undefined
  #channel: OriginChannel | undefined
  #holder: Holder | undefined
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
  #isMidPage = false
  #restarted = false
  #isClosed = false
  #isFinite = false
  #wake: (() => void) | undefined
  #stolen = false
  #heardFeed: string | undefined
  #hasWarned = false

  constructor(settings: TabsSettings) {
    const { endpoint, session, origin, name } = settings
    this.#settings = settings
    this.#endpoint = endpoint
    this.#readOffset = session.offset
    const { offset } = session
    this.#position = { offset, cursor: undefined, upToDate: false, streamClosed: false }
    this.#state = initialFollower(offset, monotonicMs())
    this.#seat = new Seat(origin.locks, name, {
      onGranted: (isStolen) => {
        this.#stolen = isStolen
        this.#dispatch({ kind: "granted" })
      },
      onLost: () => {
        this.#holder?.stop()
        this.#holder = undefined
        this.#dispatch({ kind: "lost" })
      },
      onRefused: () => {
        this.#dispatch({ kind: "refused" })
        this.#observe({ kind: "alone", reason: "locks-refused" })
      },
    })
    this.#lifetime = new Lifetime((event) => {
      if (event.kind === "end") this.#end(event.outcome)
      else if (event.kind === "hidden" || event.kind === "visible") this.#dispatch(event)
    })
    const visibility = session.visibility ?? documentVisibility()
    this.#lifetime.watchVisibility(visibility, session.hiddenGraceMs)
    this.#begin(this.#session(offset, false, session.cursor))
    this.#lifetime.follow([endpoint.signal, session.signal])
  }

  get contentType(): string | undefined {
    return this.#contentType
  }

  get position(): PageMark {
    return this.#position
  }

  get outcome(): SessionOutcome | undefined {
    return this.#lifetime.outcome
  }

  get ended(): Promise<SessionOutcome> {
    return this.#lifetime.ended
  }

  get maxPageBytes(): number | undefined {
    return this.#settings.session.maxPageBytes
  }

  get latest(): ResponseHead | undefined {
    return this.#inner?.latest ?? this.#latest
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
    this.#unwatchPage = this.#settings.origin.onPageLifecycle((event) => {
      if (event === "departing" || event === "restored") this.#dispatch({ kind: event })
    })
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
    this.#lifetime.unwatchVisibility()
    this.#inner?.readToTail()
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
        this.#dropInner()
        this.#dispatch({ kind: "caught-up" })
      } else if (outcome !== undefined) this.#end(outcome)
    } catch (error) {
      if (this.#inner === inner) this.#end(inner.outcome ?? { kind: "failed", error })
    }
  }

  /** A session tells its reader that it is up to date. This reader may know. */
  #isKnown({ start, end }: SourcePage): boolean {
    return this.#position.upToDate && start === end.offset && !end.streamClosed
  }

  #dispatch(event: FollowerEvent): void {
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
      case "want":
        this.#send(effect)
        break
      case "join":
        this.#join()
        break
      case "leave":
        this.#channel?.close()
        this.#channel = undefined
        break
      case "queue":
        this.#seat.queue()
        break
      case "steal":
        this.#seat.steal()
        break
      case "stand-up":
        this.#leaveHolding()
        this.#seat.standUp()
        break
      case "feed":
        this.#hold(effect.offset)
        break
      case "announce":
        this.#holder?.announce()
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

  /** Sessions are a part of one read, which ends once. */
  get #observing(): Pick<SessionSettings, "observe"> {
    return {
      observe: (event: StreamEvent) => {
        if (event.kind === "request") this.#requestedAtMs = monotonicMs()
        if (event.kind !== "end") this.#settings.observe?.(event)
      },
    }
  }

  #begin(inner: Session): void {
    this.#inner = inner
    this.#innerWait = new LinkedAbortController()
  }

  #dropInner(): void {
    const inner = this.#inner
    this.#latest = inner?.latest ?? this.#latest
    this.#inner = undefined
    this.#innerWait.abort()
    inner?.cancel(undefined)
  }

  #join(): void {
    const channel = this.#settings.origin.openChannel(this.#settings.name)
    this.#channel = channel
    channel.onmessage = ({ data }) => {
      const message = fromWire(data)
      if (message !== undefined) this.#hear(message, false)
      else if (!this.#hasWarned) {
        this.#hasWarned = true
        warn(
          "Another version of this package sends pages on this origin. They are ignored: load one version.",
        )
      }
    }
  }

  #send(message: Message): void {
    this.#channel?.postMessage(toWire(message))
    this.#hear(message, true)
  }

  /** The channel does not bring back what this participant sends; its own follower hears it too. */
  #hear(message: Message, isOwn: boolean): void {
    if (message.kind === "want") {
      if (message.isVisible && !isOwn) this.#dispatch({ kind: "requested" })
      this.#holder?.answer(message.from)
      return
    }
    const { holder, feed, reason } = message
    const name = { holder, feed, reason }
    if (message.kind === "left") this.#dispatch({ kind: "left", feed: name })
    else {
      // A message can be late, and its sender no longer the holder.
      const isLate = this.#holder !== undefined && holder !== this.#id
      if (this.#heardFeed !== feed && !isLate) {
        this.#heardFeed = feed
        this.#observe({ kind: "holder", participant: holder, isSelf: holder === this.#id, reason })
      }
      if (message.kind === "page") {
        const { start, end, content } = message
        this.#dispatch({ kind: "page", feed: name, page: { start, end, content } })
      } else this.#dispatch({ ...message, feed: name })
    }
  }

  #hold(offset: Offset): void {
    const { session } = this.#settings
    const { backoff } = this.#endpoint
    const maxRetries = Math.min(FEED_RETRIES, backoff.maxRetries)
    const feed = new Session(
      { ...this.#endpoint, backoff: { ...backoff, maxRetries } },
      { ...session, ...this.#observing, offset, cursor: undefined, onError: undefined },
    )
    this.#holder = new Holder({
      name: { holder: this.#id, feed: randomId(), reason: this.#reason },
      feed,
      offset,
      isJson: () => session.json || isJsonContentType(this.#contentType),
      isHidden: () => this.#state.context.isHidden,
      isHeld: () => this.#seat.isHeld(),
      send: (message) => {
        this.#send(message)
      },
      onEnd: () => {
        this.#dispatch({ kind: "feed-failed" })
      },
    })
  }

  get #reason(): HolderReason {
    if (this.#stolen) return "silent-holder"
    return this.#heardFeed === undefined ? "first" : "successor"
  }

  #leaveHolding(): void {
    this.#holder?.leave()
    this.#holder = undefined
  }

  #tell(before: FollowerState["kind"], { kind, context }: FollowerState): void {
    if (kind === "alone" && context.seat !== "refused") {
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
    this.#lifetime.end(outcome)
    this.#dropInner()
    this.#leaveHolding()
    this.#seat.standUp()
    this.#channel?.close()
    this.#channel = undefined
    this.#unwatchPage?.()
    this.#dispatch({ kind: "end" })
    const error = outcome.kind === "failed" ? { error: outcome.error } : {}
    this.#observe({ kind: "end", reason: outcome.kind, ...error })
  }
}

function sourcePage({ start, end, content = [] }: SharedPage): SourcePage {
  const payload = isDocuments(content) ? textPayload(content) : bufferedPayload(content)
  return { start, end, payload, deliveredBytes: 0, restarted: false }
}
