/**
 * Loaded before a block that is run: sends what goes to the hosts that the texts name to the server of the test, and gives
 * the block a browser's localStorage.
 */
const origin = process.env["STREAMS_ORIGIN"]
const fetchFromNetwork = globalThis.fetch

globalThis.fetch = (input, init) => {
  if (input instanceof Request) throw new Error("Blocks call fetch with a URL.")
  const url = new URL(input)
  const isNamed = /(^|\.)(your-server\.com|example\.com)$/.test(url.hostname)
  const isLocal = url.host === "127.0.0.1:4437"
  return fetchFromNetwork(isNamed || isLocal ? `${origin}${url.pathname}${url.search}` : url, init)
}

// A module, so that its names are its own.
export {}

const items = new Map<string, string>()
Object.defineProperty(globalThis, "localStorage", {
  value: {
    getItem: (key: string) => items.get(key) ?? null,
    setItem: (key: string, value: string) => void items.set(key, value),
    removeItem: (key: string) => void items.delete(key),
  },
})
