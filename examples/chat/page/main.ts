/// <reference types="vite/client" />
import { DurableStream, IdempotentProducer, stream } from "@durable-streams/client"
import type { ChatEvent } from "../chat-event.ts"
import { withEvent } from "./chat-log.ts"
import { ChatView } from "./chat-view.ts"
import { connectionAfter, CONNECTING } from "./connection-state.ts"
import { myName } from "./my-name.ts"
import { loadRoom, saveRoom } from "./saved-room.ts"
import "./style.css"

const url = String(import.meta.env["VITE_ROOM_URL"])
const me = myName()
const view = new ChatView(me)

let { offset, entries } = loadRoom(url)
let requests = 0
let received = 0
view.showEntries(entries)
view.showProgress(offset, requests, received)

// Sending: what is typed is queued, sent until it is acknowledged, and stored once.
const producer = new IdempotentProducer(new DurableStream({ url }), crypto.randomUUID())
view.onSend((text) => {
  const event: ChatEvent = {
    kind: "message",
    id: crypto.randomUUID(),
    author: me,
    text,
    sentAt: new Date().toISOString(),
  }
  view.addUnsent(event)
  producer.send(event).catch((error: unknown) => view.markFailed(event.id, String(error)))
})

// Reading: from the saved offset, and then live.
let connection = CONNECTING
const response = await stream<ChatEvent>({
  url,
  offset,
  backoffOptions: { maxDelay: 5_000 },
  observe(event) {
    if (event.kind === "request") requests++
    connection = connectionAfter(connection, event)
    view.showConnection(connection)
    view.showActivity(event)
    view.showProgress(offset, requests, received)
  },
})
for await (const batch of response.jsonBatches()) {
  entries = batch.items.reduce(withEvent, entries)
  offset = batch.offset
  received += batch.items.length
  saveRoom(url, { offset, entries })
  view.showEntries(entries)
  view.showProgress(offset, requests, received)
}
