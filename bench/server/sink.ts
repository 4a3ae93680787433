import { offsetAt } from "./content.ts"
import type { Call } from "./handler.ts"

/** Every stream's bytes so far, so that a run can prove that it sent its work. */
const received = new Map<string, number>()

/**
 * Takes appends and throws them away: `/<json or bytes>/<name>`, and `/<json or bytes>/<name>/<bytes a second>` for a slow
 * server that reads no faster than that. GET tells how many bytes came.
 */
export function serveSink({ request, response, segments }: Call): void {
  const [type, name = "", bytesPerSecond = "Infinity"] = segments
  response.setHeader(
    "content-type",
    type === "json" ? "application/json" : "application/octet-stream",
  )
  response.setHeader("stream-next-offset", offsetAt(received.get(name) ?? 0))
  if (request.method === "GET") response.end(String(received.get(name) ?? 0))
  else if (request.method === "POST")
    takeAppend({ request, response, segments }, name, Number(bytesPerSecond))
  else response.writeHead(request.method === "PUT" ? 201 : 200).end()
}

function takeAppend(
  { request, response }: Omit<Call, "query">,
  name: string,
  bytesPerSecond: number,
): void {
  request.on("data", (chunk: Buffer) => {
    received.set(name, (received.get(name) ?? 0) + chunk.byteLength)
    if (bytesPerSecond !== Infinity) {
      request.pause()
      setTimeout(() => request.resume(), restMs(name, chunk.byteLength, bytesPerSecond))
    }
  })
  request.on("end", () => {
    const epoch = request.headers["producer-epoch"]
    const seq = request.headers["producer-seq"]
    if (epoch !== undefined) response.setHeader("producer-epoch", epoch)
    if (seq !== undefined) response.setHeader("producer-seq", seq)
    response.setHeader("stream-next-offset", offsetAt(received.get(name) ?? 0))
    response.writeHead(epoch === undefined ? 204 : 200).end()
  })
}

/** When a stream's slow link is free again: all its connections share it. */
const freeAt = new Map<string, number>()

function restMs(name: string, bytes: number, bytesPerSecond: number): number {
  const now = performance.now()
  const free = Math.max(now, freeAt.get(name) ?? 0) + (bytes / bytesPerSecond) * 1000
  freeAt.set(name, free)
  return free - now
}

/** Every producer's next seq, by stream, and how many requests its messages took. */
const producers = new Map<string, { expectedSeq: number; requests: number }>()

/**
 * Takes a producer's batches over a link with jitter, in order only: `/<name>/<round trip in ms>/<jitter in ms>`. What has no
 * producer headers is taken in any order. GET tells how many requests came.
 */
export function serveJitter({ request, response, segments }: Call): void {
  const [name = "", roundTripMs = "0", jitterMs = "0"] = segments
  const producer = producers.get(name) ?? { expectedSeq: 0, requests: 0 }
  producers.set(name, producer)
  response.setHeader("content-type", "application/json")
  response.setHeader("stream-next-offset", offsetAt(producer.expectedSeq))
  if (request.method !== "POST") {
    response.end(String(producer.requests))
    return
  }
  request.resume()
  const oneWayMs = () => Number(roundTripMs) / 2 + (Math.random() - 0.5) * Number(jitterMs)
  setTimeout(() => {
    const status = decide(request.headers["producer-seq"], producer)
    response.setHeader("stream-next-offset", offsetAt(producer.expectedSeq))
    const headers =
      status === 409
        ? {
            "producer-expected-seq": producer.expectedSeq,
            "producer-received-seq": request.headers["producer-seq"],
          }
        : {
            "producer-epoch": request.headers["producer-epoch"] ?? "0",
            "producer-seq": producer.expectedSeq - 1,
          }
    setTimeout(() => response.writeHead(status, headers).end(), oneWayMs())
  }, oneWayMs())
}

function decide(
  seq: string | string[] | undefined,
  producer: { expectedSeq: number; requests: number },
): 200 | 204 | 409 {
  producer.requests++
  if (seq !== undefined && Number(seq) > producer.expectedSeq) return 409
  if (seq !== undefined && Number(seq) < producer.expectedSeq) return 204
  producer.expectedSeq++
  return 200
}
