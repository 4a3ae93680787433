import { subscribe } from "node:diagnostics_channel"

// Preloaded into a server's process: counts what reaches it, and tells it whenever its parent asks.
let requests = 0
subscribe("http.server.request.start", () => {
  requests++
})
process.on("message", () => process.send?.(requests))
