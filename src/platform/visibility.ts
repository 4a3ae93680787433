/**
 * Tells whether the user can see what a session feeds. The document's is used in a browser; give your own where
 * there is none (React Native's AppState, a test).
 */
export interface VisibilitySource {
  /** Whether it is hidden now. Read when a session starts and after every notice. */
  readonly hidden: boolean
  /**
   * Calls back after every change.
   *
   * @returns a function that ends the subscription; called when the session ends
   */
  subscribe(onChange: () => void): () => void
}

/** The document's visibility, or undefined where there is no document (workers, servers). */
export function documentVisibility(): VisibilitySource | undefined {
  if (typeof document === "undefined" || typeof document.addEventListener !== "function") {
    return undefined
  }
  const page = document
  return {
    get hidden() {
      return page.visibilityState === "hidden"
    },
    subscribe(onChange) {
      page.addEventListener("visibilitychange", onChange)
      return () => {
        page.removeEventListener("visibilitychange", onChange)
      }
    },
  }
}
