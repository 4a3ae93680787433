/**
 * A chat on one stream, live in as many tabs as are open: `npm run example:chat`, then open the address that it prints.
 * A bot answers word by word. Reload in the middle of an answer, hide the tab, go offline, restart this process: nothing is lost or shown twice.
 *
 * The page is on PORT, the streams are on STREAMS_PORT, and kept in DATA_DIR.
 */
import { join } from "node:path"
import { startChat } from "./start-chat.ts"

const { PORT = "4438", STREAMS_PORT = "4439" } = process.env
const { DATA_DIR = join(import.meta.dirname, ".data") } = process.env
const { url, roomUrl } = await startChat({
  port: Number(PORT),
  streamsPort: Number(STREAMS_PORT),
  dataDir: DATA_DIR,
})
console.log(`Chat at ${url} (open it in two tabs; Ctrl+C ends it)`)
console.log(`To close the room: curl -X POST -H "Stream-Closed: true" ${roomUrl}`)
