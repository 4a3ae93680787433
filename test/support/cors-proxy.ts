import { request as httpRequest } from "node:http"
import { startTrackedHttpServer, type TrackedHttpServer } from "./tracked-http-server.ts"

/**
 * Starts a proxy in front of a stream server that, as many a gateway does, decides itself what pages of other origins
 * may see: the headers named in `exposed`, beside those that every browser shows. It can end SSE connections before the
 * server does.
 */
export function startCorsProxy(
  targetUrl: string,
  exposed: readonly string[],
  { sseLifetimeMs }: { readonly sseLifetimeMs?: number } = {},
): Promise<TrackedHttpServer> {
  const { hostname, port, host } = new URL(targetUrl)
  return startTrackedHttpServer((incoming, response) => {
    const { method, url: path } = incoming
    const headers = { ...incoming.headers, host }
    const outgoing = httpRequest({ hostname, port, method, path, headers, agent: false })
    outgoing.on("error", () => response.destroy())
    outgoing.on("response", (received) => {
      const headers = { ...received.headers }
      delete headers["connection"]
      delete headers["transfer-encoding"]
      headers["access-control-expose-headers"] = exposed.join(", ")
      // Browsers forget a preflight after five seconds otherwise.
      headers["access-control-max-age"] = "600"
      response.writeHead(received.statusCode ?? 502, headers)
      response.flushHeaders()
      received.pipe(response)
      if (sseLifetimeMs === undefined || path?.includes("live=sse") !== true) return
      const timer = setTimeout(() => response.end(), sseLifetimeMs)
      response.on("close", () => clearTimeout(timer))
    })
    response.on("close", () => outgoing.destroy())
    incoming.pipe(outgoing)
  })
}
