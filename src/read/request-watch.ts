import type { LinkedAbortController } from "../http/abort.ts"
import type { RequestObserver } from "../http/request.ts"
import type { RetryNotice } from "../http/retry-loop.ts"
import { IdleWatch, type Silence, type SilenceListener } from "./idle-watch.ts"
import type { ReadRequest } from "./read-request.ts"
import type { SessionNarrator } from "./session-narrator.ts"
import { SilentRead } from "./silent-read.ts"

/** What a request is watched under. */
export interface RequestWatchOptions {
  readonly url: string
  /** How long an attempt may stay without an answer. */
  readonly answerTimeoutMs: number
  /** Aborted after a silence. */
  readonly scope: LinkedAbortController
  readonly narrator: SessionNarrator
}

/**
 * Watches a read request: how long its attempts take, and that none stays silent for too long. Only attempts are watched:
 * the pauses between them may be long, by the server's own wish.
 */
export class RequestWatch implements RequestObserver, SilenceListener {
  /** Watches for silence: the answer's first, and then its body's. */
  readonly idle = new IdleWatch(this)
  readonly #request: ReadRequest
  readonly #url: string
  readonly #answerTimeoutMs: number
  readonly #scope: LinkedAbortController
  readonly #narrator: SessionNarrator
  #startedAt = performance.now()
  #silence: SilentRead | undefined

  constructor(request: ReadRequest, options: RequestWatchOptions) {
    this.#request = request
    this.#url = options.url
    this.#answerTimeoutMs = options.answerTimeoutMs
    this.#scope = options.scope
    this.#narrator = options.narrator
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
    this.idle.listen(this.#answerTimeoutMs)
    this.#narrator.requested(this.#request, attempt)
  }

  onResponse(response: Response): void {
    this.idle.heard()
    this.#narrator.answered(this.#request.transport, response, this.elapsedMs)
  }

  onRetry(notice: RetryNotice): void {
    this.idle.heard()
    this.#narrator.retries(this.#request.transport, notice)
  }

  onSilence(silence: Silence, timeoutMs: number): void {
    this.#silence = new SilentRead(this.#url, silence, timeoutMs)
    this.#scope.abort(this.#silence)
  }
}
