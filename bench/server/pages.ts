import { bytesPage, indexOf, jsonPage, offsetAt } from "./content.ts"
import type { Call } from "./handler.ts"

/** How the answer to a request is put on the wire. */
export type Deliver = (call: Call, page: Buffer) => void

/**
 * Catch-up pages, the same content on each:
 * `/json/<pages>/<messages on each>/<bytes of each>` and `/bytes/<pages>/<bytes of each>`.
 */
export function servePages(call: Call, deliver: Deliver = sendAtOnce): void {
  const [type, ...numbers] = call.segments
  const [pages = 1, first = 1, second = 1] = numbers.map(Number)
  const index = indexOf(call.query.get("offset"))
  const isJson = type === "json"
  const page = isJson ? jsonPage(first, second) : bytesPage(first)
  const next = Math.min(index + 1, pages)
  call.response.setHeader("content-type", isJson ? "application/json" : "application/octet-stream")
  call.response.setHeader("stream-next-offset", offsetAt(next))
  if (next === pages) {
    call.response.setHeader("stream-up-to-date", "true")
    call.response.setHeader("stream-closed", "true")
  }
  const content = index < pages ? page : isJson ? Buffer.from("[]") : Buffer.alloc(0)
  call.response.setHeader("content-length", content.byteLength)
  deliver(call, content)
}

/**
 * The same pages over a far link: `/<round trip in ms>/<bytes a second>/json/…`. Headers come after a round trip, the body as
 * fast as the link carries it.
 */
export function serveFarPages(call: Call): void {
  const [roundTripMs = 0, bytesPerSecond = Infinity] = call.segments.slice(0, 2).map(Number)
  const inner = { ...call, segments: call.segments.slice(2) }
  servePages(inner, ({ response }, page) => {
    const bytesPerMs = bytesPerSecond / 1000
    setTimeout(() => {
      const startedAt = performance.now()
      let sent = 0
      response.flushHeaders()
      const send = () => {
        const due = Math.min(
          page.byteLength,
          Math.ceil((performance.now() - startedAt) * bytesPerMs),
        )
        if (due > sent) response.write(page.subarray(sent, due))
        sent = due
        if (sent < page.byteLength) setTimeout(send, 5)
        else response.end()
      }
      setTimeout(send, 5)
    }, roundTripMs)
  })
}

function sendAtOnce({ response }: Call, page: Buffer): void {
  response.end(page)
}
