/**
 * One view for all tabs of an origin, over one connection: `new SharedWorker("/shared-worker.js?url=…")`. Each tab gets the view when it
 * connects and after every change.
 */
import { createStreamStore } from "../../src/store/index.ts"

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
