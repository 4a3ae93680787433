/** Browsers refuse requests that outlive their page once the bodies of all of them together exceed this. */
const KEEPALIVE_BUDGET_BYTES = 64 * 1024

let keptBytes = 0

/** Whether the page is being left: `pagehide` comes before the document calls itself hidden. */
let isLeaving = false

/**
 * Calls back when the page is about to go, or can be ended at any time without further notice: hidden, or left.
 *
 * @returns a function that ends the watch
 */
export function onPageDeparture(callback: () => void): () => void {
  if (typeof document === "undefined" || typeof document.addEventListener !== "function") {
    return () => undefined
  }
  const page = document
  const onChange = () => {
    if (page.visibilityState === "hidden") callback()
  }
  const onLeave = () => {
    isLeaving = true
    // Runs in a page that comes back from the back-forward cache, and in no other.
    setTimeout(() => {
      isLeaving = false
    })
    callback()
  }
  page.addEventListener("visibilitychange", onChange)
  globalThis.addEventListener?.("pagehide", onLeave)
  return () => {
    page.removeEventListener("visibilitychange", onChange)
    globalThis.removeEventListener?.("pagehide", onLeave)
  }
}

/**
 * Asks for a request to outlive its page. Only a page that is hidden, or on its way out, needs it.
 *
 * @param bodyBytes - what the request's body takes of the browser's budget
 * @returns a function that gives the share of the budget back, or undefined where the request is an ordinary one
 */
export function takeKeepalive(bodyBytes: number): (() => void) | undefined {
  if (typeof document === "undefined") return undefined
  if (!isLeaving && document.visibilityState !== "hidden") return undefined
  if (keptBytes + bodyBytes > KEEPALIVE_BUDGET_BYTES) return undefined
  keptBytes += bodyBytes
  return () => {
    keptBytes -= bodyBytes
  }
}
