import { createServer, type IncomingMessage } from "node:http"
import type { AddressInfo } from "node:net"
import { Readable } from "node:stream"

/** Serves a handler of Fetch by Node's http, on a free local port. */
export async function serve(handler: (request: Request) => Promise<Response>) {
  const server = createServer((incoming, outgoing) => {
    void respond(handler, incoming).then(async (response) => {
      outgoing.writeHead(response.status, Object.fromEntries(response.headers))
      outgoing.end(Buffer.from(await response.arrayBuffer()))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  // It listens on a port.
  const { port } = server.address() as AddressInfo
  return {
    url: `http://localhost:${port}/webhooks`,
    async stop(): Promise<void> {
      server.closeAllConnections()
      await new Promise<unknown>((resolve) => server.close(resolve))
    },
  }
}

/** Anybody can send anything: what is no request of Fetch must not end the process. */
async function respond(
  handler: (request: Request) => Promise<Response>,
  incoming: IncomingMessage,
): Promise<Response> {
  try {
    return await handler(toRequest(incoming))
  } catch {
    return new Response(null, { status: 400 })
  }
}

/** The raw body goes through: the signature is made over its bytes. */
function toRequest(incoming: IncomingMessage): Request {
  const headers = Object.entries(incoming.headers).map(([name, value]) => [name, String(value)])
  const { method = "POST" } = incoming
  const hasBody = method !== "GET" && method !== "HEAD"
  const init: RequestInit & { duplex: "half" } = {
    method,
    headers: Object.fromEntries(headers) as Record<string, string>,
    body: hasBody ? (Readable.toWeb(incoming) as ReadableStream) : null,
    duplex: "half",
  }
  return new Request(`http://localhost${incoming.url ?? "/"}`, init)
}
