import { monotonicMs } from "./clock.ts"

/**
 * What happens to the page of a program:
 *
 * - `hidden` | `visible`: whether the user can see it. A hidden page may be ended without further notice, and its timers
 *   may run only once a minute;
 * - `departing`: it is about to be frozen, kept in the back/forward cache or unloaded. No code may run after this call;
 * - `restored`: it was frozen or in the back/forward cache. Its connections are dead, whatever they look like.
 */
export type PageLifecycleEvent = "hidden" | "visible" | "departing" | "restored"

/**
 * Tells whether the user can see what a session feeds. A browser's document is used by default; give your own if there
 * is none (React Native's AppState, a test).
 */
export interface VisibilitySource {
  /** Whether it is hidden now. Read when a session starts and after every change. */
  readonly hidden: boolean
  /**
   * Calls back after every change.
   *
   * @returns a function that ends the subscription; called when the session ends
   */
  subscribe(onChange: () => void): () => void
}

/** A page that comes back can report it twice: `resume` and `pageshow`. */
const SAME_RESTORE_MS = 1_000

/** Browsers reject requests that outlive their page if the bodies of all of them together exceed this. */
const KEEPALIVE_BUDGET_BYTES = 64 * 1024

let keepaliveBytes = 0

/** Whether `pagehide` was reported: it comes before the document calls itself hidden. */
let isLeaving = false

/**
 * Watches the page's lifecycle. Does nothing on a platform without a document (servers, workers, React Native).
 *
 * @returns a function that ends the watch
 */
export function onPageLifecycle(notify: (event: PageLifecycleEvent) => void): () => void {
  const page = currentDocument()
  if (page === undefined) return () => undefined
  let restoredAtMs = -Infinity
  const onFreeze = () => notify("departing")
  const onPageHide = () => {
    isLeaving = true
    // Runs only in a page that comes back from the back/forward cache.
    setTimeout(() => (isLeaving = false))
    notify("departing")
  }
  const onRestore = () => {
    const nowMs = monotonicMs()
    if (nowMs - restoredAtMs < SAME_RESTORE_MS) return
    restoredAtMs = nowMs
    notify("restored")
  }
  const listeners: readonly [Partial<EventTarget>, string, (event: Event) => void][] = [
    [page, "visibilitychange", () => notify(isHidden(page) ? "hidden" : "visible")],
    [page, "freeze", onFreeze],
    [page, "resume", onRestore],
    [globalThis, "pagehide", onPageHide],
    // A page that has just been loaded is shown too. Only the type of this event has `persisted`.
    [globalThis, "pageshow", (event) => (event as PageTransitionEvent).persisted && onRestore()],
  ]
  for (const [target, type, listener] of listeners) target.addEventListener?.(type, listener)
  return () => {
    for (const [target, type, listener] of listeners) target.removeEventListener?.(type, listener)
  }
}

/** Whether there is a page and the user cannot see it. Timers of such a page can be a minute late. */
export function isPageHidden(): boolean {
  const page = currentDocument()
  return page !== undefined && isHidden(page)
}

/** The document's visibility, or undefined if there is no document (servers, workers, React Native). */
export function documentVisibility(): VisibilitySource | undefined {
  if (currentDocument() === undefined) return undefined
  return {
    get hidden() {
      return isPageHidden()
    },
    subscribe(onChange) {
      return onPageLifecycle((event) => {
        if (event === "hidden" || event === "visible") onChange()
      })
    },
  }
}

/**
 * Requests that a request outlives its page. Only a page that is hidden or departing needs it.
 *
 * @param bodyBytes - what the request's body takes of the browser's budget
 * @returns a function that returns the share of the budget, or undefined if the request is an ordinary one
 */
export function takeKeepalive(bodyBytes: number): (() => void) | undefined {
  if (!isLeaving && !isPageHidden()) return undefined
  if (keepaliveBytes + bodyBytes > KEEPALIVE_BUDGET_BYTES) return undefined
  keepaliveBytes += bodyBytes
  return () => {
    keepaliveBytes -= bodyBytes
  }
}

function currentDocument(): Document | undefined {
  if (typeof document === "undefined") return undefined
  return typeof document.addEventListener === "function" ? document : undefined
}

/** What a program's tests may have replaced in part. */
interface PageVisibility {
  readonly hidden?: boolean
  readonly visibilityState?: string
}

function isHidden({ hidden, visibilityState }: PageVisibility): boolean {
  // jsdom calls a page that was never shown hidden, but "prerender".
  return visibilityState === "hidden" || (hidden === true && visibilityState !== "prerender")
}
