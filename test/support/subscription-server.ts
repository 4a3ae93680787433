import { DurableStreamTestServer } from "@durable-streams/server"
import { DurableStream } from "../../src/index.ts"

/** The reference server with subscriptions, a wake stream, and streams `ev/<name>`. */
export async function startSubscriptionServer(names: readonly string[] = []) {
  const server = new DurableStreamTestServer({ port: 0, webhooks: true })
  const root = `${await server.start()}/v1/stream`
  const json = { contentType: "application/json" }
  const streamUrl = (path: string) => `${root}/${path}`
  await DurableStream.create({ url: streamUrl("wake"), ...json })
  for (const name of names) await DurableStream.create({ url: streamUrl(`ev/${name}`), ...json })
  return {
    root,
    streamUrl,
    append: (path: string, value: unknown) =>
      new DurableStream({ url: streamUrl(path), ...json }).append(value),
    [Symbol.asyncDispose]: () => server.stop(),
  }
}
