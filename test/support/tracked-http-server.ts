import { createServer, type RequestListener } from "node:http"
import type { AddressInfo, Socket } from "node:net"

/** An HTTP server on a free loopback port that knows its sockets, so that stopping it never waits for a client. */
export interface TrackedHttpServer {
  /** `http://127.0.0.1:<port>` */
  readonly url: string
  readonly openSockets: ReadonlySet<Socket>
  stop(): Promise<void>
}

/** Start an HTTP server for tests. */
export async function startTrackedHttpServer(
  listener: RequestListener,
): Promise<TrackedHttpServer> {
  const sockets = new Set<Socket>()
  const server = createServer({ keepAliveTimeout: 60_000 }, listener)
  server.on("connection", (socket) => {
    sockets.add(socket)
    socket.on("close", () => sockets.delete(socket))
    // A reset by the other side is what these tests are about, not a failure of the server.
    socket.on("error", () => undefined)
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  // A server that listens on a TCP port has an AddressInfo.
  const { port } = server.address() as AddressInfo
  let stopped: Promise<void> | undefined
  const stop = (): Promise<void> =>
    (stopped ??= new Promise((resolve) => {
      server.close(() => resolve())
      for (const socket of sockets) socket.destroy()
    }))
  return { url: `http://127.0.0.1:${port}`, openSockets: sockets, stop }
}
