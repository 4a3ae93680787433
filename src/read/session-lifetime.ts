import { FetchBackoffAbortError } from "../errors/fetch-backoff-abort-error.ts"
import { onAbort } from "../http/abort-watch.ts"
import type { VisibilitySource } from "../platform/visibility.ts"
import { watchPauses } from "./pause.ts"
import type { SessionEvent, SessionOutcome } from "./session-types.ts"

/** What surrounds a session while it lives: the signals that end it and the visibility that pauses it. */
export class SessionLifetime {
  readonly #cleanups: (() => void)[] = []
  #stopWatch: (() => void) | undefined
  #outcome: SessionOutcome | undefined
  #ended: Promise<SessionOutcome> | undefined
  #settle: ((outcome: SessionOutcome) => void) | undefined

  /** Settles, and never rejects, once the session is over. */
  get ended(): Promise<SessionOutcome> {
    this.#ended ??= new Promise((resolve) => {
      if (this.#outcome === undefined) this.#settle = resolve
      else resolve(this.#outcome)
    })
    return this.#ended
  }

  /** Ends the session with any of these signals. */
  follow(
    signals: readonly (AbortSignal | undefined)[],
    dispatch: (event: SessionEvent) => void,
  ): void {
    for (const signal of new Set(signals)) {
      if (signal === undefined || this.#outcome !== undefined) continue
      const end = () => {
        dispatch({ kind: "abort", reason: signal.reason })
      }
      if (signal.aborted) {
        end()
        return
      }
      this.#cleanups.push(onAbort(signal, end))
    }
  }

  /** Pauses the session while it is hidden. */
  watch(visibility: VisibilitySource | undefined, dispatch: (event: SessionEvent) => void): void {
    if (visibility === undefined || this.#outcome !== undefined) return
    this.#stopWatch = watchPauses(visibility, (kind) => {
      dispatch({ kind, reason: "hidden" })
    })
  }

  /** The session goes on while it is hidden. */
  unwatch(): void {
    this.#stopWatch?.()
    this.#stopWatch = undefined
  }

  /** The session is over: nothing that surrounds it is watched any longer. */
  end(outcome: SessionOutcome): void {
    this.#outcome = outcome
    this.unwatch()
    for (const cleanup of this.#cleanups.splice(0)) cleanup()
    this.#settle?.(outcome)
  }
}

/**
 * Tells whoever waits for a session's next page how it ended: by an error, or by returning.
 *
 * @throws the error that it failed with, as it is: a header function may have thrown anything
 * @throws FetchBackoffAbortError where a signal ended it
 */
export function throwOutcome(outcome: SessionOutcome): void {
  if (outcome.kind === "aborted") throw new FetchBackoffAbortError(outcome.reason)
  if (outcome.kind === "failed") throw outcome.error
}
