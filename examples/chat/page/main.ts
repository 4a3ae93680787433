/// <reference types="vite/client" />
import { DurableStream } from "@durable-streams/client"
import { indexedDbStore, openOutbox } from "@durable-streams/client/outbox"
import { createStreamStore, localStoragePersistence } from "@durable-streams/client/store"
import type { ChatEvent } from "../chat-event.ts"
import { withEvent, type Entry } from "./chat-log.ts"
import { ChatView } from "./chat-view.ts"
import { myName } from "./my-name.ts"
import { Panel } from "./panel.ts"

const room = {
  url: String(import.meta.env["VITE_ROOM_URL"]),
  // A browser reports each request that it tries without a network as an error in its console.
  fetch: (input: RequestInfo | URL, init?: RequestInit) =>
    navigator.onLine ? fetch(input, init) : Promise.reject(new TypeError("No network")),
  backoffOptions: { maxDelay: 5_000 },
}
const me = myName()
const view = new ChatView(me)
const panel = new Panel()

// Reading: what was shown last, at once, and then what is new. The room is public: all tabs of a browser keep one record.
const conversation = createStreamStore<readonly Entry[], ChatEvent>({
  ...room,
  initial: [],
  reduce: withEvent,
  persist: localStoragePersistence(room.url),
  observe: (event) => panel.showRead(event),
})
conversation.subscribe((entries) => {
  const { status, offset } = conversation
  view.showEntries(entries, status === "live")
  panel.showOffset(offset)
  if (status === "closed") view.close()
})

// Writing: into an outbox on disk. A tab of this browser, now or at the next visit, sends it until it is stored, once.
const opening = openOutbox(new DurableStream({ ...room, contentType: "application/json" }), {
  store: indexedDbStore(room.url),
  observe(event) {
    panel.showWrite(event)
    if (event.kind === "failed") view.markFailed(event.error.message)
  },
})
// It may be opening still: nothing that is written meanwhile is lost.
view.onSend((text) => {
  const sentAt = new Date().toISOString()
  const message = { kind: "message", id: crypto.randomUUID(), author: me, text, sentAt } as const
  view.addUnsent(message)
  opening
    .then((outbox) => outbox.append(message))
    .catch((error: unknown) => view.markFailed(String(error), message.id))
})
const outbox = await opening
const { messages } = await outbox.undelivered()
for (const bytes of messages) {
  // Nothing else is appended by this page.
  view.addUnsent(
    JSON.parse(new TextDecoder().decode(bytes)) as Extract<ChatEvent, { kind: "message" }>,
  )
}
if (outbox.error !== undefined) view.markFailed(outbox.error.message)
