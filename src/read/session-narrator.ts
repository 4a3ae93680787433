import { callObserver } from "../http/call-observer.ts"
import type { RetryNotice } from "../http/retry-loop.ts"
import { describeUrl } from "../protocol/request-url.ts"
import { AnswerHead } from "./answer-head.ts"
import type { ReadRequest } from "./read-request.ts"
import type { SessionSettings } from "./session-settings.ts"
import type { SessionEvent, SessionState } from "./session-types.ts"
import { fallbackAdvice } from "./sse-health.ts"
import type { SseFallbackReason, StreamEvent, Transport } from "./stream-event.ts"

/** Tells what a session does, to `observe` and, where SSE is given up, to the console. */
export class SessionNarrator {
  readonly #url: string
  readonly #settings: Pick<SessionSettings, "observe" | "sse">
  #transport: Transport = "catch-up"
  #newest: AnswerHead | undefined

  constructor(url: string, settings: Pick<SessionSettings, "observe" | "sse">) {
    this.#url = url
    this.#settings = settings
  }

  /** The newest answer. */
  get newest(): AnswerHead | undefined {
    return this.#newest
  }

  /** Tells of an attempt of a request. */
  requested({ transport, offset }: ReadRequest, attempt: number): void {
    this.#emit({ kind: "request", transport, offset, attempt })
  }

  /** Tells of an answer. */
  answered(transport: Transport, response: Response, durationMs: number): void {
    this.#newest = new AnswerHead(response, transport === "sse")
    this.#emit({ kind: "response", transport, status: response.status, durationMs })
  }

  /** Tells that a request will be made again. */
  retries(transport: Transport, notice: RetryNotice): void {
    this.#emit({ kind: "retry", transport, ...notice })
  }

  /** Tells what a step of the session changed. */
  tell(
    before: SessionState,
    after: SessionState,
    event: SessionEvent,
    fellBack: SseFallbackReason | undefined,
  ): void {
    if (fellBack !== undefined) this.#warn(fellBack)
    if (after.kind === "requesting" && after.transport !== this.#transport) {
      const from = fellBack === undefined ? this.#transport : "sse"
      this.#transport = after.transport
      const reason = fellBack === undefined ? {} : { reason: fellBack }
      this.#emit({ kind: "transport", from, to: after.transport, ...reason })
    }
    if (event.kind === "broken" && after.kind === "waiting") {
      const { transport, breaks: attempt, delayMs } = after
      this.#emit({ kind: "retry", transport, attempt, delayMs, error: event.error })
    }
    if (event.kind === "sse-ended" && event.ending.failure && after.kind === "waiting") {
      const { error } = event.ending.failure
      const { delayMs, sse } = after
      this.#emit({ kind: "retry", transport: "sse", attempt: sse.failures, delayMs, error })
    }
    if (after.kind === "paused" && before.kind !== "paused")
      this.#emit({ kind: "pause", reason: "hidden" })
    if (before.kind === "paused" && event.kind === "resume")
      this.#emit({ kind: "resume", reason: "hidden" })
    if (after.kind === "ended") {
      const { outcome } = after
      const error = outcome.kind === "failed" ? { error: outcome.error } : {}
      this.#emit({ kind: "end", reason: outcome.kind, ...error })
    }
  }

  #warn(reason: SseFallbackReason): void {
    if (!this.#settings.sse.logWarnings) return
    console.warn(
      `[durable-streams] ${describeUrl(this.#url)}: long-poll takes over from SSE, as ${fallbackAdvice(reason)}.`,
    )
  }

  #emit(event: StreamEvent): void {
    const { observe } = this.#settings
    if (observe !== undefined) callObserver("observe", () => observe(event))
  }
}
