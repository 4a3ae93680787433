/**
 * Milliseconds from a clock that only runs forward, for delays and deadlines. The wall clock jumps when it is set. A
 * platform without `performance` has the wall clock alone.
 */
export function monotonicMs(): number {
  return typeof performance === "undefined" ? Date.now() : performance.now()
}

/** Resolves in a later turn of the event loop. Not by a timer if possible: a hidden page has one a minute. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    if (typeof MessageChannel === "undefined") {
      setTimeout(resolve)
      return
    }
    const { port1, port2 } = new MessageChannel()
    port1.onmessage = () => {
      port1.close()
      resolve()
    }
    port2.postMessage(0)
  })
}
