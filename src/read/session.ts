import { LinkedAbortController } from "../http/abort.ts"
import { extendEndpoint, type Endpoint } from "../http/endpoint.ts"
import { sleep } from "../http/sleep.ts"
import { onOnline } from "../platform/online.ts"
import { isPlainInSse } from "../protocol/content-type.ts"
import type { Offset } from "../protocol/offset.ts"
import type { AnswerHead } from "./answer-head.ts"
import { arrivesInParts } from "./body-payload.ts"
import { decideOn } from "./error-question.ts"
import { withoutContent, type Page } from "./page.ts"
import type { BrokenPayload } from "./payload.ts"
import { ReadAhead, type PendingRequest } from "./read-ahead.ts"
import { SessionLifetime, throwOutcome } from "./session-lifetime.ts"
import { SessionNarrator } from "./session-narrator.ts"
import { interrupts, MAX_INEXACT } from "./session-moves.ts"
import type { SessionSettings } from "./session-settings.ts"
import { initialState, transition } from "./session-state.ts"
import type { SessionEvent, SessionOutcome, SessionState } from "./session-types.ts"
import type { SseConnection } from "./sse-connection.ts"
import type { RetryOpts } from "./stream-options.ts"
import type { Transport } from "./stream-event.ts"
import { TextFidelity } from "./text-fidelity.ts"
import { openTransport, type Opened } from "./transport.ts"

const woke = (): SessionEvent => ({ kind: "woke" })

/**
 * Carries out what the state machine decides (session-state.ts): makes requests, waits, asks the error handler, and
 * hands pages to one consumer that pulls them. Nothing is requested that the consumer has not asked for, but for what
 * `readAhead` allows.
 */
export class Session {
  readonly #settings: SessionSettings
  readonly #narrator: SessionNarrator
  readonly #lifetime = new SessionLifetime()
  readonly #fidelity = new TextFidelity()
  #endpoint: Endpoint
  #state: SessionState
  /** What is under way: a request with its body or connection, a wait, a question. */
  #current: LinkedAbortController | undefined
  #page: Page | undefined
  #connection: SseConnection | undefined
  #readAhead: ReadAhead | undefined
  #contentType: string | undefined
  /** When the error handler's last decision to go on was, or will be, carried out. */
  #wentOnAt = -Infinity
  #consuming = false
  #wake: (() => void) | undefined

  constructor(endpoint: Endpoint, settings: SessionSettings) {
    this.#endpoint = endpoint
    this.#settings = settings
    this.#narrator = new SessionNarrator(endpoint.url, settings)
    const live = settings.live === true ? "sse" : settings.live || undefined
    this.#state = initialState(settings.offset, live)
    const dispatch = this.#dispatch.bind(this)
    // A finite read goes on while nobody looks: it ends by itself.
    if (live !== undefined) this.#lifetime.watch(settings.visibility, dispatch)
    this.#lifetime.follow([endpoint.signal, settings.signal], dispatch)
  }

  /** Settles, and never rejects, once the session is over. */
  get ended(): Promise<SessionOutcome> {
    return this.#lifetime.ended
  }

  /** What the session is doing. */
  get state(): SessionState {
    return this.#state
  }

  /** The newest HTTP answer. */
  get newest(): AnswerHead | undefined {
    return this.#narrator.newest
  }

  /** The stream's content type, once an answer has told it. */
  get contentType(): string | undefined {
    return this.#contentType
  }

  /**
   * Waits for the first answer.
   *
   * @throws what ended the session before it came
   */
  async start(): Promise<void> {
    await this.#run()
  }

  /**
   * The next page, or undefined at the end. What the last one became must have been said before, by `delivered` or
   * `broken`. One call at a time.
   *
   * @throws what ended the session, unless that was its end, a cancel, or having caught up
   */
  next(): Promise<Page | undefined> {
    if (!this.#consuming) {
      this.#consuming = true
      this.#lookAhead()
    }
    return this.#run()
  }

  /** The consumer has taken the page. */
  delivered(bytes: number, empty: boolean): void {
    if (this.#fidelity.needsBytes && this.#state.liveTransport === "sse") {
      this.#dispatch({ kind: "live-transport", transport: "long-poll" })
    }
    this.#dispatch({ kind: "delivered", bytes, empty })
  }

  /** The page ended before it was whole; the consumer had been handed some bytes behind the session's offset. */
  broken(payload: Omit<BrokenPayload, "kind">, handedOnBytes: number): void {
    this.#dispatch({ ...payload, kind: "broken", handedOnBytes })
  }

  /** The consumer wants no more than what is there: such a read ends by itself, and goes on while nobody looks. */
  readToTail(): void {
    this.#lifetime.unwatch()
    this.#dispatch({ kind: "resume", reason: "hidden" })
    this.#dispatch({ kind: "live-transport", transport: undefined })
  }

  /** Ends the session. */
  cancel(reason: unknown): void {
    this.#dispatch({ kind: "cancel", reason })
  }

  /** Ends the session with what its consumer failed with. */
  fail(error: unknown): void {
    this.#dispatch({ kind: "fail", error })
  }

  /**
   * Does what the state says until there is a page to hand over, or the session is over. A session waits here for most
   * of its life, and each async function that waits is kept in memory: what can be long is awaited here and nowhere else.
   */
  async #run(): Promise<Page | undefined> {
    for (;;) {
      const state = this.#state
      switch (state.kind) {
        case "delivering":
          return this.#page
        case "ended":
          throwOutcome(state.outcome)
          return undefined
        case "requesting": {
          const { scope, opened } = this.#request(state.transport, state.offset)
          this.#take(await opened, scope)
          break
        }
        case "receiving": {
          const scope = this.#current
          const read = await this.#connection?.next()
          if (this.#current !== scope || read === undefined) break
          if (read.kind === "page") this.#turnTo(read.page, Infinity)
          else this.#dispatch(read)
          break
        }
        case "waiting":
          await this.#perform(({ signal }) => sleep(state.delayMs, signal, onOnline).then(woke))
          break
        case "asking":
          await this.#ask(state.error)
          break
        case "paused":
          await new Promise<void>((resolve) => void (this.#wake = resolve))
          break
      }
    }
  }

  #request(transport: Transport, offset: Offset): PendingRequest {
    const early = transport === "catch-up" ? this.#readAhead?.take(offset) : undefined
    const scope = early?.scope ?? new LinkedAbortController()
    this.#current = scope
    return early ?? { offset, scope, opened: this.#open(transport, offset, scope) }
  }

  #open(transport: Transport, offset: Offset, scope: LinkedAbortController): Promise<Opened> {
    const { cursor, inexact } = this.#state
    const context = {
      endpoint: this.#endpoint,
      idleTimeoutMs: this.#settings.idleTimeoutMs,
      contentType: this.#contentType,
      fidelity: this.#fidelity,
      narrator: this.#narrator,
    }
    const request = { transport, offset, cursor, anyText: inexact >= MAX_INEXACT }
    return openTransport(context, request, scope)
  }

  #take(opened: Opened, scope: LinkedAbortController): void {
    if (this.#current !== scope) {
      scope.abort()
      return
    }
    switch (opened.kind) {
      case "page":
        this.#learn(opened.response)
        this.#turnTo(opened.page, opened.elapsedMs)
        this.#lookAhead()
        break
      case "connection":
        this.#connection = opened.connection
        this.#dispatch({ kind: "opened" })
        break
      case "broken":
        this.broken(opened, this.#state.handedOnBytes)
        break
      default:
        this.#dispatch(opened)
    }
  }

  /** The first answer tells the content type, and with it the transport that fits. */
  #learn(response: Response): void {
    if (this.#state.answered) return
    this.#contentType = response.headers.get("content-type") ?? undefined
    const sse = isPlainInSse(this.#contentType) && arrivesInParts(response)
    if (this.#settings.live === true && !sse) {
      this.#dispatch({ kind: "live-transport", transport: "long-poll" })
    }
  }

  #lookAhead(): void {
    const state = this.#state
    if (!this.#consuming || state.kind !== "delivering" || state.transport !== "catch-up") return
    const { mark, pausedFor, offset } = state
    if (!mark.upToDate && mark.offset !== offset && pausedFor.size === 0) {
      this.#readAhead ??= new ReadAhead(this.#settings.readAhead, this.#open.bind(this, "catch-up"))
      this.#readAhead.begin(mark.offset)
    }
  }

  #turnTo(page: Page, elapsedMs: number): void {
    const { answered, offset } = this.#state
    // What comes with an offset that the session is at has been delivered; the page can still bring news.
    this.#page = answered && page.offset === offset ? withoutContent(page) : page
    this.#dispatch({ kind: "page", mark: page, elapsedMs })
  }

  async #ask(error: unknown): Promise<void> {
    const { onError } = this.#settings
    const sinceLastMs = performance.now() - this.#wentOnAt
    const change = (changes: RetryOpts) => {
      this.#endpoint = extendEndpoint(this.#endpoint, changes)
    }
    await this.#perform(({ signal }) => decideOn({ onError, sinceLastMs, change }, error, signal))
    const after = this.#state
    this.#wentOnAt = performance.now() + (after.kind === "waiting" ? after.delayMs : 0)
  }

  /** Does one thing that an event can interrupt. */
  async #perform(operate: (scope: LinkedAbortController) => Promise<SessionEvent>): Promise<void> {
    const scope = new LinkedAbortController()
    this.#current = scope
    try {
      const event = await operate(scope)
      if (this.#current === scope) this.#dispatch(event)
    } catch (error) {
      if (this.#current === scope) throw error
    }
  }

  #dispatch(event: SessionEvent): void {
    const before = this.#state
    const { backoff } = this.#endpoint
    const env = { url: this.#endpoint.url, backoff, sse: this.#settings.sse, random: Math.random() }
    const step = transition(before, event, env)
    const after = step.state
    if (after === before) return
    this.#state = after
    if (interrupts(before, event, after)) this.#drop()
    // An event that was delivered is not kept while the next is waited for.
    else if (after.kind === "receiving") this.#page = undefined
    if (after.kind === "ended" || after.pausedFor.size > 0) this.#readAhead?.drop()
    this.#narrator.tell(before, after, event, step.fellBack)
    if (after.kind === "ended") this.#lifetime.end(after.outcome)
    this.#wake?.()
  }

  /** Ends what is under way; a page or connection that hangs on it goes with it. */
  #drop(): void {
    const scope = this.#current
    const page = this.#page
    const isOver = this.#connection === undefined && page?.payload.isHere === true
    this.#current = undefined
    this.#connection = undefined
    this.#page = undefined
    page?.payload.release()
    // An abort makes an exception with a stack, and a trace of a request that was read to its end shows it as aborted.
    if (isOver) scope?.end()
    else scope?.abort()
  }
}
