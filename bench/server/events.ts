import { eventStream, offsetAt } from "./content.ts"
import type { Call } from "./handler.ts"

/**
 * A stream of server-sent events as fast as it is read: `/<events>/<messages in each>/<bytes of each>/<bytes of each write>`.
 * A catch-up request finds it empty; its content comes over SSE.
 */
export async function serveEvents({ response, segments, query }: Call): Promise<void> {
  const [events = 1, messages = 1, messageBytes = 100, chunkBytes = 65_536] = segments.map(Number)
  const content = eventStream(events, messages, messageBytes)
  if (query.get("live") !== "sse") {
    response.setHeader("content-type", "application/json")
    response.setHeader("stream-next-offset", offsetAt(0))
    response.setHeader("stream-up-to-date", "true")
    response.end("[]")
    return
  }
  response.setHeader("content-type", "text/event-stream")
  let goOn: () => void = () => undefined
  response.on("drain", () => goOn()).on("close", () => goOn())
  for (let position = 0; position < content.byteLength; position += chunkBytes) {
    if (response.destroyed) return
    if (response.write(content.subarray(position, position + chunkBytes))) continue
    await new Promise<void>((resolve) => {
      goOn = resolve
    })
  }
  response.end()
}
