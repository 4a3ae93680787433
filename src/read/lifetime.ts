import { onAbort } from "../http/abort.ts"
import { badOption } from "../http/option-checks.ts"
import { onOnline } from "../platform/network.ts"
import { onPageLifecycle, type VisibilitySource } from "../platform/page-lifecycle.ts"
import type { SessionOutcome } from "./page.ts"
import type { SessionEvent } from "./session-state.ts"

/** What surrounds a session while it lives: the signals that end it, the visibility that pauses it, the network. */
export class Lifetime {
  readonly #dispatch: (event: SessionEvent) => void
  readonly #cleanups: (() => void)[] = []
  #unwatchVisibility: (() => void) | undefined
  #outcome: SessionOutcome | undefined
  #ended: Promise<SessionOutcome> | undefined
  #settle: ((outcome: SessionOutcome) => void) | undefined

  constructor(dispatch: (event: SessionEvent) => void) {
    this.#dispatch = dispatch
  }

  /** How the session ended; undefined while it lives. */
  get outcome(): SessionOutcome | undefined {
    return this.#outcome
  }

  /** Settles, and never rejects, when the session is over. */
  get ended(): Promise<SessionOutcome> {
    this.#ended ??= new Promise((resolve) => {
      if (this.#outcome === undefined) this.#settle = resolve
      else resolve(this.#outcome)
    })
    return this.#ended
  }

  /** Ends the session with any of these signals. */
  follow(signals: readonly (AbortSignal | undefined)[]): void {
    for (const signal of new Set(signals)) {
      if (signal === undefined || this.#outcome !== undefined) continue
      const abort = () => {
        this.#dispatch({ kind: "end", outcome: { kind: "aborted", reason: signal.reason } })
      }
      if (signal.aborted) abort()
      else this.#cleanups.push(onAbort(signal, abort))
    }
  }

  /** Replaces connections that are dead after the network changed or the page was frozen. */
  watchNetwork(): void {
    // A platform that reports neither needs no closures.
    if (this.#outcome !== undefined || typeof globalThis.addEventListener !== "function") return
    const onChange = () => {
      this.#dispatch({ kind: "network-changed" })
    }
    const onLifecycle = onPageLifecycle((event) => {
      if (event === "restored") onChange()
    })
    this.#cleanups.push(onOnline(onChange), onLifecycle)
  }

  /** Pauses the session while it is hidden. */
  watchVisibility(source: VisibilitySource | undefined, graceMs: number): void {
    if (source === undefined || this.#outcome !== undefined) return
    this.#unwatchVisibility = watchVisibility(source, graceMs, (kind) => {
      this.#dispatch({ kind })
    })
  }

  /** The session does not pause any more. */
  unwatchVisibility(): void {
    this.#unwatchVisibility?.()
    this.#unwatchVisibility = undefined
  }

  /** The session is over: nothing is watched any longer. */
  end(outcome: SessionOutcome): void {
    this.#outcome = outcome
    this.unwatchVisibility()
    for (const cleanup of this.#cleanups.splice(0)) cleanup()
    this.#settle?.(outcome)
  }
}

/**
 * Watches a visibility.
 *
 * @param graceMs - how long it must stay hidden before that is reported. A page that is about to be frozen is hidden at once:
 *   its timers stop
 * @param onChange - called once per change
 * @returns a function that ends the watch
 */
export function watchVisibility(
  source: VisibilitySource,
  graceMs: number,
  onChange: (change: "hidden" | "visible") => void,
): () => void {
  let reported = false
  let timer: ReturnType<typeof setTimeout> | undefined
  const report = () => {
    clearTimeout(timer)
    timer = undefined
    if (source.hidden === reported) return
    reported = source.hidden
    onChange(reported ? "hidden" : "visible")
  }
  const look = () => {
    if (!source.hidden || graceMs === 0) report()
    else timer ??= setTimeout(report, graceMs)
  }
  const unsubscribe = source.subscribe(look)
  // JavaScript callers pass on what their platform gives them: React Native's is an object.
  if (typeof unsubscribe !== "function") {
    throw badOption("pauseWhenHidden.subscribe", "a function that returns a function", unsubscribe)
  }
  const unwatch =
    graceMs > 0 ? onPageLifecycle((event) => event === "departing" && report()) : undefined
  look()
  return () => {
    clearTimeout(timer)
    unsubscribe()
    unwatch?.()
  }
}
