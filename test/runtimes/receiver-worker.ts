import { waitUntil } from "cloudflare:workers"
import { createReceiver, type ReceiverSettings } from "./receiver.ts"

let receive: ReturnType<typeof createReceiver> | undefined

/** The receiver of webhooks as a worker of an edge runtime: its settings are bindings. */
export default {
  fetch(request: Request, env: ReceiverSettings): Promise<Response> {
    receive ??= createReceiver(env, env.waits === undefined ? undefined : waitUntil)
    return receive(request)
  },
}
