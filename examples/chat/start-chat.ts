import { join } from "node:path"
import { DurableStream, DurableStreamError } from "@durable-streams/client"
import { DurableStreamTestServer } from "@durable-streams/server"
import { build, preview, type InlineConfig } from "vite"
import { runBot } from "./bot.ts"

/** Where the package's sources are; an application of yours needs no such alias. */
const SOURCES = join(import.meta.dirname, "../../src")

/** Where a chat runs. */
export interface ChatOptions {
  /** The page's port. */
  readonly port: number
  /** The stream server's. Another origin than the page's: a tab loads its page even if the others use all connections for streams. */
  readonly streamsPort: number
  /** What has to survive a restart. */
  readonly dataDir: string
}

/** Starts a stream server, a room on it, its bot, and the page. They run until the process ends. */
export async function startChat({ port, streamsPort, dataDir }: ChatOptions) {
  const streams = new DurableStreamTestServer({
    port: streamsPort,
    dataDir: join(dataDir, "streams"),
  })
  const roomUrl = `${await streams.start()}/chat/riverside`
  void runBot(await openRoom(roomUrl))
  const config: InlineConfig = {
    root: join(import.meta.dirname, "page"),
    configFile: false,
    logLevel: "error",
    plugins: [
      { name: "render-blocking", transformIndexHtml: { order: "post", handler: blockPaint } },
    ],
    build: { outDir: join(dataDir, "page"), emptyOutDir: true, target: "es2022" },
    preview: { port, strictPort: true, host: "127.0.0.1" },
    resolve: {
      alias: [{ find: /^@durable-streams\/client(\/\w+)?$/, replacement: `${SOURCES}$1/index.ts` }],
    },
    define: { "import.meta.env.VITE_ROOM_URL": JSON.stringify(roomUrl) },
  }
  await build(config)
  const page = await preview(config)
  return { url: page.resolvedUrls?.local[0] ?? "", roomUrl }
}

/** Nothing is painted before the saved conversation is there. The build drops the attribute from the page's source. */
function blockPaint(html: string): string {
  return html.replace('<script type="module"', '$& blocking="render"')
}

async function openRoom(url: string): Promise<DurableStream> {
  const room = new DurableStream({ url, contentType: "application/json" })
  try {
    await room.create()
  } catch (error) {
    // It is there, and closed.
    if (!(error instanceof DurableStreamError && error.code === "CONFLICT_EXISTS")) throw error
  }
  return room
}
