/**
 * Calls back when the network comes back, where the platform tells it: browsers do, for pages and workers.
 *
 * @returns a function that ends the watch
 */
export function onOnline(callback: () => void): () => void {
  if (typeof globalThis.addEventListener !== "function") return () => undefined
  globalThis.addEventListener("online", callback)
  return () => {
    globalThis.removeEventListener("online", callback)
  }
}
