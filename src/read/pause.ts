import { badOption } from "../errors/bad-option.ts"
import type { VisibilitySource } from "../platform/visibility.ts"

/**
 * Turns a visibility into pauses.
 *
 * @param source - what is watched
 * @param onChange - told `pause` when it hides and `resume` when it shows, each once
 * @returns a function that ends the watch
 */
export function watchPauses(
  source: VisibilitySource,
  onChange: (change: "pause" | "resume") => void,
): () => void {
  let hidden = false
  const look = () => {
    if (source.hidden === hidden) return
    hidden = source.hidden
    onChange(hidden ? "pause" : "resume")
  }
  const unsubscribe = source.subscribe(look)
  // JavaScript callers pass on what their platform gives them: React Native's is an object.
  if (typeof unsubscribe !== "function") {
    throw badOption("pauseWhenHidden.subscribe", "a function that returns a function", unsubscribe)
  }
  look()
  return unsubscribe
}
