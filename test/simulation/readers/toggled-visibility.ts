import type { VisibilitySource } from "../../../src/index.ts"

/** A visibility that the test toggles and that knows who listens, and when it was hidden. */
export class ToggledVisibility implements VisibilitySource {
  hidden = false
  /** Times hidden, as `[from, to]`; open at the end while hidden. */
  readonly spans: Array<[fromMs: number, toMs: number]> = []
  readonly #listeners = new Set<() => void>()

  get listenerCount(): number {
    return this.#listeners.size
  }

  subscribe(onChange: () => void): () => void {
    // Two subscriptions of one function are two subscriptions.
    const listener = (): void => onChange()
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  toggle(atMs: number): void {
    this.hidden = !this.hidden
    const last = this.spans.at(-1)
    if (this.hidden) this.spans.push([atMs, Number.POSITIVE_INFINITY])
    else if (last) last[1] = atMs
    for (const listener of [...this.#listeners]) listener()
  }
}
