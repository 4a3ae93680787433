import { join } from "node:path"
import { DurableStream } from "@durable-streams/client"
import { DurableStreamTestServer } from "@durable-streams/server"
import { createServer } from "vite"
import { runBot } from "./bot.ts"

/** Where the package's sources are; an application of yours needs no such alias. */
const SOURCES = join(import.meta.dirname, "../../src/index.ts")

/** A running chat. */
export interface Chat {
  /** Where its page is. */
  readonly url: string
  stop(): Promise<void>
}

/**
 * Starts a stream server, a room on it, its bot, and the page.
 *
 * @param port - the page's; 0 takes any
 */
export async function startChat({ port }: { readonly port: number }): Promise<Chat> {
  const streams = new DurableStreamTestServer({ port: 0 })
  // The embedded server keeps streams in memory: another run is another room, which no page has saved an offset of.
  const url = `${await streams.start()}/chat/${Date.now().toString(36)}`
  const room = await DurableStream.create({ url, contentType: "application/json" })
  const controller = new AbortController()
  const bot = runBot(room, controller.signal)
  const page = await createServer({
    root: join(import.meta.dirname, "page"),
    configFile: false,
    logLevel: "warn",
    clearScreen: false,
    server: { port, strictPort: port !== 0, host: "127.0.0.1" },
    resolve: { alias: { "@durable-streams/client": SOURCES } },
    define: { "import.meta.env.VITE_ROOM_URL": JSON.stringify(url) },
  })
  await page.listen()
  return {
    url: page.resolvedUrls?.local[0] ?? "",
    async stop() {
      controller.abort()
      await bot
      await page.close()
      await streams.stop()
    },
  }
}
