import type { AbortScope } from "../http/abort.ts"
import type { RequestObserver } from "../http/request.ts"
import type { RetryNotice } from "../http/retry-loop.ts"
import { IdleWatch } from "./idle-watch.ts"
import type { ReadRequest } from "./read-request.ts"
import type { SessionNarrator } from "./session-narrator.ts"
import { SilentRead } from "./silent-read.ts"

/** What a request is watched under. */
export interface RequestWatchOptions {
  readonly url: string
  /** How long an attempt may stay without an answer. */
  readonly answerTimeoutMs: number
  /** Aborted after a silence. */
  readonly scope: AbortScope
  readonly narrator: SessionNarrator
}

/**
 * Watches a read request: how long its attempts take, and that none stays silent for too long. Only attempts are watched:
 * the pauses between them may be long, by the server's own wish.
 */
export class RequestWatch implements RequestObserver {
  /** Watches for silence: the answer's first, and then its body's. */
  readonly idle: IdleWatch
  readonly #request: ReadRequest
  readonly #options: RequestWatchOptions
  #startedAt = performance.now()
  #silence: SilentRead | undefined

  constructor(request: ReadRequest, options: RequestWatchOptions) {
    this.#request = request
    this.#options = options
    this.idle = new IdleWatch((silence) => {
      this.#silence = new SilentRead(options.url, silence, options.answerTimeoutMs)
      options.scope.abort(this.#silence)
    })
  }

  /** When the newest attempt went out, as `performance.now()` tells it: what came before it says nothing of the answer. */
  get startedAt(): number {
    return this.#startedAt
  }

  /** How long ago that was, in milliseconds. */
  get elapsedMs(): number {
    return performance.now() - this.#startedAt
  }

  /** The silence that ended the request. */
  get silence(): SilentRead | undefined {
    return this.#silence
  }

  onRequest(attempt: number): void {
    this.#startedAt = performance.now()
    this.idle.listen(this.#options.answerTimeoutMs)
    this.#options.narrator.requested(this.#request, attempt)
  }

  onResponse(response: Response): void {
    this.idle.heard()
    this.#options.narrator.answered(this.#request.transport, response, this.elapsedMs)
  }

  onRetry(notice: RetryNotice): void {
    this.idle.heard()
    this.#options.narrator.retries(this.#request.transport, notice)
  }
}
