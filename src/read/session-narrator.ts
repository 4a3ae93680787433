import type { RequestObserver } from "../http/request.ts"
import { describeUrl } from "../protocol/request-url.ts"
import type { Offset } from "../protocol/offset.ts"
import type { SessionSettings } from "./session-settings.ts"
import type { SessionEvent, SessionState } from "./session-types.ts"
import { fallbackAdvice } from "./sse-health.ts"
import type { SseFallbackReason, StreamEvent, Transport } from "./stream-event.ts"

/** What a response shows of an answer. The answer itself would keep its body, long after that was read. */
export type AnswerHead = Pick<Response, "status" | "statusText" | "headers">

/** Tells what a session does, to `observe` and, where SSE is given up, to the console. */
export class SessionNarrator {
  readonly #url: string
  readonly #settings: Pick<SessionSettings, "observe" | "sse">
  #transport: Transport = "catch-up"

  constructor(url: string, settings: Pick<SessionSettings, "observe" | "sse">) {
    this.#url = url
    this.#settings = settings
  }

  /** An observer for the attempts of one request. */
  observe(
    transport: Transport,
    offset: Offset,
    onAnswer: (head: AnswerHead) => void,
  ): RequestObserver {
    let startedAt = 0
    return {
      onRequest: (attempt) => {
        startedAt = performance.now()
        this.#emit({ kind: "request", transport, offset, attempt })
      },
      onResponse: (response) => {
        const { status, statusText, headers } = response
        onAnswer({ status, statusText, headers })
        const durationMs = performance.now() - startedAt
        this.#emit({ kind: "response", transport, status, durationMs })
      },
      onRetry: (notice) => {
        this.#emit({ kind: "retry", transport, ...notice })
      },
    }
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

  /** An observer that throws must not end what it observes. */
  #emit(event: StreamEvent): void {
    try {
      this.#settings.observe?.(event)
    } catch (error) {
      console.error("[durable-streams] observe threw", error)
    }
  }
}
