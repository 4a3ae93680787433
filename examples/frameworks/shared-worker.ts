// Needs a shared worker: new SharedWorker(`/shared-worker.js?url=${encodeURIComponent(url)}`).
import { createStreamStore } from "@durable-streams/client/store"

const store = createStreamStore({
  url: new URL(location.href).searchParams.get("url") ?? "",
  initial: [] as unknown[],
  reduce: (items, item: unknown) => [...items, item],
})
/** By port: what ends its subscription. */
const tabs = new Map<MessagePort, () => void>()

addEventListener("connect", (event) => {
  // The types of pages do not have this event.
  const [port] = (event as MessageEvent).ports
  if (port === undefined) return
  tabs.set(
    port,
    store.subscribe((items) => port.postMessage(items)),
  )
  // A port does not say that its tab has gone: the tab says so on `pagehide`. The last one ends the connection.
  port.addEventListener("message", ({ data }) => {
    if (data !== "leave") return
    tabs.get(port)?.()
    tabs.delete(port)
  })
  port.start()
})
