/**
 * A chat on one stream, live in as many tabs as are open: `npm run example:chat`, then open the address that it prints.
 * A bot answers word by word. Reload in the middle of an answer, hide the tab, go offline: nothing is lost or shown twice.
 */
import { startChat } from "./start-chat.ts"

const { url } = await startChat({ port: Number(process.env["PORT"] ?? 4438) })
console.log(`Chat at ${url} (open it in two tabs; Ctrl+C ends it)`)
