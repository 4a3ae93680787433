/** Aborted while there is no network. */
let network = new AbortController()

// By itself the browser lets some connections go on, which then bring nothing.
addEventListener("offline", () => network.abort(new TypeError("Network connection lost")))
addEventListener("online", () => {
  network = new AbortController()
})

/** As fetch, but without a network it fails at once: a browser reports each request that it tries as an error in its console. */
export const fetchOnline: typeof fetch = async (input, init) => {
  if (!navigator.onLine) throw new TypeError("Network connection lost")
  const signals = [network.signal, ...(init?.signal ? [init.signal] : [])]
  return fetch(input, { ...init, signal: AbortSignal.any(signals) })
}
