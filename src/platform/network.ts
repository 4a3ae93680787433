/** The part of the Network Information API (Chromium on phones) that the DOM's types lack. */
interface NetworkConnection extends EventTarget {
  readonly type?: string
}

/** Whether the browser says that it has no network. Other platforms do not say. */
export function isOffline(): boolean {
  return typeof navigator !== "undefined" && !navigator.onLine
}

/**
 * Calls back when the network comes back or becomes another one (from Wi-Fi to mobile data): connections of before are
 * dead, and a wait for the next attempt is over. Browsers report it, to pages and to workers; other platforms do not.
 *
 * @param onOffline - called when the browser says that the network is gone. Connections may live on: a server on the same
 *   machine is still there
 * @returns a function that ends the watch
 */
export function onOnline(callback: () => void, onOffline?: () => void): () => void {
  if (typeof globalThis.addEventListener !== "function") return () => undefined
  const connection = currentConnection()
  let type = connection?.type
  const onChange = () => {
    const previous = type
    type = connection?.type
    // It changes with every estimate of the bandwidth too, and `online` reports the end of "none".
    if (type !== previous && type !== "none" && previous !== "none") callback()
  }
  globalThis.addEventListener("online", callback)
  if (onOffline !== undefined) globalThis.addEventListener("offline", onOffline)
  connection?.addEventListener?.("change", onChange)
  return () => {
    globalThis.removeEventListener("online", callback)
    if (onOffline !== undefined) globalThis.removeEventListener("offline", onOffline)
    connection?.removeEventListener?.("change", onChange)
  }
}

function currentConnection(): NetworkConnection | undefined {
  if (typeof navigator === "undefined") return undefined
  // The DOM's types do not know the property.
  return (navigator as Navigator & { readonly connection?: NetworkConnection }).connection
}
