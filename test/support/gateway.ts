import { createServer, request as httpRequest } from "node:http"
import type { AddressInfo } from "node:net"
import { startReferenceServer } from "./reference-server.ts"

/** Pages, their scripts and streams of one origin, as behind one gateway. */
export interface Gateway {
  readonly origin: string
  /** The live reads that wait for their responses, or receive them. */
  readonly openLiveReads: ReadonlySet<unknown>
  /** Of a stream that there is not yet. */
  streamUrl(): string
  stop(): Promise<void>
}

/** @param scripts - by path. What is no script and no stream is the page */
export async function startGateway(
  scripts: ReadonlyMap<string, string>,
  { page = "<title>page</title>" } = {},
): Promise<Gateway> {
  const streams = await startReferenceServer({ longPollTimeout: 500 })
  const openLiveReads = new Set<unknown>()
  let streamCount = 0
  const server = createServer((incoming, response) => {
    const { url = "", method, headers } = incoming
    if (!url.startsWith("/v1/stream/")) {
      const script = scripts.get(url.split("?")[0]!)
      const type = script === undefined ? "text/html" : "text/javascript"
      response.writeHead(200, { "content-type": `${type}; charset=utf-8` }).end(script ?? page)
      return
    }
    if (url.includes("live=")) openLiveReads.add(incoming)
    const outgoing = httpRequest(streams.url + url, { method, headers }, (received) => {
      response.writeHead(received.statusCode ?? 502, received.headers)
      response.flushHeaders()
      received.pipe(response)
    })
    outgoing.on("error", () => response.destroy())
    response.on("close", () => {
      openLiveReads.delete(incoming)
      outgoing.destroy()
    })
    incoming.pipe(outgoing)
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  // It listens on a port.
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    origin,
    openLiveReads,
    streamUrl: () => `${origin}/v1/stream/s-${++streamCount}`,
    async stop() {
      server.closeAllConnections()
      server.close()
      await streams.stop()
    },
  }
}
