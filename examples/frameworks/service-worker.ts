// Needs a service worker. It keeps the page's files for offline use, and leaves the streams alone.
const CACHE = "files-1"
const STREAMS = "/v1/stream/"

// The types of pages do not have the events of a service worker.
interface FetchEvent extends Event {
  readonly request: Request
  respondWith(response: Promise<Response>): void
}

addEventListener("fetch", (event) => {
  const { request, respondWith } = event as FetchEvent
  const url = new URL(request.url)
  // Without `respondWith` the browser makes the request itself. A stream is never cached here, live or not.
  const isOurs = url.origin === location.origin && !url.pathname.startsWith(STREAMS)
  if (isOurs && request.method === "GET") respondWith.call(event, fromNetworkOrCache(request))
})

async function fromNetworkOrCache(request: Request): Promise<Response> {
  const cache = await caches.open(CACHE)
  try {
    const response = await fetch(request)
    if (response.ok) await cache.put(request, response.clone())
    return response
  } catch (error) {
    const cached = await cache.match(request)
    if (cached === undefined) throw error
    return cached
  }
}
