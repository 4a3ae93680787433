// Needs Cloudflare Workers. What a request awaits must be its own: each makes its handle and its producer. (`batching` is off there.)
import { DurableStream, IdempotentProducer } from "@durable-streams/client"

interface Env {
  STREAMS_URL: string
  STREAMS_TOKEN: string
}
interface Context {
  waitUntil(promise: Promise<unknown>): void
}

export default {
  async fetch(request: Request, env: Env, context: Context): Promise<Response> {
    const { pathname, search } = new URL(request.url)
    const url = env.STREAMS_URL + pathname
    const headers = { authorization: `Bearer ${env.STREAMS_TOKEN}` }
    // A read, live or not, passes through: the token stays here.
    if (request.method === "GET") return fetch(url + search, { headers })

    const stream = new DurableStream({ url, headers, contentType: "application/json" })
    const body: unknown = await request.json()
    if (!Array.isArray(body)) {
      await stream.append(body)
      return new Response("stored", { status: 201 })
    }
    const producer = new IdempotentProducer(stream, crypto.randomUUID())
    for (const message of body) producer.append(message)
    // The response does not wait for what is stored once and in order; the platform does.
    context.waitUntil(producer.detach())
    return new Response("accepted", { status: 202 })
  },
}
