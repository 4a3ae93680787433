/**
 * Milliseconds from a clock that only runs forward, for delays and deadlines. The wall clock jumps when it is set. A
 * platform without `performance` has the wall clock alone.
 */
export function monotonicMs(): number {
  return typeof performance === "undefined" ? Date.now() : performance.now()
}
