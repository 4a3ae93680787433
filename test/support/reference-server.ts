import { DurableStreamTestServer, type TestServerOptions } from "@durable-streams/server"

let streamCount = 0

/** A running reference server. */
export interface ReferenceServer {
  /** The server's origin, `http://127.0.0.1:<port>`. */
  readonly url: string
  readonly server: DurableStreamTestServer
  /** A stream url that no other test has used; there is no stream at it yet. */
  streamUrl(name?: string): string
  stop(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** Start the reference server on a free port; stop it with `stop()` or `await using`. */
export async function startReferenceServer(
  options: TestServerOptions = {},
): Promise<ReferenceServer> {
  const server = new DurableStreamTestServer({ port: 0, ...options })
  const url = await server.start()
  let stopped: Promise<void> | undefined
  const stop = (): Promise<void> => (stopped ??= server.stop())
  return {
    url,
    server,
    streamUrl: (name = "stream") => `${url}/${name}-${process.pid}-${++streamCount}`,
    stop,
    [Symbol.asyncDispose]: stop,
  }
}
