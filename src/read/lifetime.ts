import { badOption } from "../http/option-checks.ts"
import { onOnline } from "../platform/network.ts"
import { onPageLifecycle, type VisibilitySource } from "../platform/page-lifecycle.ts"

/**
 * Watches for what leaves connections dead: the network changed, or the page was frozen.
 *
 * @param onOffline - called when the network is gone
 * @returns functions that end the watch
 */
export function watchNetwork(onChange: () => void, onOffline: () => void): (() => void)[] {
  // A platform that reports neither needs no closures.
  if (typeof globalThis.addEventListener !== "function") return []
  const onLifecycle = onPageLifecycle((event) => {
    if (event === "restored") onChange()
  })
  return [onOnline(onChange, onOffline), onLifecycle]
}

/**
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
