import type { ServerResponse } from "node:http"
import { indexOf, offsetAt } from "./content.ts"
import type { Call } from "./handler.ts"

/** A JSON stream in memory, with those who wait at its tail. */
interface LiveStream {
  readonly messages: string[]
  readonly polls: Set<Poll>
  readonly connections: Set<ServerResponse>
}

/** A long-poll request, and how long its response is on the way. */
interface Poll {
  readonly response: ServerResponse
  readonly delayMs: number
}

const streams = new Map<string, LiveStream>()

/** The same streams over a far link: `/<round trip in ms>/<name>`. */
export function serveFarLive(call: Call): void {
  const [roundTripMs = "0", ...segments] = call.segments
  const delayMs = Number(roundTripMs) / 2
  setTimeout(() => serveLive({ ...call, segments }, delayMs), delayMs)
}

/** Streams that are appended to while they are read: `/<name>`. */
export function serveLive({ request, response, segments, query }: Call, delayMs = 0): void {
  const stream = streamNamed(segments[0] ?? "")
  if (request.method === "POST") {
    let body = ""
    request.setEncoding("utf8")
    request.on("data", (text: string) => (body += text))
    request.on("end", () => {
      append(stream, body)
      response.setHeader("stream-next-offset", offsetAt(stream.messages.length))
      response.writeHead(204).end()
    })
    return
  }
  const index = indexOf(query.get("offset"))
  const isAtTail = index >= stream.messages.length
  if (query.get("live") === "sse") openConnection(stream, response, index)
  else if (query.get("live") === "long-poll" && isAtTail) hold(stream.polls, { response, delayMs })
  else sendPage(stream, { response, delayMs }, index)
}

/**
 * Appends a message to one stream after another, evenly: `/<prefix>/<streams>/<messages a second>/<seconds>`, of the streams
 * `<prefix>-<index>`. The response comes behind the last one.
 */
export function serveBeat({ response, segments }: Call): void {
  const [prefix = ""] = segments
  const [count = 1, perSecond = 1, seconds = 1] = segments.slice(1).map(Number)
  const total = perSecond * seconds
  const startedAt = performance.now()
  let sent = 0
  const timer = setInterval(() => {
    const due = Math.min(total, ((performance.now() - startedAt) / 1000) * perSecond)
    for (; sent < due; sent++) append(streamNamed(`${prefix}-${sent % count}`), `{"n":${sent}}`)
    if (sent < total) return
    clearInterval(timer)
    response.end()
  }, 10)
}

/** How many live reads wait now. */
export function serveWaiting({ response }: Call): void {
  let waiting = 0
  for (const { polls, connections } of streams.values()) waiting += polls.size + connections.size
  response.end(String(waiting))
}

function streamNamed(name: string): LiveStream {
  const known = streams.get(name)
  if (known !== undefined) return known
  const made: LiveStream = { messages: [], polls: new Set(), connections: new Set() }
  streams.set(name, made)
  return made
}

function append(stream: LiveStream, message: string): void {
  stream.messages.push(message)
  const index = stream.messages.length - 1
  const event = dataEvent(stream, index)
  for (const connection of stream.connections) connection.write(event)
  for (const poll of [...stream.polls]) {
    stream.polls.delete(poll)
    sendPage(stream, poll, index)
  }
}

function hold(waiting: Set<Poll>, poll: Poll): void {
  waiting.add(poll)
  poll.response.on("close", () => waiting.delete(poll))
}

function sendPage({ messages }: LiveStream, { response, delayMs }: Poll, index: number): void {
  const page = Buffer.from(`[${messages.slice(index).join(",")}]`)
  const headers = {
    "content-type": "application/json",
    "content-length": page.byteLength,
    "stream-next-offset": offsetAt(messages.length),
    "stream-up-to-date": "true",
    "stream-cursor": "1000",
  }
  const send = () => response.writeHead(200, headers).end(page)
  if (delayMs === 0) send()
  else setTimeout(send, delayMs)
}

function openConnection(stream: LiveStream, response: ServerResponse, index: number): void {
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" })
  response.write(index < stream.messages.length ? dataEvent(stream, index) : controlEvent(stream))
  stream.connections.add(response)
  response.on("close", () => stream.connections.delete(response))
}

function dataEvent(stream: LiveStream, index: number): string {
  return `event: data\ndata: [${stream.messages.slice(index).join(",")}]\n\n${controlEvent(stream)}`
}

function controlEvent({ messages }: LiveStream): string {
  const control = `{"streamNextOffset":"${offsetAt(messages.length)}","streamCursor":"1000","upToDate":true}`
  return `event: control\ndata: ${control}\n\n`
}
