import { FetchBackoffAbortError } from "../errors/fetch-backoff-abort-error.ts"
import { LinkedAbortController, onAbort, sleep } from "../http/abort.ts"
import { extendEndpoint, type Endpoint } from "../http/endpoint.ts"
import { failureOf } from "../http/failure.ts"
import { checkOptions } from "../http/option-checks.ts"
import { monotonicMs } from "../platform/clock.ts"
import { isOffline } from "../platform/network.ts"
import { isJsonContentType } from "../protocol/content-type.ts"
import { headerOf } from "../protocol/response-metadata.ts"
import { arrivesInParts } from "./body.ts"
import { connectionState } from "./connection-state.ts"
import { callErrorHandler } from "./error-handler.ts"
import { watchNetwork, watchVisibility } from "./lifetime.ts"
import {
  clampedEnd,
  emptyPayload,
  type PageContent,
  type PageMark,
  type PageSource,
  type Payload,
  type SessionOutcome,
  type SourcePage,
  type TransferFailure,
} from "./page.ts"
import { ReadAhead } from "./read-ahead.ts"
import { reportEvent, type ResponseHead } from "./session-events.ts"
import {
  initialState,
  transition,
  type Effect,
  type ReadRequest,
  type SessionEvent,
  type SessionState,
} from "./session-state.ts"
import type { SseConnection, SseRead } from "./sse-connection.ts"
import { OFFSET, type ConnectionState, type SessionSettings } from "./stream-options.ts"
import { openTransport, type Opened, type PendingRequest, type ReadContext } from "./transport.ts"

/** An effect that takes time: it is carried out while the consumer waits for a page. */
type Work = Extract<Effect, { kind: "request" | "receive" | "wait" | "handle-error" }>

type Writable<T> = { -readonly [K in keyof T]: T[K] }

const CARRIAGE_RETURN = 0x0d

/**
 * Executes the effects of the state machine (session-state.ts): makes requests, waits, calls the error handler, and gives
 * pages to one consumer that pulls them. Nothing is requested that the consumer has not asked for, except what `readAhead`
 * allows. Here alone is decided what the consumer gets twice or never: see `commit` and `reject`.
 */
export class Session implements PageSource {
  /** One object for all requests: each of them keeps it. */
  readonly #context: Writable<ReadContext>
  #state: SessionState
  #work: Work | undefined
  /** What users were told about it. */
  #connectionState: ConnectionState | undefined
  /** What is in flight: a request with its body or connection, a wait, the error handler. */
  #current: LinkedAbortController | undefined
  #connection: SseConnection | undefined
  /** The content of the page that the next `deliver` effect is about. */
  #payload: Payload | undefined
  #page: SourcePage | undefined
  #readAhead: ReadAhead | undefined
  /** What to request ahead once the consumer has begun. */
  #ahead: ReadRequest | undefined
  #position: PageMark
  /** The position before the last commit, until the consumer has dealt with its page. */
  #positionBefore: PageMark | undefined
  /** When the last retry that the error handler requested was, or will be, made. */
  #lastRetryAtMs = -Infinity
  #isConsuming = false
  /** What is left to undo at the end. */
  readonly #cleanups: (() => void)[] = []
  #unwatchVisibility: (() => void) | undefined
  #ended: Promise<SessionOutcome> | undefined
  #settle: ((outcome: SessionOutcome) => void) | undefined
  #wake: (() => void) | undefined

  constructor(endpoint: Endpoint, settings: SessionSettings) {
    const { offset, cursor, visibility, hiddenGraceMs } = settings
    this.#context = {
      endpoint,
      settings,
      contentType: undefined,
      latest: undefined,
      dispatch: this.#dispatch.bind(this),
      platform: { lacksArrayBuffer: false },
      onText: settings.live === "sse" ? this.#inspectText.bind(this) : undefined,
    }
    this.#position = { offset, cursor: undefined, upToDate: false, streamClosed: false }
    const live = settings.live === true ? "sse" : settings.live || "none"
    this.#state = initialState(offset, live, cursor)
    this.#work = { kind: "request", transport: "catch-up", offset, cursor }
    this.#showState()
    // A finite read goes on while hidden: it ends by itself.
    if (live !== "none" && visibility !== undefined) {
      this.#unwatchVisibility = watchVisibility(visibility, hiddenGraceMs, (kind) => {
        this.#dispatch({ kind })
      })
    }
    const watches = watchNetwork(
      () => this.#dispatch({ kind: "network-changed" }),
      () => this.#dispatch({ kind: "offline" }),
    )
    this.#cleanups.push(...watches)
    for (const signal of new Set([endpoint.signal, settings.signal])) this.#follow(signal)
  }

  get ended(): Promise<SessionOutcome> {
    this.#ended ??= new Promise((resolve) => {
      if (this.outcome === undefined) this.#settle = resolve
      else resolve(this.outcome)
    })
    return this.#ended
  }

  get outcome(): SessionOutcome | undefined {
    return this.#state.kind === "ended" ? this.#state.outcome : undefined
  }

  get position(): PageMark {
    return this.#position
  }

  get maxPageBytes(): number | undefined {
    return this.#context.settings.maxPageBytes
  }

  get contentType(): string | undefined {
    return this.#context.contentType
  }

  /** What the session is at, as users see it. */
  get connectionState(): ConnectionState {
    // There is one since the session was made.
    return this.#connectionState as ConnectionState
  }

  get latest(): ResponseHead | undefined {
    return this.#context.latest
  }

  /**
   * Waits for the first response.
   *
   * @throws what ended the session before it arrived
   */
  async start(): Promise<void> {
    await this.#run()
  }

  next(): Promise<SourcePage | undefined> {
    this.#positionBefore = undefined
    this.#dispatch({ kind: "proceed" })
    if (!this.#isConsuming) {
      this.#isConsuming = true
      if (this.#ahead !== undefined) this.#requestAhead(this.#ahead)
    }
    return this.#run()
  }

  commit(page: SourcePage, content: PageContent): PageMark {
    const end = clampedEnd(page, content.empty)
    const outcome = this.outcome?.kind
    // What was collected is committed at the end of the session.
    if (page !== this.#page && outcome !== "up-to-date" && outcome !== "eof") return end
    const { offset, upToDate, streamClosed } = end
    this.#positionBefore = this.#position
    // Without the payload, which must not be kept for as long as the position is.
    const cursor = end.cursor ?? this.#position.cursor
    this.#position = { offset, upToDate, streamClosed, cursor }
    this.#committed(end, content)
    return end
  }

  hold(page: SourcePage, content: PageContent): void {
    if (page === this.#page) this.#committed(clampedEnd(page, content.empty), content)
  }

  reject(page: SourcePage, failure: TransferFailure, deliveredBytes = 0): void {
    if (page === this.#page) {
      this.#dispatch({ kind: "transfer-failed", failure, deliveredBytes })
    }
  }

  fail(error: unknown): void {
    if (this.outcome !== undefined) return
    this.#position = this.#positionBefore ?? this.#position
    this.#dispatch({ kind: "end", outcome: { kind: "failed", error } })
  }

  cancel(reason: unknown): void {
    this.#dispatch({ kind: "end", outcome: { kind: "cancelled", reason } })
  }

  readToTail(): void {
    this.#endVisibility()
    this.#dispatch({ kind: "visible" })
    this.#dispatch({ kind: "live-changed", live: "none" })
  }

  /**
   * Does the work that the effects have left until there is a page for the consumer, or the session is over. A session waits
   * here for most of its life, and each async function that waits is kept in memory: what can be long is awaited here and
   * nowhere else. Whatever throws ends the session.
   */
  async #run(): Promise<SourcePage | undefined> {
    for (;;) {
      const { outcome } = this
      if (outcome?.kind === "aborted") throw new FetchBackoffAbortError(outcome.reason)
      // As it is: a header function may have thrown anything.
      if (outcome?.kind === "failed") throw outcome.error
      if (outcome !== undefined) return undefined
      if (this.#page !== undefined) return this.#page
      try {
        await this.#doWork()
      } catch (error) {
        this.fail(error)
      }
    }
  }

  #doWork(): Promise<void> {
    const work = this.#work
    this.#work = undefined
    switch (work?.kind) {
      case undefined:
        return new Promise((resolve) => void (this.#wake = resolve))
      case "request": {
        const { controller, opened } = this.#readAhead?.take(work) ?? this.#open(work)
        this.#current = controller
        return opened.then((result) => {
          if (this.#current === controller) this.#opened(result)
          else controller.abort()
        })
      }
      case "receive":
        return this.#finish(this.#connection?.next(), this.#opened.bind(this))
      case "wait":
        return this.#finish(sleep(work.delayMs, this.#begin()), () => {
          this.#dispatch({ kind: "timer-fired" })
        })
      case "handle-error":
        return this.#handleError(work.error)
    }
  }

  /** Uses the result of what is in flight, unless an event has ended it. */
  #finish<T>(promise: Promise<T> | undefined, use: (result: T) => void): Promise<void> {
    const current = this.#current
    if (promise === undefined) return Promise.resolve()
    return promise.then(
      (result) => {
        if (this.#current === current) use(result)
      },
      (error: unknown) => {
        if (this.#current === current) throw error
      },
    )
  }

  #begin(): AbortSignal {
    this.#current = new LinkedAbortController()
    return this.#current.signal
  }

  #open(request: ReadRequest): PendingRequest {
    return openTransport(this.#context, request)
  }

  /** SSE delivers CR and CRLF as LF: a stream that has them is read over long-poll. */
  #inspectText(bytes: Uint8Array): void {
    if (bytes.includes(CARRIAGE_RETURN)) this.#dispatch({ kind: "live-changed", live: "long-poll" })
  }

  #opened(opened: Opened | SseRead): void {
    switch (opened.kind) {
      case "page":
        if (opened.response !== undefined) this.#learn(opened.response)
        this.#payload = opened.payload
        this.#dispatch({ kind: "page", end: opened.end, elapsedMs: opened.elapsedMs })
        break
      case "connection":
        this.#connection = opened.connection
        this.#dispatch({ kind: "opened" })
        break
      default:
        this.#dispatch(opened)
    }
  }

  /** The first response determines the content type, and with it the transport. */
  #learn(response: Response): void {
    if (this.#state.context.started) return
    this.#context.contentType = headerOf(response.headers, "content-type")
    const isSse = isJsonContentType(this.#context.contentType) && arrivesInParts(response)
    if (this.#context.settings.live === true && !isSse) {
      this.#dispatch({ kind: "live-changed", live: "long-poll" })
    }
  }

  #committed(end: PageMark, { empty, bytes = 0 }: PageContent): void {
    this.#dispatch({ kind: "committed", end, empty, bytes })
  }

  #requestAhead(request: ReadRequest): void {
    this.#readAhead ??= new ReadAhead(this.#context.settings.readAhead, this.#open.bind(this))
    this.#readAhead.begin(request)
  }

  async #handleError(error: unknown): Promise<void> {
    const { onError } = this.#context.settings
    const startedAtMs = monotonicMs()
    const decision = callErrorHandler(onError, error, this.#begin())
    await this.#finish(decision, (changes) => {
      if (changes === undefined) throw error
      const { offset } = changes
      checkOptions(changes, { offset: OFFSET }, "onError.")
      this.#context.endpoint = extendEndpoint(this.#context.endpoint, changes)
      // The decision does not replace Retry-After, which passes while the handler runs.
      const askedMs = failureOf(error)?.retryAfterMs ?? 0
      const retryAfterMs = Math.max(0, askedMs - (monotonicMs() - startedAtMs))
      const sinceLastMs = startedAtMs - this.#lastRetryAtMs
      this.#dispatch({ kind: "error-handled", error, offset, retryAfterMs, sinceLastMs })
    })
    const next = this.#work
    this.#lastRetryAtMs = monotonicMs() + (next?.kind === "wait" ? next.delayMs : 0)
  }

  #endVisibility(): void {
    this.#unwatchVisibility?.()
    this.#unwatchVisibility = undefined
  }

  #follow(signal: AbortSignal | undefined): void {
    if (signal === undefined || this.outcome !== undefined) return
    const abort = () => {
      this.#dispatch({ kind: "end", outcome: { kind: "aborted", reason: signal.reason } })
    }
    if (signal.aborted) abort()
    else this.#cleanups.push(onAbort(signal, abort))
  }

  #dispatch(event: SessionEvent): void {
    const { url, backoff } = this.#context.endpoint
    const env = {
      url,
      backoff,
      sse: this.#context.settings.sse,
      random: Math.random(),
      nowMs: Date.now(),
    }
    const { state, effects } = transition(this.#state, event, env)
    this.#state = state
    for (const effect of effects) this.#execute(effect)
    this.#showState()
    this.#wake?.()
    this.#wake = undefined
  }

  /** Reports what the session is at, if that has changed: before the event that explains it. */
  #showState(): void {
    const state = connectionState(this.#state, isOffline)
    if (state === this.#connectionState) return
    this.#connectionState = state
    reportEvent(this.#context, { kind: "state", state })
  }

  #execute(effect: Effect): void {
    switch (effect.kind) {
      case "release":
        this.#release()
        break
      case "drop-ahead":
        this.#ahead = undefined
        this.#readAhead?.drop()
        break
      case "interrupt":
        if (this.#connection !== undefined || this.#payload?.isComplete !== true) {
          this.#current?.abort()
        }
        break
      case "read-ahead":
        this.#ahead = effect
        if (this.#isConsuming) this.#requestAhead(effect)
        break
      case "deliver":
        this.#deliver(effect)
        break
      case "end":
        this.#work = undefined
        this.#endVisibility()
        for (const cleanup of this.#cleanups.splice(0)) cleanup()
        this.#settle?.(effect.outcome)
        break
      case "notify":
        this.#showState()
        // An observer may have ended the session there: nothing is reported after its end.
        if (this.outcome === undefined || effect.event.kind === "end") {
          reportEvent(this.#context, effect.event)
        }
        break
      default:
        // A page that was delivered is not kept while the next one is waited for.
        this.#page = undefined
        this.#payload = undefined
        this.#work = effect
    }
  }

  #deliver(effect: Extract<Effect, { kind: "deliver" }>): void {
    const { start, end, deliveredBytes, restarted } = effect
    if (!effect.hasContent) this.#payload?.release()
    this.#payload = effect.hasContent ? this.#payload : undefined
    const payload = (this.#payload ??= emptyPayload())
    if (effect.visible) this.#position = end
    this.#page = { start, end, payload, deliveredBytes, restarted }
  }

  /** Ends what is in flight; a page or connection that depends on it goes with it. */
  #release(): void {
    const current = this.#current
    const isComplete = this.#connection === undefined && this.#payload?.isComplete === true
    this.#payload?.release()
    this.#current = undefined
    this.#connection = undefined
    this.#payload = undefined
    this.#page = undefined
    this.#work = undefined
    // An abort makes an exception with a stack, and a trace of a request that was read to its end shows it as aborted.
    if (isComplete) current?.end()
    else current?.abort()
  }
}
