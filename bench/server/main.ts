import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { serveEvents } from "./events.ts"
import type { Handler } from "./handler.ts"
import { serveBeat, serveFarLive, serveLive, serveWaiting } from "./live.ts"
import { serveFarPages, servePages } from "./pages.ts"
import { serveJitter, serveSink } from "./sink.ts"

/**
 * The server that the clients are measured against, in a process of its own. It checks nothing and stores next to
 * nothing: all that it sends was made before.
 */

const handlers: Readonly<Record<string, Handler>> = {
  pages: servePages,
  far: serveFarPages,
  events: (call) => void serveEvents(call),
  sink: serveSink,
  jitter: serveJitter,
  live: (call) => serveLive(call),
  "far-live": serveFarLive,
  waiting: serveWaiting,
  beat: serveBeat,
  // A page of this origin, for a script that reads in a browser.
  page: ({ response }) =>
    response
      .setHeader("content-type", "text/html")
      .end("<!doctype html><link rel=icon href=data:,>"),
}

const server = createServer((request, response) => {
  const [path = "", search] = (request.url ?? "").split("?", 2)
  const [, name = "", ...segments] = path.split("/")
  const handler = handlers[name]
  if (handler === undefined) response.writeHead(404).end()
  else handler({ request, response, segments, query: new URLSearchParams(search) })
})
// A client that is measured for a long time must not lose its connection to the server's tidiness.
server.keepAliveTimeout = 120_000
server.listen(0, "127.0.0.1", 4096, () => {
  const { port } = server.address() as AddressInfo
  process.send?.(`http://127.0.0.1:${port}`)
})
process.on("disconnect", () => process.exit(0))
