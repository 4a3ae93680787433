import process from "node:process"
import { createReceiver } from "./receiver.ts"

/** A process that receives webhooks, by its runtime's own server: prints the port. */
const [root = "", subscription = "", jwksUrl = ""] = process.argv.slice(2)
const handler = createReceiver({ root, subscription, jwksUrl })

interface FetchServer {
  readonly port: number
}
/** What Bun and Deno have to serve with. */
interface Platforms {
  Bun?: { serve(options: { port: number; fetch: typeof handler }): FetchServer }
  Deno?: {
    serve(
      options: { port: number; onListen: (address: FetchServer) => void },
      handle: typeof handler,
    ): unknown
  }
}
// Each runtime has one of them, or none.
const { Bun, Deno } = globalThis as unknown as Platforms

function announce({ port }: FetchServer): void {
  process.stdout.write(`${port}\n`)
}
if (Bun !== undefined) announce(Bun.serve({ port: 0, fetch: handler }))
else if (Deno !== undefined) Deno.serve({ port: 0, onListen: announce }, handler)
else {
  const { serve } = await import("../../examples/webhook-receiver/node-server.ts")
  announce({ port: Number(new URL((await serve(handler)).url).port) })
}
