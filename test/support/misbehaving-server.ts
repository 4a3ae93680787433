import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http"
import type { Socket } from "node:net"
import { startTrackedHttpServer } from "./tracked-http-server.ts"

/** A request that reached the server, its body read. */
export interface SeenRequest {
  index: number
  method: string
  /** Path and query. */
  path: string
  query: URLSearchParams
  headers: IncomingHttpHeaders
  body: Buffer
}

/** Responds to one request in whatever way it likes; leaving the response open is one of them. */
export type Misbehavior = (request: SeenRequest, response: ServerResponse) => void | Promise<void>

/** A server that does what its script says. */
export interface MisbehavingServer {
  readonly url: string
  /** Every request so far, in the order of arrival. */
  readonly requests: readonly SeenRequest[]
  readonly openSockets: ReadonlySet<Socket>
  /** Resolves once `count` requests have arrived. */
  whenRequested(count: number): Promise<void>
  stop(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * Start a server that handles the first request by the first handler, and so on; the last handler is for all further
 * requests. Stop it with `stop()` (open connections are closed) or `await using`.
 */
export async function startMisbehavingServer(
  ...handlers: readonly [Misbehavior, ...Misbehavior[]]
): Promise<MisbehavingServer> {
  const requests: SeenRequest[] = []
  const waiting = new Set<() => void>()
  const server = await startTrackedHttpServer((incoming, response) => {
    const index = requests.length
    const seen = seeRequest(incoming, index)
    requests.push(seen)
    for (const check of [...waiting]) check()
    const handler = handlers[Math.min(index, handlers.length - 1)] ?? handlers[0]
    void readAll(incoming).then(
      async (body) => {
        seen.body = body
        await handler(seen, response)
      },
      () => undefined,
    )
  })
  const whenRequested = (count: number): Promise<void> =>
    new Promise((resolve) => {
      const check = (): void => {
        if (requests.length < count) return
        waiting.delete(check)
        resolve()
      }
      waiting.add(check)
      check()
    })
  const { url, openSockets, stop } = server
  return { url, requests, openSockets, whenRequested, stop, [Symbol.asyncDispose]: stop }
}

/** A handler that responds with a status, headers and a body. */
export function respond(
  status: number,
  headers: Record<string, string> = {},
  body?: string | Uint8Array,
): Misbehavior {
  return (_request, response) => void response.writeHead(status, headers).end(body)
}

/** A handler that breaks the connection off: before the headers, or after them and `body`. */
export function breakOff(
  headers?: Record<string, string>,
  body?: string | Uint8Array,
): Misbehavior {
  return (_request, response) => {
    const { socket } = response
    if (headers === undefined) return void socket?.resetAndDestroy()
    response.writeHead(200, headers)
    response.flushHeaders()
    if (body === undefined) return void socket?.resetAndDestroy()
    response.write(body, () => socket?.resetAndDestroy())
  }
}

/** A handler that never responds; with headers, one that sends them and `body` and then falls silent. */
export function fallSilent(
  headers?: Record<string, string>,
  body?: string | Uint8Array,
): Misbehavior {
  return (_request, response) => {
    if (headers === undefined) return
    response.writeHead(200, headers)
    response.flushHeaders()
    if (body !== undefined) response.write(body)
  }
}

function seeRequest(incoming: IncomingMessage, index: number): SeenRequest {
  const path = incoming.url ?? "/"
  return {
    index,
    method: incoming.method ?? "GET",
    path,
    query: new URL(path, "http://server.test").searchParams,
    headers: incoming.headers,
    body: Buffer.alloc(0),
  }
}

async function readAll(incoming: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  // Node types the chunks of a message as any; without an encoding they are Buffers.
  for await (const chunk of incoming) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}
