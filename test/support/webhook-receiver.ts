import { createServer, type IncomingMessage } from "node:http"
import type { AddressInfo } from "node:net"
import { buffer } from "node:stream/consumers"

/** A request that a receiver got, with its raw body, so that a test can send it again. */
export interface ReceivedRequest {
  headers: Record<string, string>
  body: Uint8Array<ArrayBuffer>
  response: Response | undefined
}

/** An HTTP server of Node that passes its requests to a handler of Fetch, and remembers them. */
export async function startWebhookReceiver(handler: (request: Request) => Promise<Response>) {
  const requests: ReceivedRequest[] = []
  const server = createServer((incoming, outgoing) => {
    void (async () => {
      const received: ReceivedRequest = {
        headers: plainHeaders(incoming),
        body: new Uint8Array(await buffer(incoming)),
        response: undefined,
      }
      requests.push(received)
      const { headers, body } = received
      const response = await handler(new Request(url, { method: "POST", headers, body }))
      received.response = response
      outgoing.writeHead(response.status, Object.fromEntries(response.headers))
      outgoing.end(Buffer.from(await response.arrayBuffer()))
    })()
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  // It listens on a port.
  const { port } = server.address() as AddressInfo
  const url = `http://localhost:${port}/hook`
  return {
    url,
    requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise<unknown>((resolve) => server.close(resolve))
    },
  }
}

function plainHeaders({ headers }: IncomingMessage): Record<string, string> {
  const entries = Object.entries(headers).filter(
    ([name]) => name === "webhook-signature" || name === "content-type",
  )
  return Object.fromEntries(entries.map(([name, value]) => [name, String(value)]))
}
