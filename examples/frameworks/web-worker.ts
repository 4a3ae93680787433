// Needs a worker of a browser: new Worker("/web-worker.js").
import { subscribe, type JsonBatch } from "@durable-streams/client"

/** What the page and the worker say to each other. */
export type FromPage = { kind: "start"; url: string } | { kind: "stop" }
export type FromWorker = { kind: "batch"; items: unknown[]; offset: string } | { kind: "stopped" }

let stop = (): void => undefined

addEventListener("message", ({ data }: MessageEvent<FromPage>) => {
  stop()
  if (data.kind === "stop") return tell({ kind: "stopped" })
  stop = subscribe(
    { url: data.url, json: true },
    {
      onBatch: (batch) => {
        // The option `json` makes every batch one of messages.
        const { items, offset } = batch as JsonBatch
        tell({ kind: "batch", items, offset })
      },
      onError: (error) => reportError(error),
    },
  )
})

function tell(message: FromWorker): void {
  postMessage(message)
}
