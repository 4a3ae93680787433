import {
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from "node:http"
import type { Socket } from "node:net"
import { PassThrough, pipeline, type Readable } from "node:stream"
import { startTrackedHttpServer } from "./tracked-http-server.ts"

/** How a connection ends: `reset` with a RST, `end` with a FIN as if all were well. */
export type Breakage = "reset" | "end"

/**
 * What the proxy does with one request; `delayMs` passes first. A request that is delayed is taken in meanwhile, and reaches
 * the server even where its client has gone.
 */
export type ProxyAction = { delayMs?: number } & (
  | { kind: "pass" }
  /** Break after that many bytes of the response's body. */
  | { kind: "cut"; afterBytes: number; how: Breakage }
  /** Break in the middle of the response's headers. */
  | { kind: "cut-in-headers"; how: Breakage }
  /** Break before the request has reached the server. */
  | { kind: "lose-request"; how: Breakage }
  /** The server gets the request and responds; the response is lost. */
  | { kind: "lose-response"; how: Breakage }
  /** Respond without asking the server. */
  | { kind: "respond"; status: number; headers?: Record<string, string>; body?: string }
  /** No response, ever; with `afterBytes` the headers and that many bytes of the body come first. */
  | { kind: "hang"; afterBytes?: number }
)

/** A request that went through the proxy. */
export interface ProxiedRequest {
  index: number
  method: string
  /** Path and query. */
  path: string
  query: URLSearchParams
  headers: IncomingHttpHeaders
  action: ProxyAction
}

/** A real HTTP proxy that breaks connections on purpose. */
export interface BreakingProxy {
  /** The proxy's origin; use it in the place of the server's. */
  readonly url: string
  readonly requests: readonly ProxiedRequest[]
  readonly openSockets: ReadonlySet<Socket>
  /** What to do with a request; may be replaced at any time. Passes everything unless told otherwise. */
  decide: (request: Omit<ProxiedRequest, "action">) => ProxyAction
  /** Do this with the next requests, one each, before `decide` is asked again. */
  next(...actions: ProxyAction[]): void
  /** The url behind the proxy, for a url of the server. */
  through(url: string): string
  /** Break every connection that is open now. */
  cutAll(how: Breakage): void
  stop(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** Start a proxy in front of `targetUrl`; stop it with `stop()` or `await using`. */
export async function startBreakingProxy(targetUrl: string): Promise<BreakingProxy> {
  const target = new URL(targetUrl)
  const requests: ProxiedRequest[] = []
  const script: ProxyAction[] = []
  const server = await startTrackedHttpServer((incoming, response) => {
    const path = incoming.url ?? "/"
    const query = new URL(path, target).searchParams
    const { method = "GET", headers } = incoming
    const seen = { index: requests.length, method, path, query, headers }
    const action = script.shift() ?? proxy.decide(seen)
    requests.push({ ...seen, action })
    const { delayMs = 0 } = action
    const body = delayMs > 0 ? takeIn(incoming) : incoming
    setTimeout(() => perform(action, target, { incoming, body }, response), delayMs)
  })
  const proxy: BreakingProxy = {
    url: server.url,
    requests,
    openSockets: server.openSockets,
    decide: () => ({ kind: "pass" }),
    next: (...actions) => void script.push(...actions),
    through: (url) => server.url + url.slice(target.origin.length),
    cutAll: (how) => {
      for (const socket of server.openSockets) breakSocket(socket, how)
    },
    stop: server.stop,
    [Symbol.asyncDispose]: server.stop,
  }
  return proxy
}

interface Arrived {
  incoming: IncomingMessage
  /** Where the body comes from: the client, or what was taken in of it. */
  body: Readable
}

/** A client's body, whole or not at all, whether the client is still there or not. */
function takeIn(incoming: IncomingMessage): Readable {
  const body = new PassThrough({ highWaterMark: 2 ** 30 })
  pipeline(incoming, body, () => undefined)
  return body
}

function perform(
  action: ProxyAction,
  target: URL,
  { incoming, body }: Arrived,
  response: ServerResponse,
): void {
  const { socket } = incoming
  switch (action.kind) {
    case "lose-request":
      return breakSocket(socket, action.how)
    case "respond":
      incoming.resume()
      return void response.writeHead(action.status, action.headers).end(action.body)
    case "cut-in-headers":
      return forward(target, { incoming, body }, response, (received) => {
        received.resume()
        const start = `HTTP/1.1 ${received.statusCode} OK\r\nContent-Type: applic`
        socket.write(start, () => breakSocket(socket, action.how))
      })
    case "lose-response":
      return forward(target, { incoming, body }, response, (received) => {
        received.resume().on("end", () => breakSocket(socket, action.how))
      })
    case "hang":
      if (action.afterBytes === undefined) return void incoming.resume()
      return forward(target, { incoming, body }, response, (received) =>
        passOn(received, response, action.afterBytes ?? 0, () => undefined),
      )
    case "cut":
      return forward(target, { incoming, body }, response, (received) =>
        passOn(received, response, action.afterBytes, () => breakSocket(socket, action.how)),
      )
    case "pass":
      return forward(target, { incoming, body }, response, (received) =>
        passOn(received, response, Number.POSITIVE_INFINITY, () => undefined),
      )
  }
}

function forward(
  target: URL,
  { incoming, body }: Arrived,
  response: ServerResponse,
  onResponse: (received: IncomingMessage) => void,
): void {
  const outgoing = httpRequest(
    {
      host: target.hostname,
      port: target.port,
      method: incoming.method,
      path: incoming.url,
      headers: { ...incoming.headers, host: target.host },
      agent: false,
    },
    onResponse,
  )
  outgoing.on("error", () => breakSocket(incoming.socket, "reset"))
  // What was taken in goes through; what the client still sends ends with it.
  if (body === incoming) response.on("close", () => outgoing.destroy())
  pipeline(body, outgoing, () => undefined)
}

/** Pass on headers and body, but no more than `limit` bytes of it; `onLimit` is called once they are on the wire. */
function passOn(
  received: IncomingMessage,
  response: ServerResponse,
  limit: number,
  onLimit: () => void,
): void {
  const headers = { ...received.headers }
  // These are about the other connection.
  delete headers["connection"]
  delete headers["transfer-encoding"]
  response.writeHead(received.statusCode ?? 502, headers)
  response.flushHeaders()
  if (limit <= 0) return onLimit()
  let left = limit
  received.on("data", (chunk: Buffer) => {
    if (left <= 0) return
    const piece = chunk.subarray(0, Math.min(chunk.length, left))
    left -= piece.length
    response.write(piece, () => {
      if (left <= 0) onLimit()
    })
  })
  received.on("end", () => {
    if (left > 0) response.end()
  })
  received.on("error", () => response.destroy())
}

function breakSocket(socket: Socket, how: Breakage): void {
  if (how === "reset") socket.resetAndDestroy()
  else socket.end()
}
